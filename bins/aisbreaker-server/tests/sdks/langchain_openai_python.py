"""LangChain's integration of OpenAI, unchanged except for `base_url` and `api_key`."""
import asyncio

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from checks import (
    IS_DIRECT,
    PNG_DESCRIPTION,
    PNG_URL,
    SERVER,
    assert_disconnect_seen,
    assert_retried_by_the_sdk,
    mint,
    expect_error,
    expect_error_at_once,
    run,
)
from provider_openai import vector

BASE_URL = SERVER + "/v1"
KEY = mint("openai")


def model(name="gpt-4o", key=KEY, **more):
    return ChatOpenAI(model=name, base_url=BASE_URL, api_key=key, **more)


@tool
def weather(city: str) -> str:
    """Returns the weather in a city."""
    return f"snow in {city}"


def chat_answers():
    reply = model().invoke("hello, Tromsø")

    assert reply.content == "You said: hello, Tromsø", reply
    assert reply.usage_metadata["total_tokens"] == 16, reply


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
    first = with_tools.invoke(messages)
    result = weather.invoke(first.tool_calls[0])
    reply = with_tools.invoke([*messages, first, result])
    streamed = None
    for chunk in with_tools.stream(messages):
        streamed = chunk if streamed is None else streamed + chunk

    assert first.tool_calls[0]["args"] == streamed.tool_calls[0]["args"] == {"city": "Tromsø"}, (first, streamed)
    assert isinstance(result, ToolMessage) and reply.content == "The tool says: snow in Tromsø", reply


def chat_accepts_images():
    parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": PNG_URL}}]

    assert model().invoke([HumanMessage(parts)]).content == f"You said: what is it? | {PNG_DESCRIPTION}"


def chat_answers_in_a_schema():
    class Reply(BaseModel):
        saying: str
        number: int

    assert model().with_structured_output(Reply).invoke("hello") == Reply(saying="You said: hello", number=7)


def responses_answer_and_stream():
    responses_model = model(use_responses_api=True, output_version="responses/v1")
    reply = responses_model.invoke("hello")
    pieces = "".join(chunk.text for chunk in responses_model.stream("hello, Tromsø"))

    assert reply.text == "You said: hello" and pieces == "You said: hello, Tromsø", (reply, pieces)


def completions_answer():
    reply = OpenAI(model="gpt-3.5-turbo-instruct", base_url=BASE_URL, api_key=KEY).invoke("hello")

    assert reply == "You said: hello", reply


def embeddings_are_numbers():
    # By default, it sends lists of tokens, for which it downloads a table from the network.
    plain = OpenAIEmbeddings(
        model="text-embedding-3-small", base_url=BASE_URL, api_key=KEY, check_embedding_ctx_length=False
    )

    assert plain.embed_documents(["one", "Tromsø"]) == [vector("one"), vector("Tromsø")]
    assert plain.embed_query("one") == vector("one")


def rate_limit_errors_are_retried():
    assert model("flaky-429-langchain").invoke("hello").content == "You said: hello"
    assert_retried_by_the_sdk("flaky-429-langchain")


def abandoned_stream_is_closed_at_the_provider():
    stream = model("endless-langchain").stream("hello")
    for _ in range(5):
        next(stream)
    stream.close()
    assert_disconnect_seen("endless-langchain")


def truncated_stream_is_an_error():
    # Without the server in between, it is an error of the connection.
    action = lambda: list(model("cut-langchain").stream("hello"))
    error = expect_error(Exception if IS_DIRECT else openai.APIError, action)
    assert IS_DIRECT or "cut short" in error.message, repr(error)


def keep_alives_change_nothing():
    assert "".join(chunk.content for chunk in model("slow-first-langchain").stream("hello")) == "You said: hello"


def spent_daily_quota_fails_at_once():
    if IS_DIRECT:
        return
    spent = model(key=mint("openai", per_day=1))
    spent.invoke("hello")
    for action in (lambda: spent.invoke("hello"), lambda: list(spent.stream("hello"))):
        assert expect_error_at_once(openai.RateLimitError, action).code == "rate_limit_exceeded"


def bad_keys_are_refused():
    expect_error_at_once(openai.AuthenticationError, lambda: model(key="aisbreaker_" + "A" * 80).invoke("hello"))


def unknown_models_are_not_found():
    for name in ("gpt-none", "chat:nowhere.example/gpt-4o"):
        error = expect_error(openai.NotFoundError, lambda: model(name).invoke("hello"))
        assert error.code == "model_not_found", error.body


run(
    chat_answers,
    chat_takes_service_ids,
    chat_streams,
    chat_streams_asynchronously,
    chat_uses_tools,
    chat_accepts_images,
    chat_answers_in_a_schema,
    responses_answer_and_stream,
    completions_answer,
    embeddings_are_numbers,
    rate_limit_errors_are_retried,
    abandoned_stream_is_closed_at_the_provider,
    truncated_stream_is_an_error,
    keep_alives_change_nothing,
    spent_daily_quota_fails_at_once,
    bad_keys_are_refused,
    unknown_models_are_not_found,
)
