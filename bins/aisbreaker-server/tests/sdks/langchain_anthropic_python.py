"""LangChain's integration of Anthropic, unchanged but for `base_url` and `api_key`."""
import base64

import anthropic
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from checks import (
    IS_DIRECT,
    PNG_TOLD,
    SERVER,
    assert_left,
    assert_retried_by_the_sdk,
    mint,
    raised,
    raised_at_once,
    run,
)
from provider_anthropic import CHAT
from provider_openai import PNG

KEY = mint("anthropic")


def model(name=CHAT, key=KEY):
    return ChatAnthropic(model=name, base_url=SERVER, api_key=key)


@tool
def weather(city: str) -> str:
    """What the weather is in a city."""
    return f"snow in {city}"


def chat_answers():
    told = model().invoke("hello, Tromsø")

    assert told.content == "You said: hello, Tromsø" and told.usage_metadata["output_tokens"] == 6, told


def chat_takes_service_ids():
    for name in () if IS_DIRECT else (f"chat:anthropic.com/{CHAT}", f"anthropic.com/{CHAT}"):
        assert model(name).invoke("hello").content == "You said: hello", name


def chat_streams():
    assert "".join(chunk.text for chunk in model().stream("hello, Tromsø")) == "You said: hello, Tromsø"


def chat_uses_tools():
    with_tools = model().bind_tools([weather])
    messages = [HumanMessage("What is the weather?")]
    called = with_tools.invoke(messages)
    told = with_tools.invoke([*messages, called, weather.invoke(called.tool_calls[0])])

    assert called.tool_calls[0]["args"] == {"city": "Tromsø"}, called
    assert told.content == "The tool says: snow in Tromsø", told


def chat_sees_pictures():
    picture = {"type": "image", "base64": base64.b64encode(PNG).decode(), "mime_type": "image/png"}

    assert model().invoke([HumanMessage([picture])]).content == f"You said: {PNG_TOLD}"


def a_429_is_retried():
    assert model("flaky-429-langchain-anthropic").invoke("hello").content == "You said: hello"
    assert_retried_by_the_sdk("flaky-429-langchain-anthropic")


def a_stream_that_is_left_is_closed_at_the_provider():
    stream = model("endless-langchain-anthropic").stream("hello")
    for _ in range(3):
        next(stream)
    stream.close()
    assert_left("endless-langchain-anthropic")


def a_cut_stream_is_an_error():
    # Without our server between, it is an error of the connection.
    act = lambda: list(model("cut-langchain-anthropic").stream("hello"))
    error = raised(Exception if IS_DIRECT else anthropic.APIError, act)
    assert IS_DIRECT or "cut short" in error.message, repr(error)


def a_spent_day_is_told_at_once():
    if IS_DIRECT:
        return
    spent = model(key=mint("anthropic", per_day=1))
    spent.invoke("hello")
    for act in (lambda: spent.invoke("hello"), lambda: list(spent.stream("hello"))):
        raised_at_once(anthropic.RateLimitError, act)


def bad_keys_are_refused():
    raised_at_once(anthropic.AuthenticationError, lambda: model(key="aisbreaker_" + "A" * 80).invoke("hello"))


def what_is_not_there_is_not_found():
    for name in ("claude-none", "chat:nowhere.example/claude"):
        raised(anthropic.NotFoundError, lambda: model(name).invoke("hello"))


run(
    chat_answers,
    chat_takes_service_ids,
    chat_streams,
    chat_uses_tools,
    chat_sees_pictures,
    a_429_is_retried,
    a_stream_that_is_left_is_closed_at_the_provider,
    a_cut_stream_is_an_error,
    a_spent_day_is_told_at_once,
    bad_keys_are_refused,
    what_is_not_there_is_not_found,
)
