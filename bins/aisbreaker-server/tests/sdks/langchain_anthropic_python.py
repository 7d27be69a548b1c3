"""LangChain's integration of Anthropic, unchanged except for `base_url` and `api_key`."""
import base64

import anthropic
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from checks import (
    IS_DIRECT,
    PNG_DESCRIPTION,
    SERVER,
    assert_disconnect_seen,
    assert_retried_by_the_sdk,
    mint,
    expect_error,
    expect_error_at_once,
    run,
)
from provider_anthropic import CHAT
from provider_openai import PNG

KEY = mint("anthropic")


def model(name=CHAT, key=KEY):
    return ChatAnthropic(model=name, base_url=SERVER, api_key=key)


@tool
def weather(city: str) -> str:
    """Returns the weather in a city."""
    return f"snow in {city}"


def chat_answers():
    reply = model().invoke("hello, Tromsø")

    assert reply.content == "You said: hello, Tromsø" and reply.usage_metadata["output_tokens"] == 6, reply


def chat_takes_service_ids():
    for name in () if IS_DIRECT else (f"chat:anthropic.com/{CHAT}", f"anthropic.com/{CHAT}"):
        assert model(name).invoke("hello").content == "You said: hello", name


def chat_streams():
    assert "".join(chunk.text for chunk in model().stream("hello, Tromsø")) == "You said: hello, Tromsø"


def chat_uses_tools():
    with_tools = model().bind_tools([weather])
    messages = [HumanMessage("What is the weather?")]
    first = with_tools.invoke(messages)
    reply = with_tools.invoke([*messages, first, weather.invoke(first.tool_calls[0])])

    assert first.tool_calls[0]["args"] == {"city": "Tromsø"}, first
    assert reply.content == "The tool says: snow in Tromsø", reply


def chat_accepts_images():
    image = {"type": "image", "base64": base64.b64encode(PNG).decode(), "mime_type": "image/png"}

    assert model().invoke([HumanMessage([image])]).content == f"You said: {PNG_DESCRIPTION}"


def rate_limit_errors_are_retried():
    assert model("flaky-429-langchain-anthropic").invoke("hello").content == "You said: hello"
    assert_retried_by_the_sdk("flaky-429-langchain-anthropic")


def abandoned_stream_is_closed_at_the_provider():
    stream = model("endless-langchain-anthropic").stream("hello")
    for _ in range(3):
        next(stream)
    stream.close()
    assert_disconnect_seen("endless-langchain-anthropic")


def truncated_stream_is_an_error():
    # Without the server in between, it is an error of the connection.
    action = lambda: list(model("cut-langchain-anthropic").stream("hello"))
    error = expect_error(Exception if IS_DIRECT else anthropic.APIError, action)
    assert IS_DIRECT or "cut short" in error.message, repr(error)


def spent_daily_quota_fails_at_once():
    if IS_DIRECT:
        return
    spent = model(key=mint("anthropic", per_day=1))
    spent.invoke("hello")
    for action in (lambda: spent.invoke("hello"), lambda: list(spent.stream("hello"))):
        expect_error_at_once(anthropic.RateLimitError, action)


def bad_keys_are_refused():
    expect_error_at_once(anthropic.AuthenticationError, lambda: model(key="aisbreaker_" + "A" * 80).invoke("hello"))


def unknown_models_are_not_found():
    for name in ("claude-none", "chat:nowhere.example/claude"):
        expect_error(anthropic.NotFoundError, lambda: model(name).invoke("hello"))


run(
    chat_answers,
    chat_takes_service_ids,
    chat_streams,
    chat_uses_tools,
    chat_accepts_images,
    rate_limit_errors_are_retried,
    abandoned_stream_is_closed_at_the_provider,
    truncated_stream_is_an_error,
    spent_daily_quota_fails_at_once,
    bad_keys_are_refused,
    unknown_models_are_not_found,
)
