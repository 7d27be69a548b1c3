"""LangChain's integration of OpenAI, unchanged but for `base_url` and `api_key`."""
import asyncio

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from checks import (
    IS_DIRECT,
    PNG_TOLD,
    PNG_URL,
    SERVER,
    assert_left,
    assert_retried_by_the_sdk,
    mint,
    raised,
    raised_at_once,
    run,
)
from provider_openai import vector

BASE_URL = SERVER + "/v1"
KEY = mint("openai")


def model(name="gpt-4o", key=KEY, **more):
    return ChatOpenAI(model=name, base_url=BASE_URL, api_key=key, **more)


@tool
def weather(city: str) -> str:
    """What the weather is in a city."""
    return f"snow in {city}"


def chat_answers():
    told = model().invoke("hello, Tromsø")

    assert told.content == "You said: hello, Tromsø", told
    assert told.usage_metadata["total_tokens"] == 16, told


def chat_takes_service_ids():
    for name in () if IS_DIRECT else ("chat:openai.com/gpt-4o", "openai.com/gpt-4o"):
        assert model(name).invoke("hello").content == "You said: hello", name


def chat_streams():
    chunks = list(model(stream_usage=True).stream("hello, Tromsø"))

    assert "".join(chunk.content for chunk in chunks) == "You said: hello, Tromsø", chunks
    assert sum(chunk.usage_metadata["total_tokens"] for chunk in chunks if chunk.usage_metadata) == 16, chunks


def chat_streams_asynchronously():
    async def main():
        return [chunk.content async for chunk in model().astream("hello")]

    assert "".join(asyncio.run(main())) == "You said: hello"


def chat_uses_tools():
    with_tools = model().bind_tools([weather])
    messages = [HumanMessage("What is the weather?")]
    called = with_tools.invoke(messages)
    result = weather.invoke(called.tool_calls[0])
    told = with_tools.invoke([*messages, called, result])
    streamed = None
    for chunk in with_tools.stream(messages):
        streamed = chunk if streamed is None else streamed + chunk

    assert called.tool_calls[0]["args"] == streamed.tool_calls[0]["args"] == {"city": "Tromsø"}, (called, streamed)
    assert isinstance(result, ToolMessage) and told.content == "The tool says: snow in Tromsø", told


def chat_sees_pictures():
    parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": PNG_URL}}]

    assert model().invoke([HumanMessage(parts)]).content == f"You said: what is it? | {PNG_TOLD}"


def chat_answers_in_a_schema():
    class Told(BaseModel):
        saying: str
        number: int

    assert model().with_structured_output(Told).invoke("hello") == Told(saying="You said: hello", number=7)


def responses_answer_and_stream():
    responding = model(use_responses_api=True, output_version="responses/v1")
    told = responding.invoke("hello")
    pieces = "".join(chunk.text for chunk in responding.stream("hello, Tromsø"))

    assert told.text == "You said: hello" and pieces == "You said: hello, Tromsø", (told, pieces)


def completions_answer():
    told = OpenAI(model="gpt-3.5-turbo-instruct", base_url=BASE_URL, api_key=KEY).invoke("hello")

    assert told == "You said: hello", told


def embeddings_come_as_numbers():
    # Lists of tokens by default, which takes a table of tokens from the network.
    plain = OpenAIEmbeddings(
        model="text-embedding-3-small", base_url=BASE_URL, api_key=KEY, check_embedding_ctx_length=False
    )

    assert plain.embed_documents(["one", "Tromsø"]) == [vector("one"), vector("Tromsø")]
    assert plain.embed_query("one") == vector("one")


def a_429_is_retried():
    assert model("flaky-429-langchain").invoke("hello").content == "You said: hello"
    assert_retried_by_the_sdk("flaky-429-langchain")


def a_stream_that_is_left_is_closed_at_the_provider():
    stream = model("endless-langchain").stream("hello")
    for _ in range(5):
        next(stream)
    stream.close()
    assert_left("endless-langchain")


def a_cut_stream_is_an_error():
    # Without our server between, it is an error of the connection.
    act = lambda: list(model("cut-langchain").stream("hello"))
    error = raised(Exception if IS_DIRECT else openai.APIError, act)
    assert IS_DIRECT or "cut short" in error.message, repr(error)


def keep_alives_of_a_slow_stream_change_nothing():
    assert "".join(chunk.content for chunk in model("slow-first-langchain").stream("hello")) == "You said: hello"


def a_spent_day_is_told_at_once():
    if IS_DIRECT:
        return
    spent = model(key=mint("openai", per_day=1))
    spent.invoke("hello")
    for act in (lambda: spent.invoke("hello"), lambda: list(spent.stream("hello"))):
        assert raised_at_once(openai.RateLimitError, act).code == "insufficient_quota"


def bad_keys_are_refused():
    raised_at_once(openai.AuthenticationError, lambda: model(key="aisbreaker_" + "A" * 80).invoke("hello"))


def what_is_not_there_is_not_found():
    for name in ("gpt-none", "chat:nowhere.example/gpt-4o"):
        error = raised(openai.NotFoundError, lambda: model(name).invoke("hello"))
        assert error.code == "model_not_found", error.body


run(
    chat_answers,
    chat_takes_service_ids,
    chat_streams,
    chat_streams_asynchronously,
    chat_uses_tools,
    chat_sees_pictures,
    chat_answers_in_a_schema,
    responses_answer_and_stream,
    completions_answer,
    embeddings_come_as_numbers,
    a_429_is_retried,
    a_stream_that_is_left_is_closed_at_the_provider,
    a_cut_stream_is_an_error,
    keep_alives_of_a_slow_stream_change_nothing,
    a_spent_day_is_told_at_once,
    bad_keys_are_refused,
    what_is_not_there_is_not_found,
)
