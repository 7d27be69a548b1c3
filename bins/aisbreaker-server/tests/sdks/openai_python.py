"""OpenAI's SDK for Python, unchanged except for `base_url` and `api_key`."""
import asyncio
import base64
import json
from unittest import mock

import openai
from pydantic import BaseModel

from checks import (
    DUMMIES,
    IS_DIRECT,
    PNG_DESCRIPTION,
    PNG_URL,
    RECORDING,
    RECORDING_DESCRIPTION,
    SERVER,
    assert_disconnect_seen,
    assert_retried_by_the_sdk,
    calls_of,
    mint,
    expect_error,
    expect_error_at_once,
    run,
)
from provider_openai import MODELS, PNG, audio_of, vector

BASE_URL = SERVER + "/v1"
KEY = mint("openai")
client = openai.OpenAI(base_url=BASE_URL, api_key=KEY)
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def conversation(text):
    return [{"role": "user", "content": text}]


def chat(model="gpt-4o", text="hello", **more):
    return client.chat.completions.create(model=model, messages=conversation(text), **more)


def text_of(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def chat_answers():
    completion = chat(text="hello, Tromsø \N{SNOWMAN}")

    assert completion.choices[0].message.content == "You said: hello, Tromsø \N{SNOWMAN}", completion
    assert completion.model == "gpt-4o" and completion.usage.total_tokens == 16, completion
    assert completion._request_id.startswith("req_openai_"), completion._request_id


def chat_takes_service_ids():
    if IS_DIRECT:
        return
    for model in ("chat:openai.com/gpt-4o", "openai.com/gpt-4o"):
        assert chat(model).model == "gpt-4o", model
        assert text_of(chat(model, stream=True)) == "You said: hello", model


def chat_streams():
    chunks = list(chat(text="hello, Tromsø", stream=True, stream_options={"include_usage": True}))

    assert text_of(chunks) == "You said: hello, Tromsø", chunks
    assert chunks[-1].usage.total_tokens == 16 and chunks[-2].choices[0].finish_reason == "stop", chunks[-2:]


def chat_uses_tools():
    messages = conversation("What is the weather?")
    first = client.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL]).choices[0]
    call = first.message.tool_calls[0]
    messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": "snow"}]
    reply = client.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL])

    assert first.finish_reason == "tool_calls" and call.function.name == "weather", first
    assert json.loads(call.function.arguments) == {"city": "Tromsø"}, call
    assert reply.choices[0].message.content == "The tool says: snow", reply


def chat_streams_tools():
    with client.chat.completions.stream(model="gpt-4o", messages=conversation("weather?"), tools=[TOOL]) as stream:
        whole = stream.get_final_completion()

    call = whole.choices[0].message.tool_calls[0].function
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Tromsø"}), whole


def chat_accepts_images():
    parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": PNG_URL}}]
    completion = chat(text=parts)

    assert completion.choices[0].message.content == f"You said: what is it? | {PNG_DESCRIPTION}", completion


def chat_answers_in_json():
    class Reply(BaseModel):
        saying: str
        number: int

    loose = chat(response_format={"type": "json_object"}).choices[0].message.content
    parsed = client.chat.completions.parse(model="gpt-4o", messages=conversation("hello"), response_format=Reply)

    assert json.loads(loose) == {"said": "You said: hello"}, loose
    assert parsed.choices[0].message.parsed == Reply(saying="You said: hello", number=7), parsed


def responses_are_created_retrieved_and_deleted():
    created = client.responses.create(model="gpt-4o", input="hello")
    read = client.responses.retrieve(created.id)
    items = client.responses.input_items.list(created.id).data
    client.responses.delete(created.id)
    gone = expect_error(openai.NotFoundError, lambda: client.responses.retrieve(created.id))

    assert created.output_text == read.output_text == "You said: hello", (created, read)
    assert created.usage.input_tokens_details.cached_tokens == 4, created
    assert items[0].content[0].text == "kept", items
    assert created.id in gone.message, gone


def responses_stream():
    events = list(client.responses.create(model="gpt-4o", input="hello, Tromsø", stream=True))
    with client.responses.stream(model="gpt-4o", input="hello") as stream:
        final = stream.get_final_response()

    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == "You said: hello, Tromsø", events
    assert [event.sequence_number for event in events] == list(range(len(events))), events
    assert events[-1].type == "response.completed" and final.output_text == "You said: hello", final


def responses_use_tools_and_accept_images():
    tool = {"type": "function", "name": "weather", "strict": False, "parameters": TOOL["function"]["parameters"]}
    items = conversation("What is the weather?")
    first = client.responses.create(model="gpt-4o", input=items, tools=[tool])
    items += first.output
    items.append({"type": "function_call_output", "call_id": first.output[0].call_id, "output": "snow"})
    reply = client.responses.create(model="gpt-4o", input=items, tools=[tool])
    image = {"type": "input_image", "image_url": PNG_URL, "detail": "low"}
    with_image = client.responses.create(model="gpt-4o", input=conversation([image]))

    assert json.loads(first.output[0].arguments) == {"city": "Tromsø"}, first
    assert reply.output_text == "The tool says: snow", reply
    assert with_image.output_text == f"You said: {PNG_DESCRIPTION}", with_image


def completions_answer_and_stream():
    whole = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello")
    stream = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello", stream=True)

    assert whole.choices[0].text == "You said: hello", whole
    assert "".join(chunk.choices[0].text for chunk in stream) == "You said: hello"


def embeddings_are_numbers():
    for more in ({}, {"encoding_format": "float"}):
        found = client.embeddings.create(model="text-embedding-3-small", input=["one", "Tromsø"], **more)
        assert [each.embedding for each in found.data] == [vector("one"), vector("Tromsø")], (more, found)
    tokens = client.embeddings.create(model="text-embedding-3-small", input=[[1, 2, 3]])
    assert tokens.data[0].embedding == vector("3 tokens"), tokens


def images_are_generated_and_edited():
    generated = client.images.generate(model="gpt-image-1", prompt="a dot", n=2)
    # Large, and it contains what looks like the end of a part.
    image = ("dot.png", PNG + b"\r\n--edited" + bytes(5_000_000), "image/png")
    edited = client.images.edit(model="gpt-image-1", prompt="a bigger dot", image=image)
    both = client.images.edit(model="gpt-image-1", prompt="a bigger dot", image=[image, image])

    assert [base64.b64decode(each.b64_json) for each in generated.data] == [PNG, PNG], generated
    assert [base64.b64decode(each.b64_json) for each in edited.data] == [image[1]], edited
    assert [base64.b64decode(each.b64_json) for each in both.data] == [image[1]] * 2, both


def speech_is_synthesised_and_transcribed():
    for model in ("tts-1",) if IS_DIRECT else ("tts-1", "chat:openai.com/tts-1"):
        audio = client.audio.speech.create(model=model, voice="alloy", input="hello").content
        assert audio == audio_of("hello"), f"{model}: {len(audio)} bytes of {len(audio_of('hello'))}"
    for model in ("whisper-1",) if IS_DIRECT else ("whisper-1", "openai.com/whisper-1"):
        file = ("said.wav", RECORDING, "audio/wav")
        transcription = client.audio.transcriptions.create(model=model, file=file)
        text = client.audio.transcriptions.create(model=model, file=file, response_format="text")
        assert transcription.text == text.strip() == RECORDING_DESCRIPTION, (model, transcription, text)


def moderations_answer():
    result = client.moderations.create(model="omni-moderation-latest", input="a fight").results[0]
    without_model = client.moderations.create(input="a cake").results[0]

    assert result.flagged and result.categories.violence, result
    assert not without_model.flagged, without_model


def models_are_listed_and_found():
    listed = [model.id for model in client.models.list()]
    found = client.models.retrieve("gpt-4o")
    missing = expect_error(openai.NotFoundError, lambda: client.models.retrieve("gpt-none"))

    # The models of the key's other service speak another dialect.
    assert listed == MODELS + DUMMIES, listed
    assert (found.id, found.owned_by) == ("gpt-4o", "openai"), found
    assert missing.code == "model_not_found", missing.body


def files_and_batches_are_kept():
    # Neither text nor any format, and longer than what is read at once.
    content = bytes(range(256)) * 1_000
    file = client.files.create(file=("requests.jsonl", content), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
    found = client.batches.retrieve(batch.id)
    listed = [each.id for each in client.files.list()]
    downloaded = client.files.content(file.id).content
    deleted = client.files.delete(file.id)
    expect_error(openai.NotFoundError, lambda: client.files.retrieve(file.id))

    assert file.bytes == len(content) and downloaded == content, file
    assert (found.id, found.input_file_id) == (batch.id, file.id), found
    assert file.id in listed and deleted.deleted, listed


def every_base_url_works():
    for path in ("/v1/",) if IS_DIRECT else ("/v1/", "/openai/v1", "/openai/v1/"):
        other = openai.OpenAI(base_url=SERVER + path, api_key=KEY)
        reply = other.chat.completions.create(model="gpt-4o", messages=conversation("hello"))
        assert reply.choices[0].message.content == "You said: hello", (path, reply)
        assert other.models.retrieve("gpt-4o").id == "gpt-4o", path


def concurrent_calls_get_their_own_answers():
    async def main():
        async with openai.AsyncOpenAI(base_url=BASE_URL, api_key=KEY) as client:

            async def call(number):
                stream = await client.chat.completions.create(
                    model="gpt-4o", messages=conversation(f"number {number}"), stream=True
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*(call(number) for number in range(40)))

    assert asyncio.run(main()) == [f"You said: number {number}" for number in range(40)]


def rate_limit_errors_are_retried():
    assert chat("flaky-429-python").choices[0].message.content == "You said: hello"
    assert text_of(chat("flaky-429-python-streamed", stream=True)) == "You said: hello"
    for model in ("flaky-429-python", "flaky-429-python-streamed"):
        assert_retried_by_the_sdk(model)


def abandoned_stream_is_closed_at_the_provider():
    stream = chat("endless-python", stream=True)
    for _, chunk in zip(range(5), stream):
        assert chunk.choices[0].delta.content in ("", "again "), chunk
    stream.close()
    assert_disconnect_seen("endless-python")

    chat("slow-first-python-left", stream=True).close()
    assert_disconnect_seen("slow-first-python-left")


def cancelled_async_stream_is_closed_at_the_provider():
    async def main():
        begun = asyncio.Event()

        async def read():
            stream = await client.chat.completions.create(model="endless-async", messages=conversation("hello"), stream=True)
            async for _ in stream:
                begun.set()

        async with openai.AsyncOpenAI(base_url=BASE_URL, api_key=KEY) as client:
            task = asyncio.create_task(read())
            await asyncio.wait_for(begun.wait(), 10)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.to_thread(assert_disconnect_seen, "endless-async")

    asyncio.run(main())


def truncated_stream_is_an_error():
    # Without the server in between, it is an error of the connection.
    kind = Exception if IS_DIRECT else openai.APIError
    streamed = expect_error(kind, lambda: text_of(chat("cut-python", stream=True)))
    respond = lambda: list(client.responses.create(model="cut-python-responses", input="hello", stream=True))
    responded = expect_error(kind, respond)
    for error in (streamed, responded):
        assert IS_DIRECT or "cut short" in error.message, repr(error)


def keep_alives_are_not_events():
    assert text_of(chat("slow-first-python", stream=True)) == "You said: hello"
    messages = conversation("hello")
    with client.chat.completions.with_streaming_response.create(
        model="slow-first-raw", messages=messages, stream=True
    ) as raw:
        lines = list(raw.iter_lines())
    assert IS_DIRECT or lines.count(": keep-alive") >= 1, lines
    events = list(client.responses.create(model="slow-first-responses", input="hello", stream=True))
    assert events[-1].type == "response.completed", events


def spent_daily_quota_fails_at_once():
    if IS_DIRECT:
        return
    messages = conversation("hello")
    for streamed in (False, True):
        spent = openai.OpenAI(base_url=BASE_URL, api_key=mint("openai", per_day=1))
        spent.chat.completions.create(model="gpt-4o", messages=messages)
        action = lambda: spent.chat.completions.create(model="gpt-4o", messages=messages, stream=streamed)
        error = expect_error_at_once(openai.RateLimitError, action)
        assert error.code == "rate_limit_exceeded" and "day limit exceeded" in error.message, error.body
        assert error.response.headers["x-should-retry"] == "false", error.response.headers
        assert int(error.response.headers["retry-after"]) > 30, error.response.headers


def client_with_budget(**budget):
    return openai.OpenAI(base_url=BASE_URL, api_key=mint("openai", budgets={"global": budget}))


def spent_total_fails_at_once_with_402():
    if IS_DIRECT:
        return
    # A call of 11 tokens at 2.50 and 5 at 10 dollars a million, and no second one with this cap.
    spent = client_with_budget(usdTotal="0.00045")
    arguments = {"model": "gpt-4o", "messages": conversation("hello"), "max_tokens": 32}
    spent.chat.completions.create(**arguments)
    calls = calls_of("gpt-4o")
    for streamed in (False, True):
        action = lambda: spent.chat.completions.create(**arguments, stream=streamed)
        error = expect_error_at_once(openai.APIStatusError, action)
        # The SDK has no class of its own for this status.
        assert type(error) is openai.APIStatusError and error.status_code == 402, repr(error)
        assert error.type == error.code == "insufficient_quota", error.body
    assert calls_of("gpt-4o") == calls, "the provider was called"


def request_beyond_a_budget_is_not_retried():
    if IS_DIRECT:
        return
    for budget, kind, code in (
        ({"tokensPerDay": 2000}, "tokens", "rate_limit_exceeded"),
        ({"usdPerDay": "0.01"}, "insufficient_quota", "insufficient_quota"),
    ):
        limited = client_with_budget(**budget)
        action = lambda: limited.chat.completions.create(
            model="gpt-4o", messages=conversation("hello"), max_tokens=30_000
        )
        error = expect_error_at_once(openai.RateLimitError, action)
        assert (error.type, error.code) == (kind, code), error.body
        assert error.response.headers["x-should-retry"] == "false", error.response.headers
        assert error.response.request.headers["x-stainless-retry-count"] == "0", error.response.request.headers


def short_wait_for_a_budget_is_retried():
    if IS_DIRECT:
        return
    limited = client_with_budget(tokensPerMinute=300).with_options(max_retries=1)
    arguments = {"model": "gpt-4o", "messages": conversation("hello"), "max_tokens": 200}
    # It takes seconds, by which the wait for its tokens is shorter than a minute.
    text_of(limited.chat.completions.create(**arguments | {"model": "slow-first-budget"}, stream=True))
    waits = []
    # The SDK would wait until the tokens that were used are free again, for a minute at most.
    with mock.patch("time.sleep", waits.append):
        error = expect_error(openai.RateLimitError, lambda: [limited.chat.completions.create(**arguments) for _ in range(30)])
    headers = error.response.headers
    assert (error.type, error.code) == ("tokens", "rate_limit_exceeded"), error.body
    assert len(waits) == 1 and 1 <= waits[0] <= 60, waits
    assert 1 <= int(headers["retry-after"]) <= 60 and "x-should-retry" not in headers, headers
    assert error.response.request.headers["x-stainless-retry-count"] == "1", error.response.request.headers


def usage_chunk_comes_only_if_asked_for():
    key = mint("openai", budgets={"global": {"tokensPerDay": 1_000_000}})
    budgeted = openai.OpenAI(base_url=BASE_URL, api_key=key)
    arguments = {"model": "gpt-4o", "messages": conversation("hello"), "stream": True}
    silent = list(budgeted.chat.completions.create(**arguments))
    asked = list(budgeted.chat.completions.create(**arguments, stream_options={"include_usage": True}))

    # Some clients read the first choice of every chunk.
    assert "".join(chunk.choices[0].delta.content or "" for chunk in silent) == "You said: hello", silent
    assert all(chunk.choices and chunk.usage is None for chunk in silent), silent
    assert asked[-1].choices == [] and asked[-1].usage.total_tokens == 16, asked


def bad_keys_are_refused():
    for key in ("aisbreaker_" + "A" * 80, KEY[:-4] + "AAAA"):
        other = openai.OpenAI(base_url=BASE_URL, api_key=key)
        for action in (lambda: other.models.list(), lambda: other.responses.create(model="gpt-4o", input="hello")):
            error = expect_error_at_once(openai.AuthenticationError, action)
            assert error.code == "invalid_api_key", error.body


def unknown_models_are_not_found():
    error = expect_error(openai.NotFoundError, lambda: chat("gpt-none"))
    assert error.code == "model_not_found" and "gpt-none" in error.message, error.body
    for model in () if IS_DIRECT else ("chat:nowhere.example/gpt-4o", "chat:groq.com/llama", "anthropic.com/claude"):
        error = expect_error(openai.NotFoundError, lambda: chat(model))
        assert error.code == "model_not_found" and error.param == "model", (model, error.body)
        assert "chat:openai.com" in error.message and "chat:anthropic.com" in error.message, (model, error.body)


def realtime_conversations_take_turns():
    talker = openai.OpenAI(base_url=BASE_URL, api_key=KEY, websocket_base_url=BASE_URL.replace("http", "ws", 1))
    with talker.realtime.connect(model="gpt-realtime") as connection:
        created = connection.recv()
        assert created.type == "session.created" and created.session.model == "gpt-realtime", created
        for text in ("hello", "again \N{SNOWMAN}"):
            content = [{"type": "input_text", "text": text}]
            connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
            connection.response.create()
            delta, done = connection.recv(), connection.recv()
            assert delta.type == "response.output_text.delta" and delta.delta.endswith(text), delta
            assert done.type == "response.done" and done.response.usage.total_tokens == 8, done


async def say_something(talker):
    async with talker.realtime.connect(model="gpt-realtime") as connection:
        await connection.response.create()
        return [(await connection.recv()).type for _ in range(3)]


def realtime_conversations_are_async():
    talker = openai.AsyncOpenAI(base_url=BASE_URL, api_key=KEY, websocket_base_url=BASE_URL.replace("http", "ws", 1))
    types = asyncio.run(say_something(talker))
    assert types == ["session.created", "response.output_text.delta", "response.done"], types


run(
    chat_answers,
    chat_takes_service_ids,
    chat_streams,
    chat_uses_tools,
    chat_streams_tools,
    chat_accepts_images,
    chat_answers_in_json,
    responses_are_created_retrieved_and_deleted,
    responses_stream,
    responses_use_tools_and_accept_images,
    completions_answer_and_stream,
    embeddings_are_numbers,
    images_are_generated_and_edited,
    speech_is_synthesised_and_transcribed,
    moderations_answer,
    realtime_conversations_take_turns,
    realtime_conversations_are_async,
    models_are_listed_and_found,
    files_and_batches_are_kept,
    every_base_url_works,
    concurrent_calls_get_their_own_answers,
    rate_limit_errors_are_retried,
    abandoned_stream_is_closed_at_the_provider,
    cancelled_async_stream_is_closed_at_the_provider,
    truncated_stream_is_an_error,
    keep_alives_are_not_events,
    spent_daily_quota_fails_at_once,
    spent_total_fails_at_once_with_402,
    request_beyond_a_budget_is_not_retried,
    short_wait_for_a_budget_is_retried,
    usage_chunk_comes_only_if_asked_for,
    bad_keys_are_refused,
    unknown_models_are_not_found,
)
