"""Anthropic's SDK for Python, unchanged but for `base_url` and `api_key`."""
import asyncio
import base64
import warnings

import anthropic

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
from provider_anthropic import CHAT, MODELS
from provider_openai import PNG

KEY = mint("anthropic")
client = anthropic.Anthropic(base_url=SERVER, api_key=KEY)
TOOL = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def asked(content):
    return [{"role": "user", "content": content}]


def message(model=CHAT, content="hello", **more):
    return client.messages.create(model=model, max_tokens=99, messages=asked(content), **more)


def text_of(events):
    return "".join(event.delta.text for event in events if event.type == "content_block_delta")


def messages_answer():
    told = message(content="hello, Tromsø \N{SNOWMAN}")

    assert told.content[0].text == "You said: hello, Tromsø \N{SNOWMAN}", told
    assert (told.model, told.usage.cache_read_input_tokens, told.stop_reason) == (CHAT, 3, "end_turn"), told
    assert told._request_id.startswith("req_anthropic_"), told._request_id


def messages_take_service_ids():
    if IS_DIRECT:
        return
    for model in (f"chat:anthropic.com/{CHAT}", f"anthropic.com/{CHAT}"):
        assert message(model).model == CHAT, model
        assert text_of(message(model, stream=True)) == "You said: hello", model


def messages_stream():
    events = list(message(content="hello, Tromsø", stream=True))
    with client.messages.stream(model=CHAT, max_tokens=99, messages=asked("hello")) as stream:
        texts = list(stream.text_stream)
        final = stream.get_final_message()

    assert text_of(events) == "You said: hello, Tromsø", events
    assert (events[0].type, events[-1].type) == ("message_start", "message_stop"), events
    assert "".join(texts) == final.content[0].text == "You said: hello", (texts, final)
    assert (final.usage.input_tokens, final.usage.output_tokens) == (12, 6), final


def messages_use_tools():
    messages = asked("What is the weather?")
    called = client.messages.create(model=CHAT, max_tokens=99, messages=messages, tools=[TOOL])
    use = called.content[0]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "snow"}
    messages += [{"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    told = client.messages.create(model=CHAT, max_tokens=99, messages=messages, tools=[TOOL])

    assert (called.stop_reason, use.name, use.input) == ("tool_use", "weather", {"city": "Tromsø"}), called
    assert told.content[0].text == "The tool says: snow", told


def messages_stream_tools():
    with client.messages.stream(model=CHAT, max_tokens=99, messages=asked("weather?"), tools=[TOOL]) as stream:
        use = stream.get_final_message().content[0]

    assert (use.name, use.input) == ("weather", {"city": "Tromsø"}), use


def messages_see_pictures():
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
    told = message(content=[{"type": "image", "source": source}, {"type": "text", "text": "what is it?"}])

    assert told.content[0].text == f"You said: {PNG_TOLD} | what is it?", told


def betas_are_passed_on():
    # The provider refuses `?beta=true` without the header.
    betas = ["context-1m-2025-08-07", "a-beta-of-tomorrow-2031-01-01"]
    told = client.beta.messages.create(model=CHAT, max_tokens=99, messages=asked("hello"), betas=betas)
    stream = client.beta.messages.create(model=CHAT, max_tokens=99, messages=asked("hello"), betas=betas, stream=True)

    assert told.content[0].text == text_of(stream) == "You said: hello", told


def tokens_are_counted():
    count = client.messages.count_tokens(model=CHAT, messages=asked("one two three"))

    assert count.input_tokens == 3, count


def models_are_listed_and_found():
    listed = [model.id for model in client.models.list()]
    found = client.models.retrieve(CHAT)
    raised(anthropic.NotFoundError, lambda: client.models.retrieve("claude-none"))

    # Those of other services are told with their service.
    assert [name for name in listed if "/" not in name] == MODELS, listed
    assert IS_DIRECT or "openai.com/gpt-4o" in listed, listed
    assert (found.id, found.display_name) == (CHAT, CHAT.title()), found


def a_key_may_be_in_either_header_or_in_both():
    if IS_DIRECT:
        return
    # As earlier SDKs and coding agents have it. The provider takes nothing but its own secret, in one header.
    in_header = {"x-api-key": KEY}
    ways = {
        "both": anthropic.Anthropic(base_url=SERVER, auth_token=KEY, default_headers=in_header),
        "x-api-key": anthropic.Anthropic(base_url=SERVER, default_headers=in_header | {"authorization": anthropic.Omit()}),
        "a stranger's in authorization": anthropic.Anthropic(
            base_url=SERVER, auth_token="sk-of-a-stranger", default_headers=in_header
        ),
    }
    for name, other in ways.items():
        told = other.messages.create(model=CHAT, max_tokens=99, messages=asked("hello"))
        assert told.content[0].text == "You said: hello", (name, told)


def every_address_of_the_api_serves():
    for path in ("/",) if IS_DIRECT else ("/", "/anthropic", "/anthropic/"):
        other = anthropic.Anthropic(base_url=SERVER + path, api_key=KEY)
        told = other.messages.create(model=CHAT, max_tokens=99, messages=asked("hello"))
        assert told.content[0].text == "You said: hello", (path, told)
        assert other.models.retrieve(CHAT).id == CHAT, path


def a_429_is_retried():
    assert message("flaky-429-anthropic").content[0].text == "You said: hello"
    assert text_of(message("flaky-429-anthropic-streamed", stream=True)) == "You said: hello"
    for model in ("flaky-429-anthropic", "flaky-429-anthropic-streamed"):
        assert_retried_by_the_sdk(model)


def a_stream_that_is_left_is_closed_at_the_provider():
    stream = message("endless-anthropic", stream=True)
    assert [event.type for _, event in zip(range(4), stream)][3] == "content_block_delta"
    stream.close()
    assert_left("endless-anthropic")

    message("slow-first-anthropic-left", stream=True).close()
    assert_left("slow-first-anthropic-left")


def an_async_stream_that_is_cancelled_is_closed_at_the_provider():
    async def main():
        begun = asyncio.Event()
        asking = {"model": "endless-anthropic-async", "max_tokens": 99, "messages": asked("hello")}

        async def read():
            async with client.messages.stream(**asking) as stream:
                async for _ in stream.text_stream:
                    begun.set()

        async with anthropic.AsyncAnthropic(base_url=SERVER, api_key=KEY) as client:
            task = asyncio.create_task(read())
            await asyncio.wait_for(begun.wait(), 10)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.to_thread(assert_left, "endless-anthropic-async")

    asyncio.run(main())


def a_cut_stream_is_an_error():
    # Without our server between, it is an error of the connection.
    error = raised(Exception if IS_DIRECT else anthropic.APIError, lambda: list(message("cut-anthropic", stream=True)))
    assert IS_DIRECT or "cut short" in error.body["error"]["message"], repr(error)


def keep_alives_of_a_slow_stream_change_nothing():
    assert text_of(message("slow-first-anthropic", stream=True)) == "You said: hello"
    asking = {"model": "slow-first-anthropic-raw", "max_tokens": 99, "messages": asked("hello"), "stream": True}
    with client.messages.with_streaming_response.create(**asking) as raw:
        lines = list(raw.iter_lines())
    # The provider's own is behind its first event.
    pings = lines[: lines.index("event: message_start")].count("event: ping")
    assert IS_DIRECT or pings >= 1, lines


def a_spent_day_is_told_at_once():
    if IS_DIRECT:
        return
    for streamed in (False, True):
        spent = anthropic.Anthropic(base_url=SERVER, api_key=mint("anthropic", per_day=1))
        asking = {"model": CHAT, "max_tokens": 99, "messages": asked("hello")}
        spent.messages.create(**asking)
        error = raised_at_once(anthropic.RateLimitError, lambda: spent.messages.create(**asking, stream=streamed))
        told = error.body["error"]
        assert told["type"] == "rate_limit_error" and "day limit exceeded" in told["message"], error.body
        assert error.response.headers["x-should-retry"] == "false", error.response.headers
        assert int(error.response.headers["retry-after"]) > 30, error.response.headers


def bad_keys_are_refused():
    for key in ("aisbreaker_" + "A" * 80, KEY[:-4] + "AAAA"):
        other = anthropic.Anthropic(base_url=SERVER, api_key=key)
        acts = (
            lambda: other.models.list(),
            lambda: other.messages.create(model=CHAT, max_tokens=99, messages=asked("hello")),
        )
        for act in acts:
            error = raised_at_once(anthropic.AuthenticationError, act)
            assert error.body["error"]["type"] == "authentication_error", error.body


def what_is_not_there_is_not_found():
    raised(anthropic.NotFoundError, lambda: message("claude-none"))
    for model in () if IS_DIRECT else ("chat:nowhere.example/claude", "openai.com/gpt-4o"):
        error = raised(anthropic.NotFoundError, lambda: message(model))
        told = error.body["error"]
        assert told["type"] == "not_found_error" and "chat:anthropic.com" in told["message"], (model, error.body)


# It warns of models that are to go, by a list in the SDK.
warnings.simplefilter("ignore", DeprecationWarning)
run(
    messages_answer,
    messages_take_service_ids,
    messages_stream,
    messages_use_tools,
    messages_stream_tools,
    messages_see_pictures,
    betas_are_passed_on,
    tokens_are_counted,
    models_are_listed_and_found,
    a_key_may_be_in_either_header_or_in_both,
    every_address_of_the_api_serves,
    a_429_is_retried,
    a_stream_that_is_left_is_closed_at_the_provider,
    an_async_stream_that_is_cancelled_is_closed_at_the_provider,
    a_cut_stream_is_an_error,
    keep_alives_of_a_slow_stream_change_nothing,
    a_spent_day_is_told_at_once,
    bad_keys_are_refused,
    what_is_not_there_is_not_found,
)
