"""OpenAI's SDK for Python, unchanged but for `base_url` and `api_key`."""
import asyncio
import base64
import json

import openai
from pydantic import BaseModel

from checks import (
    IS_DIRECT,
    PNG_TOLD,
    PNG_URL,
    RECORDING,
    RECORDING_TOLD,
    SERVER,
    assert_left,
    assert_retried_by_the_sdk,
    mint,
    raised,
    raised_at_once,
    run,
)
from provider_openai import MODELS, PNG, spoken, vector

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


def asked(text):
    return [{"role": "user", "content": text}]


def chat(model="gpt-4o", text="hello", **more):
    return client.chat.completions.create(model=model, messages=asked(text), **more)


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
    messages = asked("What is the weather?")
    called = client.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL]).choices[0]
    call = called.message.tool_calls[0]
    messages += [called.message, {"role": "tool", "tool_call_id": call.id, "content": "snow"}]
    told = client.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL])

    assert called.finish_reason == "tool_calls" and call.function.name == "weather", called
    assert json.loads(call.function.arguments) == {"city": "Tromsø"}, call
    assert told.choices[0].message.content == "The tool says: snow", told


def chat_streams_tools():
    with client.chat.completions.stream(model="gpt-4o", messages=asked("weather?"), tools=[TOOL]) as stream:
        whole = stream.get_final_completion()

    call = whole.choices[0].message.tool_calls[0].function
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Tromsø"}), whole


def chat_sees_pictures():
    parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": PNG_URL}}]
    completion = chat(text=parts)

    assert completion.choices[0].message.content == f"You said: what is it? | {PNG_TOLD}", completion


def chat_answers_in_json():
    class Told(BaseModel):
        saying: str
        number: int

    loose = chat(response_format={"type": "json_object"}).choices[0].message.content
    parsed = client.chat.completions.parse(model="gpt-4o", messages=asked("hello"), response_format=Told)

    assert json.loads(loose) == {"said": "You said: hello"}, loose
    assert parsed.choices[0].message.parsed == Told(saying="You said: hello", number=7), parsed


def responses_are_created_kept_and_deleted():
    created = client.responses.create(model="gpt-4o", input="hello")
    read = client.responses.retrieve(created.id)
    items = client.responses.input_items.list(created.id).data
    client.responses.delete(created.id)
    gone = raised(openai.NotFoundError, lambda: client.responses.retrieve(created.id))

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


def responses_use_tools_and_see_pictures():
    tool = {"type": "function", "name": "weather", "strict": False, "parameters": TOOL["function"]["parameters"]}
    items = asked("What is the weather?")
    called = client.responses.create(model="gpt-4o", input=items, tools=[tool])
    items += called.output
    items.append({"type": "function_call_output", "call_id": called.output[0].call_id, "output": "snow"})
    told = client.responses.create(model="gpt-4o", input=items, tools=[tool])
    seen = client.responses.create(model="gpt-4o", input=asked([{"type": "input_image", "image_url": PNG_URL, "detail": "low"}]))

    assert json.loads(called.output[0].arguments) == {"city": "Tromsø"}, called
    assert told.output_text == "The tool says: snow", told
    assert seen.output_text == f"You said: {PNG_TOLD}", seen


def completions_answer_and_stream():
    whole = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello")
    stream = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello", stream=True)

    assert whole.choices[0].text == "You said: hello", whole
    assert "".join(chunk.choices[0].text for chunk in stream) == "You said: hello"


def embeddings_come_as_numbers():
    for more in ({}, {"encoding_format": "float"}):
        found = client.embeddings.create(model="text-embedding-3-small", input=["one", "Tromsø"], **more)
        assert [each.embedding for each in found.data] == [vector("one"), vector("Tromsø")], (more, found)
    tokens = client.embeddings.create(model="text-embedding-3-small", input=[[1, 2, 3]])
    assert tokens.data[0].embedding == vector("3 tokens"), tokens


def images_are_made_and_edited():
    made = client.images.generate(model="gpt-image-1", prompt="a dot", n=2)
    # Large, and with what looks like the end of a part in it.
    image = ("dot.png", PNG + b"\r\n--edited" + bytes(5_000_000), "image/png")
    edited = client.images.edit(model="gpt-image-1", prompt="a bigger dot", image=image)
    both = client.images.edit(model="gpt-image-1", prompt="a bigger dot", image=[image, image])

    assert [base64.b64decode(each.b64_json) for each in made.data] == [PNG, PNG], made
    assert [base64.b64decode(each.b64_json) for each in edited.data] == [image[1]], edited
    assert [base64.b64decode(each.b64_json) for each in both.data] == [image[1]] * 2, both


def speech_is_read_and_written():
    for model in ("tts-1",) if IS_DIRECT else ("tts-1", "chat:openai.com/tts-1"):
        audio = client.audio.speech.create(model=model, voice="alloy", input="hello").content
        assert audio == spoken("hello"), f"{model}: {len(audio)} bytes of {len(spoken('hello'))}"
    for model in ("whisper-1",) if IS_DIRECT else ("whisper-1", "openai.com/whisper-1"):
        file = ("said.wav", RECORDING, "audio/wav")
        heard = client.audio.transcriptions.create(model=model, file=file)
        text = client.audio.transcriptions.create(model=model, file=file, response_format="text")
        assert heard.text == text.strip() == RECORDING_TOLD, (model, heard, text)


def moderations_answer():
    result = client.moderations.create(model="omni-moderation-latest", input="a fight").results[0]
    without_model = client.moderations.create(input="a cake").results[0]

    assert result.flagged and result.categories.violence, result
    assert not without_model.flagged, without_model


def models_are_listed_and_found():
    listed = [model.id for model in client.models.list()]
    found = client.models.retrieve("gpt-4o")
    missing = raised(openai.NotFoundError, lambda: client.models.retrieve("gpt-none"))

    # Those of other services are told with their service.
    assert [name for name in listed if "/" not in name] == MODELS, listed
    assert IS_DIRECT or "anthropic.com/claude-sonnet-4-5" in listed, listed
    assert (found.id, found.owned_by) == ("gpt-4o", "openai"), found
    assert missing.code == "model_not_found", missing.body


def every_address_of_the_api_serves():
    for path in ("/v1/",) if IS_DIRECT else ("/v1/", "/openai/v1", "/openai/v1/"):
        other = openai.OpenAI(base_url=SERVER + path, api_key=KEY)
        told = other.chat.completions.create(model="gpt-4o", messages=asked("hello"))
        assert told.choices[0].message.content == "You said: hello", (path, told)
        assert other.models.retrieve("gpt-4o").id == "gpt-4o", path


def many_calls_at_once_get_their_own_answers():
    async def main():
        async with openai.AsyncOpenAI(base_url=BASE_URL, api_key=KEY) as client:

            async def ask(number):
                stream = await client.chat.completions.create(
                    model="gpt-4o", messages=asked(f"number {number}"), stream=True
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*(ask(number) for number in range(40)))

    assert asyncio.run(main()) == [f"You said: number {number}" for number in range(40)]


def a_429_is_retried():
    assert chat("flaky-429-python").choices[0].message.content == "You said: hello"
    assert text_of(chat("flaky-429-python-streamed", stream=True)) == "You said: hello"
    for model in ("flaky-429-python", "flaky-429-python-streamed"):
        assert_retried_by_the_sdk(model)


def a_stream_that_is_left_is_closed_at_the_provider():
    stream = chat("endless-python", stream=True)
    for _, chunk in zip(range(5), stream):
        assert chunk.choices[0].delta.content in ("", "again "), chunk
    stream.close()
    assert_left("endless-python")

    chat("slow-first-python-left", stream=True).close()
    assert_left("slow-first-python-left")


def an_async_stream_that_is_cancelled_is_closed_at_the_provider():
    async def main():
        begun = asyncio.Event()

        async def read():
            stream = await client.chat.completions.create(model="endless-async", messages=asked("hello"), stream=True)
            async for _ in stream:
                begun.set()

        async with openai.AsyncOpenAI(base_url=BASE_URL, api_key=KEY) as client:
            task = asyncio.create_task(read())
            await asyncio.wait_for(begun.wait(), 10)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.to_thread(assert_left, "endless-async")

    asyncio.run(main())


def a_cut_stream_is_an_error():
    # Without our server between, it is an error of the connection.
    kind = Exception if IS_DIRECT else openai.APIError
    streamed = raised(kind, lambda: text_of(chat("cut-python", stream=True)))
    respond = lambda: list(client.responses.create(model="cut-python-responses", input="hello", stream=True))
    responded = raised(kind, respond)
    for error in (streamed, responded):
        assert IS_DIRECT or "cut short" in error.message, repr(error)


def keep_alives_of_a_slow_stream_are_no_events():
    assert text_of(chat("slow-first-python", stream=True)) == "You said: hello"
    messages = asked("hello")
    with client.chat.completions.with_streaming_response.create(
        model="slow-first-raw", messages=messages, stream=True
    ) as raw:
        lines = list(raw.iter_lines())
    assert IS_DIRECT or lines.count(": keep-alive") >= 1, lines
    events = list(client.responses.create(model="slow-first-responses", input="hello", stream=True))
    assert events[-1].type == "response.completed", events


def a_spent_day_is_told_at_once():
    if IS_DIRECT:
        return
    messages = asked("hello")
    for streamed in (False, True):
        spent = openai.OpenAI(base_url=BASE_URL, api_key=mint("openai", per_day=1))
        spent.chat.completions.create(model="gpt-4o", messages=messages)
        act = lambda: spent.chat.completions.create(model="gpt-4o", messages=messages, stream=streamed)
        error = raised_at_once(openai.RateLimitError, act)
        assert error.code == "insufficient_quota" and "day limit exceeded" in error.message, error.body
        assert error.response.headers["x-should-retry"] == "false", error.response.headers
        assert int(error.response.headers["retry-after"]) > 30, error.response.headers


def bad_keys_are_refused():
    for key in ("aisbreaker_" + "A" * 80, KEY[:-4] + "AAAA"):
        other = openai.OpenAI(base_url=BASE_URL, api_key=key)
        for act in (lambda: other.models.list(), lambda: other.responses.create(model="gpt-4o", input="hello")):
            error = raised_at_once(openai.AuthenticationError, act)
            assert error.code == "invalid_api_key", error.body


def what_is_not_there_is_not_found():
    error = raised(openai.NotFoundError, lambda: chat("gpt-none"))
    assert error.code == "model_not_found" and "gpt-none" in error.message, error.body
    for model in () if IS_DIRECT else ("chat:nowhere.example/gpt-4o", "chat:groq.com/llama", "anthropic.com/claude"):
        error = raised(openai.NotFoundError, lambda: chat(model))
        assert error.code == "model_not_found" and error.param == "model", (model, error.body)
        assert "chat:openai.com" in error.message and "chat:anthropic.com" in error.message, (model, error.body)


run(
    chat_answers,
    chat_takes_service_ids,
    chat_streams,
    chat_uses_tools,
    chat_streams_tools,
    chat_sees_pictures,
    chat_answers_in_json,
    responses_are_created_kept_and_deleted,
    responses_stream,
    responses_use_tools_and_see_pictures,
    completions_answer_and_stream,
    embeddings_come_as_numbers,
    images_are_made_and_edited,
    speech_is_read_and_written,
    moderations_answer,
    models_are_listed_and_found,
    every_address_of_the_api_serves,
    many_calls_at_once_get_their_own_answers,
    a_429_is_retried,
    a_stream_that_is_left_is_closed_at_the_provider,
    an_async_stream_that_is_cancelled_is_closed_at_the_provider,
    a_cut_stream_is_an_error,
    keep_alives_of_a_slow_stream_are_no_events,
    a_spent_day_is_told_at_once,
    bad_keys_are_refused,
    what_is_not_there_is_not_found,
)
