"""OpenAI's SDK for Python at `chat:dummy`, without a key: every operation, streamed and not.

What the SDK makes of an answer is validated by the SDK's own models, which it does not do by itself.
"""
import base64
import json
import math
import struct

import openai
from pydantic import BaseModel

from checks import SERVER, expect_error, expect_error_at_once, mint_without_secrets, run

client = openai.OpenAI(base_url=SERVER + "/v1", api_key="none", max_retries=0)
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "kelvin"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
CHAT_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
TOOL = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": True}
ARGUMENTS = {"city": "dummy", "unit": "celsius"}
WEATHER = [{"role": "user", "content": "What is the weather?"}]


class Weather(BaseModel):
    city: str
    degrees: int


def valid(answer):
    """Returns an answer of the SDK once its model has found it valid."""
    type(answer).model_validate(answer.to_dict(mode="json"))
    return answer


def all_valid(stream):
    return [valid(event) for event in stream]


def chat(text="Hi there", model="dummy/echo", **more):
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **more)


def chat_answers():
    completion = valid(chat(n=2))

    assert [choice.message.content for choice in completion.choices] == ["Hi there"] * 2, completion
    assert completion.model == "dummy/echo" and completion.usage.completion_tokens == 4, completion
    greeting = valid(chat(model="dummy"))
    assert "Hi there" in greeting.choices[0].message.content and greeting.model == "dummy", greeting
    cut = valid(chat("one two three", max_tokens=1)).choices[0]
    assert (cut.message.content, cut.finish_reason) == ("one ", "length"), cut


def chat_streams():
    chunks = all_valid(chat("one two", stream=True, stream_options={"include_usage": True}))

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two", chunks
    assert chunks[-1].usage.completion_tokens == 2 and not chunks[-1].choices, chunks[-1]
    assert chunks[-2].choices[0].finish_reason == "stop", chunks[-2]
    assert all(chunk.usage is None for chunk in all_valid(chat(stream=True)))


def chat_calls_tools():
    choice = valid(client.chat.completions.create(model="dummy", messages=WEATHER, tools=[CHAT_TOOL])).choices[0]
    call = choice.message.tool_calls[0]
    assert choice.finish_reason == "tool_calls" and json.loads(call.function.arguments) == ARGUMENTS, choice
    result = {"role": "tool", "tool_call_id": call.id, "content": "snow"}
    messages = [*WEATHER, choice.message, result]
    answer = valid(client.chat.completions.create(model="dummy/echo", messages=messages, tools=[CHAT_TOOL]))
    assert answer.choices[0].message.content == "snow", answer
    assert valid(chat(tools=[CHAT_TOOL])).choices[0].message.tool_calls is None
    forced = valid(chat(tools=[CHAT_TOOL], tool_choice="required")).choices[0]
    assert forced.message.tool_calls[0].function.name == "get_weather", forced


def chat_streams_tools():
    with client.chat.completions.stream(model="dummy", messages=WEATHER, tools=[CHAT_TOOL]) as stream:
        for event in stream:
            assert event.type != "error", event
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == ARGUMENTS, call


def chat_parses_structured_answers():
    parsed = client.chat.completions.parse(
        model="dummy", messages=[{"role": "user", "content": "Hi"}], response_format=Weather
    )
    assert parsed.choices[0].message.parsed == Weather(city="dummy", degrees=1), parsed
    answer = valid(chat("a", response_format={"type": "json_object"}))
    assert json.loads(answer.choices[0].message.content) == {"text": "a"}, answer


def completions_answer_and_stream():
    completion = valid(client.completions.create(model="dummy/echo", prompt=["one", "two"]))
    assert [choice.text for choice in completion.choices] == ["one", "two"], completion
    # The reason to end is null in all chunks but the last, which OpenAI's API has and its SDK's model does not.
    chunks = list(client.completions.create(model="dummy/echo", prompt="one two", stream=True))
    assert valid(chunks[-1]).choices[0].finish_reason == "stop", chunks
    assert "".join(chunk.choices[0].text for chunk in chunks) == "one two", chunks


def responses_answer():
    response = valid(client.responses.create(model="dummy/echo", input="Hi there", metadata={"a": "b"}))
    assert response.output_text == "Hi there" and response.status == "completed", response
    assert response.metadata == {"a": "b"} and response.usage.output_tokens == 2, response
    counted = valid(client.responses.input_tokens.count(model="dummy", input="Hi there"))
    assert counted.input_tokens == response.usage.input_tokens, counted
    parsed = client.responses.parse(model="dummy", input="Hi", text_format=Weather)
    assert parsed.output_parsed == Weather(city="dummy", degrees=1), parsed


def responses_stream():
    events = all_valid(client.responses.create(model="dummy/echo", input="one two", stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "one two"
    assert events[-1].response.output_text == "one two", events[-1]
    with client.responses.stream(model="dummy/echo", input="one two") as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == "one two"


def responses_call_tools():
    call = valid(client.responses.create(model="dummy", input=WEATHER, tools=[TOOL])).output[0]
    assert call.type == "function_call" and json.loads(call.arguments) == ARGUMENTS, call
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "snow"}
    answer = valid(client.responses.create(model="dummy/echo", input=[*WEATHER, call.to_dict(), result], tools=[TOOL]))
    assert answer.output_text == "snow", answer
    with client.responses.stream(model="dummy", input=WEATHER, tools=[TOOL]) as stream:
        kinds = [valid(event).type for event in stream]
        call = stream.get_final_response().output[0]
    assert "response.function_call_arguments.done" in kinds and json.loads(call.arguments) == ARGUMENTS, kinds


def embeddings_are_vectors():
    # The SDK asks for base64 unless a call names another encoding.
    encoded = valid(client.embeddings.create(model="dummy", input=["a", "b"], dimensions=256))
    floats = valid(client.embeddings.create(model="dummy", input="a", dimensions=256, encoding_format="float"))
    raw = client.embeddings.create(model="dummy", input="a", dimensions=256, encoding_format="base64").data[0]
    numbers = list(struct.unpack("<256f", base64.b64decode(raw.embedding)))

    assert encoded.data[0].embedding == numbers != encoded.data[1].embedding, encoded
    assert all(math.isclose(*pair, rel_tol=1e-6) for pair in zip(floats.data[0].embedding, numbers)), floats
    assert math.isclose(sum(number * number for number in numbers), 1, rel_tol=1e-5)
    assert len(client.embeddings.create(model="dummy", input="a").data[0].embedding) == 1536


def images_are_made():
    images = valid(client.images.generate(model="dummy", prompt="a door", n=2))
    assert base64.b64decode(images.data[1].b64_json).startswith(b"\x89PNG"), images
    events = all_valid(client.images.generate(model="dummy", prompt="a door", stream=True, partial_images=1))
    assert [event.type for event in events] == ["image_generation.partial_image", "image_generation.completed"]
    assert events[-1].b64_json == images.data[0].b64_json


def models_are_listed():
    # With another credential, the list of the provider that takes it would come first.
    listed = client.with_options(api_key=mint_without_secrets()).models.list()
    assert [valid(model).id for model in listed] == ["dummy", "dummy/echo"], listed
    assert valid(client.models.retrieve("dummy/echo")).id == "dummy/echo"
    assert valid(client.models.retrieve("dummy/error-429")).id == "dummy/error-429"


def errors_have_their_classes():
    rows = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        403: openai.PermissionDeniedError,
        404: openai.NotFoundError,
        409: openai.ConflictError,
        422: openai.UnprocessableEntityError,
        429: openai.RateLimitError,
        500: openai.InternalServerError,
        503: openai.InternalServerError,
    }
    for status, error_class in rows.items():
        error = expect_error_at_once(error_class, lambda: chat(model=f"dummy/error-{status}"))
        assert error.status_code == status and str(status) in error.message, error
        expect_error(error_class, lambda: chat(model=f"dummy/error-{status}", stream=True))
    unknown = expect_error(openai.NotFoundError, lambda: chat(model="dummy/nothing"))
    assert unknown.code == "model_not_found", unknown
    invalid = expect_error(openai.BadRequestError, lambda: chat(n=1000))
    assert invalid.param == "n", invalid


run(
    chat_answers,
    chat_streams,
    chat_calls_tools,
    chat_streams_tools,
    chat_parses_structured_answers,
    completions_answer_and_stream,
    responses_answer,
    responses_stream,
    responses_call_tools,
    embeddings_are_vectors,
    images_are_made,
    models_are_listed,
    errors_have_their_classes,
)
