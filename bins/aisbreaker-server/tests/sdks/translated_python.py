"""OpenAI's SDK for Python at a provider of Anthropic's messages, and Anthropic's SDK at one of chat completions."""
import json

import anthropic
import openai

from checks import (
    PNG_DESCRIPTION,
    PNG_URL,
    SERVER,
    assert_disconnect_seen,
    assert_retried_by_the_sdk,
    expect_error,
    expect_error_at_once,
    mint,
    run,
)

ALIASES = {
    "claude": "chat:anthropic.com/claude-sonnet-4-5",
    "claude-none": "chat:anthropic.com/claude-none",
    "claude-flaky": "chat:anthropic.com/flaky-429-translated",
    "claude-endless": "chat:anthropic.com/endless-translated",
    "claude-cut": "chat:anthropic.com/cut-translated",
    "claude-slow": "chat:anthropic.com/slow-first-translated",
    "gpt": "chat:openai.com/gpt-4o",
    "gpt-none": "chat:openai.com/gpt-none",
    "gpt-flaky": "chat:openai.com/flaky-429-translated-gpt",
    "gpt-endless": "chat:openai.com/endless-translated-gpt",
    "gpt-cut": "chat:openai.com/cut-translated-gpt",
    "gpt-slow": "chat:openai.com/slow-first-translated-gpt",
}
KEY = mint("openai", aliases={name: {"model": model, "translate": True} for name, model in ALIASES.items()})
of_openai = openai.OpenAI(base_url=SERVER + "/v1", api_key=KEY)
of_anthropic = anthropic.Anthropic(base_url=SERVER, api_key=KEY)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
TOOL = {"name": "weather", "input_schema": SCHEMA}


def conversation(content):
    return [{"role": "user", "content": content}]


def chat(model="claude", text="hello", **more):
    return of_openai.chat.completions.create(model=model, messages=conversation(text), **more)


def message(model="gpt", text="hello", **more):
    return of_anthropic.messages.create(model=model, max_tokens=100, messages=conversation(text), **more)


def text_of_chat(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def text_of_message(model, text="hello"):
    with of_anthropic.messages.stream(model=model, max_tokens=100, messages=conversation(text)) as stream:
        return "".join(stream.text_stream)


def chat_completions_answer_and_stream():
    completion = chat(text="hello, Tromsø \N{SNOWMAN}")
    chunks = list(chat(text="hello, Tromsø", stream=True, stream_options={"include_usage": True}))

    assert completion.choices[0].message.content == "You said: hello, Tromsø \N{SNOWMAN}", completion
    assert completion.choices[0].finish_reason == "stop", completion
    # Of Anthropic's counts, those of the cache are input as well.
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (15, 6), completion
    assert completion.usage.prompt_tokens_details.cached_tokens == 3, completion
    assert completion._request_id.startswith("req_anthropic_"), completion._request_id
    assert text_of_chat(chunks) == "You said: hello, Tromsø", chunks
    assert chunks[-1].usage.total_tokens == 21 and chunks[-2].choices[0].finish_reason == "stop", chunks[-2:]


def messages_answer_and_stream():
    whole = message(text="hello, Tromsø \N{SNOWMAN}", system="Be brief.")
    with of_anthropic.messages.stream(model="gpt", max_tokens=100, messages=conversation("hello, Tromsø")) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()

    assert whole.content[0].text == "You said: hello, Tromsø \N{SNOWMAN}", whole
    assert whole.stop_reason == "end_turn" and whole.model == "gpt-4o", whole
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (11, 5), whole
    assert whole._request_id.startswith("req_openai_"), whole._request_id
    assert text == final.content[0].text == "You said: hello, Tromsø", final
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 5), final


def chat_completions_use_tools():
    messages = conversation("What is the weather?")
    first = of_openai.chat.completions.create(model="claude", messages=messages, tools=[FUNCTION]).choices[0]
    call = first.message.tool_calls[0]
    messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": "snow"}]
    reply = of_openai.chat.completions.create(model="claude", messages=messages, tools=[FUNCTION])
    with of_openai.chat.completions.stream(model="claude", messages=conversation("?"), tools=[FUNCTION]) as stream:
        streamed = stream.get_final_completion().choices[0]

    assert first.finish_reason == streamed.finish_reason == "tool_calls", (first, streamed)
    for function in (call.function, streamed.message.tool_calls[0].function):
        assert (function.name, json.loads(function.arguments)) == ("weather", {"city": "Tromsø"}), function
    assert reply.choices[0].message.content == "The tool says: snow", reply


def messages_use_tools():
    messages = conversation("What is the weather?")
    first = of_anthropic.messages.create(model="gpt", max_tokens=100, messages=messages, tools=[TOOL])
    call = next(block for block in first.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "snow"}
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    reply = of_anthropic.messages.create(model="gpt", max_tokens=100, messages=messages, tools=[TOOL])
    with of_anthropic.messages.stream(model="gpt", max_tokens=100, messages=conversation("?"), tools=[TOOL]) as stream:
        streamed = stream.get_final_message()

    assert first.stop_reason == streamed.stop_reason == "tool_use", (first, streamed)
    for block in (call, next(block for block in streamed.content if block.type == "tool_use")):
        assert (block.name, block.input) == ("weather", {"city": "Tromsø"}), block
    assert reply.content[0].text == "The tool says: snow", reply


def images_are_accepted():
    parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": PNG_URL}}]
    completion = chat(text=parts)
    source = {"type": "base64", "media_type": "image/png", "data": PNG_URL.partition(",")[2]}
    whole = message(text=[{"type": "text", "text": "what is it?"}, {"type": "image", "source": source}])

    assert completion.choices[0].message.content == f"You said: what is it? | {PNG_DESCRIPTION}", completion
    assert whole.content[0].text == f"You said: what is it? | {PNG_DESCRIPTION}", whole


def rate_limit_errors_are_retried():
    assert chat("claude-flaky").choices[0].message.content == "You said: hello"
    assert message("gpt-flaky").content[0].text == "You said: hello"
    for alias in ("claude-flaky", "gpt-flaky"):
        assert_retried_by_the_sdk(ALIASES[alias].partition("/")[2])


def errors_are_those_of_the_sdk():
    missing = expect_error(openai.NotFoundError, lambda: chat("claude-none"))
    assert "claude-none" in missing.message, missing
    for create in (lambda: message("gpt-none"), lambda: text_of_message("gpt-none")):
        missing = expect_error(anthropic.NotFoundError, create)
        assert missing.body["error"]["type"] == "not_found_error" and "gpt-none" in missing.message, missing.body


def what_has_no_counterpart_is_refused():
    many = expect_error_at_once(openai.BadRequestError, lambda: chat(n=2))
    assert many.param == "n" and "n " in many.message, many.body
    top = expect_error_at_once(anthropic.BadRequestError, lambda: message(extra_body={"top_k": 3}))
    assert top.body["error"]["type"] == "invalid_request_error" and "top_k" in top.message, top.body
    request = {"model": "gpt", "messages": conversation("hello")}
    expect_error_at_once(anthropic.NotFoundError, lambda: of_anthropic.messages.count_tokens(**request))


def truncated_streams_are_errors():
    cut = expect_error(openai.APIError, lambda: text_of_chat(chat("claude-cut", stream=True)))
    assert "cut short" in cut.message, cut.message
    cut = expect_error(anthropic.APIStatusError, lambda: text_of_message("gpt-cut"))
    assert "cut short" in cut.message, cut.message


def keep_alives_are_not_events():
    assert text_of_chat(chat("claude-slow", stream=True)) == "You said: hello"
    assert text_of_message("gpt-slow") == "You said: hello"


def abandoned_streams_are_closed_at_the_provider():
    stream = chat("claude-endless", stream=True)
    for _, chunk in zip(range(5), stream):
        assert chunk.choices[0].delta.content in (None, "", "again "), chunk
    stream.close()
    assert_disconnect_seen("endless-translated")
    with of_anthropic.messages.stream(model="gpt-endless", max_tokens=9, messages=conversation("hello")) as stream:
        for _, text in zip(range(5), stream.text_stream):
            assert text == "again ", text
    assert_disconnect_seen("endless-translated-gpt")


def aliases_are_listed():
    listed = [model.id for model in of_openai.models.list()]
    assert "claude" in listed and "gpt-4o" in listed, listed
    listed = [model.id for model in of_anthropic.models.list()]
    assert "gpt" in listed and "claude-sonnet-4-5" in listed, listed


run(
    chat_completions_answer_and_stream,
    messages_answer_and_stream,
    chat_completions_use_tools,
    messages_use_tools,
    images_are_accepted,
    rate_limit_errors_are_retried,
    errors_are_those_of_the_sdk,
    what_has_no_counterpart_is_refused,
    truncated_streams_are_errors,
    keep_alives_are_not_events,
    abandoned_streams_are_closed_at_the_provider,
    aliases_are_listed,
)
