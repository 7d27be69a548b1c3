"""Anthropic's SDK for Python, unchanged except for `base_url` and `api_key`."""
import asyncio
import base64
import warnings
from unittest import mock

import anthropic

from checks import (
    DUMMIES,
    IS_DIRECT,
    PNG_DESCRIPTION,
    SERVER,
    assert_disconnect_seen,
    assert_retried_by_the_sdk,
    calls_of,
    mint,
    expect_error,
    expect_error_at_once,
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


def conversation(content):
    return [{"role": "user", "content": content}]


def message(model=CHAT, content="hello", **more):
    return client.messages.create(model=model, max_tokens=99, messages=conversation(content), **more)


def text_of(events):
    return "".join(event.delta.text for event in events if event.type == "content_block_delta")


def messages_answer():
    reply = message(content="hello, Tromsø \N{SNOWMAN}")

    assert reply.content[0].text == "You said: hello, Tromsø \N{SNOWMAN}", reply
    assert (reply.model, reply.usage.cache_read_input_tokens, reply.stop_reason) == (CHAT, 3, "end_turn"), reply
    assert reply._request_id.startswith("req_anthropic_"), reply._request_id


def messages_take_service_ids():
    if IS_DIRECT:
        return
    for model in (f"chat:anthropic.com/{CHAT}", f"anthropic.com/{CHAT}"):
        assert message(model).model == CHAT, model
        assert text_of(message(model, stream=True)) == "You said: hello", model


def messages_stream():
    events = list(message(content="hello, Tromsø", stream=True))
    with client.messages.stream(model=CHAT, max_tokens=99, messages=conversation("hello")) as stream:
        texts = list(stream.text_stream)
        final = stream.get_final_message()

    assert text_of(events) == "You said: hello, Tromsø", events
    assert (events[0].type, events[-1].type) == ("message_start", "message_stop"), events
    assert "".join(texts) == final.content[0].text == "You said: hello", (texts, final)
    assert (final.usage.input_tokens, final.usage.output_tokens) == (12, 6), final


def messages_use_tools():
    messages = conversation("What is the weather?")
    first = client.messages.create(model=CHAT, max_tokens=99, messages=messages, tools=[TOOL])
    use = first.content[0]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "snow"}
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    reply = client.messages.create(model=CHAT, max_tokens=99, messages=messages, tools=[TOOL])

    assert (first.stop_reason, use.name, use.input) == ("tool_use", "weather", {"city": "Tromsø"}), first
    assert reply.content[0].text == "The tool says: snow", reply


def messages_stream_tools():
    with client.messages.stream(model=CHAT, max_tokens=99, messages=conversation("weather?"), tools=[TOOL]) as stream:
        use = stream.get_final_message().content[0]

    assert (use.name, use.input) == ("weather", {"city": "Tromsø"}), use


def messages_accept_images():
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
    reply = message(content=[{"type": "image", "source": source}, {"type": "text", "text": "what is it?"}])

    assert reply.content[0].text == f"You said: {PNG_DESCRIPTION} | what is it?", reply


def betas_are_forwarded():
    # The provider refuses `?beta=true` without the header.
    betas = ["context-1m-2025-08-07", "a-beta-of-tomorrow-2031-01-01"]
    reply = client.beta.messages.create(model=CHAT, max_tokens=99, messages=conversation("hello"), betas=betas)
    stream = client.beta.messages.create(model=CHAT, max_tokens=99, messages=conversation("hello"), betas=betas, stream=True)

    assert reply.content[0].text == text_of(stream) == "You said: hello", reply


def tokens_are_counted():
    count = client.messages.count_tokens(model=CHAT, messages=conversation("one two three"))

    assert count.input_tokens == 3, count


def models_are_listed_and_found():
    listed = [model.id for model in client.models.list()]
    found = client.models.retrieve(CHAT)
    expect_error(anthropic.NotFoundError, lambda: client.models.retrieve("claude-none"))

    # The models of the key's other service speak another dialect.
    assert listed == MODELS + DUMMIES, listed
    assert (found.id, found.display_name) == (CHAT, CHAT.title()), found


def files_and_batches_are_kept():
    content = bytes(range(256)) * 1_000
    file = client.beta.files.upload(file=("data.bin", content))
    downloaded = client.beta.files.download(file.id).read()
    listed = [each.id for each in client.beta.files.list()]
    client.beta.files.delete(file.id)
    expect_error(anthropic.NotFoundError, lambda: client.beta.files.retrieve_metadata(file.id))
    params = {"model": CHAT, "max_tokens": 9, "messages": conversation("hello")}
    batch = client.messages.batches.create(requests=[{"custom_id": "one", "params": params}])

    assert file.size_bytes == len(content) and downloaded == content, file
    assert file.id in listed, listed
    assert client.messages.batches.retrieve(batch.id).processing_status == "ended", batch
    if not IS_DIRECT:
        # At the provider itself, the results are at another host.
        results = [result.custom_id for result in client.messages.batches.results(batch.id)]
        assert results == ["one"], results


def key_is_accepted_in_either_header_or_both():
    if IS_DIRECT:
        return
    # As earlier SDKs and coding agents send it. The provider accepts only its own secret, in one header.
    in_header = {"x-api-key": KEY}
    clients = {
        "both": anthropic.Anthropic(base_url=SERVER, auth_token=KEY, default_headers=in_header),
        "x-api-key": anthropic.Anthropic(base_url=SERVER, default_headers=in_header | {"authorization": anthropic.Omit()}),
        "another secret in authorization": anthropic.Anthropic(
            base_url=SERVER, auth_token="sk-of-another-caller", default_headers=in_header
        ),
    }
    for name, other in clients.items():
        reply = other.messages.create(model=CHAT, max_tokens=99, messages=conversation("hello"))
        assert reply.content[0].text == "You said: hello", (name, reply)


def every_base_url_works():
    for path in ("/",) if IS_DIRECT else ("/", "/anthropic", "/anthropic/"):
        other = anthropic.Anthropic(base_url=SERVER + path, api_key=KEY)
        reply = other.messages.create(model=CHAT, max_tokens=99, messages=conversation("hello"))
        assert reply.content[0].text == "You said: hello", (path, reply)
        assert other.models.retrieve(CHAT).id == CHAT, path


def rate_limit_errors_are_retried():
    assert message("flaky-429-anthropic").content[0].text == "You said: hello"
    assert text_of(message("flaky-429-anthropic-streamed", stream=True)) == "You said: hello"
    for model in ("flaky-429-anthropic", "flaky-429-anthropic-streamed"):
        assert_retried_by_the_sdk(model)


def abandoned_stream_is_closed_at_the_provider():
    stream = message("endless-anthropic", stream=True)
    assert [event.type for _, event in zip(range(4), stream)][3] == "content_block_delta"
    stream.close()
    assert_disconnect_seen("endless-anthropic")

    message("slow-first-anthropic-left", stream=True).close()
    assert_disconnect_seen("slow-first-anthropic-left")


def cancelled_async_stream_is_closed_at_the_provider():
    async def main():
        begun = asyncio.Event()
        arguments = {"model": "endless-anthropic-async", "max_tokens": 99, "messages": conversation("hello")}

        async def read():
            async with client.messages.stream(**arguments) as stream:
                async for _ in stream.text_stream:
                    begun.set()

        async with anthropic.AsyncAnthropic(base_url=SERVER, api_key=KEY) as client:
            task = asyncio.create_task(read())
            await asyncio.wait_for(begun.wait(), 10)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.to_thread(assert_disconnect_seen, "endless-anthropic-async")

    asyncio.run(main())


def truncated_stream_is_an_error():
    # Without the server in between, it is an error of the connection.
    error = expect_error(Exception if IS_DIRECT else anthropic.APIError, lambda: list(message("cut-anthropic", stream=True)))
    assert IS_DIRECT or "cut short" in error.body["error"]["message"], repr(error)


def keep_alives_change_nothing():
    assert text_of(message("slow-first-anthropic", stream=True)) == "You said: hello"
    arguments = {"model": "slow-first-anthropic-raw", "max_tokens": 99, "messages": conversation("hello"), "stream": True}
    with client.messages.with_streaming_response.create(**arguments) as raw:
        lines = list(raw.iter_lines())
    # The provider's own ping follows its first event.
    pings = lines[: lines.index("event: message_start")].count("event: ping")
    assert IS_DIRECT or pings >= 1, lines


def spent_daily_quota_fails_at_once():
    if IS_DIRECT:
        return
    for streamed in (False, True):
        spent = anthropic.Anthropic(base_url=SERVER, api_key=mint("anthropic", per_day=1))
        arguments = {"model": CHAT, "max_tokens": 99, "messages": conversation("hello")}
        spent.messages.create(**arguments)
        error = expect_error_at_once(anthropic.RateLimitError, lambda: spent.messages.create(**arguments, stream=streamed))
        details = error.body["error"]
        assert details["type"] == "rate_limit_error" and "day limit exceeded" in details["message"], error.body
        assert error.response.headers["x-should-retry"] == "false", error.response.headers
        assert int(error.response.headers["retry-after"]) > 30, error.response.headers


def client_with_budget(**budget):
    return anthropic.Anthropic(base_url=SERVER, api_key=mint("anthropic", budgets={"global": budget}))


def spent_total_fails_at_once_with_402():
    if IS_DIRECT:
        return
    # A call of 12 tokens at 3, 3 cached ones and 6 at 15 dollars a million, and no second one with this cap.
    spent = client_with_budget(usdTotal="0.0017")
    arguments = {"model": CHAT, "max_tokens": 99, "messages": conversation("hello")}
    spent.messages.create(**arguments)
    calls = calls_of(CHAT)
    for streamed in (False, True):
        action = lambda: spent.messages.create(**arguments, stream=streamed)
        error = expect_error_at_once(anthropic.PaymentRequiredError, action)
        assert error.body["error"]["type"] == "billing_error", error.body
    assert calls_of(CHAT) == calls, "the provider was called"


def request_beyond_a_budget_is_not_retried():
    if IS_DIRECT:
        return
    for budget in ({"tokensPerDay": 2000}, {"usdPerDay": "0.01"}):
        limited = client_with_budget(**budget)
        action = lambda: limited.messages.create(model=CHAT, max_tokens=20_000, messages=conversation("hello"))
        error = expect_error_at_once(anthropic.RateLimitError, action)
        assert error.body["error"]["type"] == "rate_limit_error", error.body
        assert error.response.headers["x-should-retry"] == "false", error.response.headers
        assert error.response.request.headers["x-stainless-retry-count"] == "0", error.response.request.headers


def short_wait_for_a_budget_is_retried():
    if IS_DIRECT:
        return
    limited = client_with_budget(tokensPerMinute=300).with_options(max_retries=1)
    arguments = {"model": CHAT, "max_tokens": 200, "messages": conversation("hello")}
    # It takes seconds, by which the wait for its tokens is shorter than a minute.
    text_of(limited.messages.create(**arguments | {"model": "slow-first-anthropic-budget"}, stream=True))
    waits = []
    # The SDK would wait until the tokens that were used are free again, for a minute at most.
    with mock.patch("time.sleep", waits.append):
        error = expect_error(anthropic.RateLimitError, lambda: [limited.messages.create(**arguments) for _ in range(30)])
    headers = error.response.headers
    assert error.body["error"]["type"] == "rate_limit_error", error.body
    assert len(waits) == 1 and 1 <= waits[0] <= 60, waits
    assert 1 <= int(headers["retry-after"]) <= 60 and "x-should-retry" not in headers, headers
    assert error.response.request.headers["x-stainless-retry-count"] == "1", error.response.request.headers


def bad_keys_are_refused():
    for key in ("aisbreaker_" + "A" * 80, KEY[:-4] + "AAAA"):
        other = anthropic.Anthropic(base_url=SERVER, api_key=key)
        actions = (
            lambda: other.models.list(),
            lambda: other.messages.create(model=CHAT, max_tokens=99, messages=conversation("hello")),
        )
        for action in actions:
            error = expect_error_at_once(anthropic.AuthenticationError, action)
            assert error.body["error"]["type"] == "authentication_error", error.body


def unknown_models_are_not_found():
    expect_error(anthropic.NotFoundError, lambda: message("claude-none"))
    for model in () if IS_DIRECT else ("chat:nowhere.example/claude", "openai.com/gpt-4o"):
        error = expect_error(anthropic.NotFoundError, lambda: message(model))
        details = error.body["error"]
        assert details["type"] == "not_found_error" and "chat:anthropic.com" in details["message"], (model, error.body)


# The SDK warns of models that it lists as deprecated.
warnings.simplefilter("ignore", DeprecationWarning)
run(
    messages_answer,
    messages_take_service_ids,
    messages_stream,
    messages_use_tools,
    messages_stream_tools,
    messages_accept_images,
    betas_are_forwarded,
    tokens_are_counted,
    models_are_listed_and_found,
    files_and_batches_are_kept,
    key_is_accepted_in_either_header_or_both,
    every_base_url_works,
    rate_limit_errors_are_retried,
    abandoned_stream_is_closed_at_the_provider,
    cancelled_async_stream_is_closed_at_the_provider,
    truncated_stream_is_an_error,
    keep_alives_change_nothing,
    spent_daily_quota_fails_at_once,
    spent_total_fails_at_once_with_402,
    request_beyond_a_budget_is_not_retried,
    short_wait_for_a_budget_is_retried,
    bad_keys_are_refused,
    unknown_models_are_not_found,
)
