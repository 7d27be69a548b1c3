"""Anthropic's SDK for Python at `chat:dummy`, without a key: every operation, streamed and not.

What the SDK makes of an answer is validated by the SDK's own models, which it does not do by itself.
"""
import anthropic

from checks import SERVER, expect_error, expect_error_at_once, mint_without_secrets, run

client = anthropic.Anthropic(base_url=SERVER, api_key="none", max_retries=0)
TOOL = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
WEATHER = [{"role": "user", "content": "What is the weather?"}]


def valid(answer):
    """Returns an answer of the SDK once its model has found it valid."""
    type(answer).model_validate(answer.to_dict(mode="json"))
    return answer


def ask(text="Hi there", model="dummy/echo", **more):
    return client.messages.create(
        model=model, max_tokens=more.pop("max_tokens", 100), messages=[{"role": "user", "content": text}], **more
    )


def messages_answer():
    message = valid(ask())
    assert message.content[0].text == "Hi there" and message.stop_reason == "end_turn", message
    assert message.model == "dummy/echo" and message.usage.output_tokens == 2, message
    assert "Hi there" in valid(ask(model="dummy")).content[0].text
    cut = valid(ask("one two three", max_tokens=1))
    assert (cut.content[0].text, cut.stop_reason) == ("one ", "max_tokens"), cut


def tokens_are_counted():
    system = "Be brief."
    message = valid(ask(system=system))
    counted = client.messages.count_tokens(
        model="dummy", system=system, messages=[{"role": "user", "content": "Hi there"}]
    )
    assert valid(counted).input_tokens == message.usage.input_tokens > 0, counted


def messages_stream():
    events = [valid(event) for event in ask("one two", stream=True)]
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop", kinds
    with client.messages.stream(
        model="dummy/echo", max_tokens=100, messages=[{"role": "user", "content": "one two"}]
    ) as stream:
        assert "".join(stream.text_stream) == "one two"
        message = valid(stream.get_final_message())
    assert message.usage.output_tokens == 2 and message.stop_reason == "end_turn", message


def messages_call_tools():
    message = valid(client.messages.create(model="dummy", max_tokens=100, messages=WEATHER, tools=[TOOL]))
    call = message.content[0]
    assert message.stop_reason == "tool_use" and call.input == {"city": "dummy"}, message
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "snow"}
    messages = [*WEATHER, {"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    answer = valid(client.messages.create(model="dummy/echo", max_tokens=100, messages=messages, tools=[TOOL]))
    assert answer.content[0].text == "snow", answer
    with client.messages.stream(model="dummy", max_tokens=100, messages=WEATHER, tools=[TOOL]) as stream:
        for event in stream:
            assert event.type != "error", event
        call = valid(stream.get_final_message()).content[0]
    assert call.type == "tool_use" and call.input == {"city": "dummy"}, call
    forced = valid(ask(tools=[TOOL], tool_choice={"type": "any"}))
    assert forced.content[0].name == "get_weather", forced
    assert valid(ask(tools=[TOOL])).content[0].type == "text"


def models_are_listed():
    # With another credential, the list of the provider that takes it would come first.
    listed = client.with_options(api_key=mint_without_secrets()).models.list()
    assert [valid(model).id for model in listed] == ["dummy", "dummy/echo"], listed
    assert valid(client.models.retrieve("dummy/echo")).id == "dummy/echo"


def errors_have_their_classes():
    rows = {
        400: anthropic.BadRequestError,
        401: anthropic.AuthenticationError,
        403: anthropic.PermissionDeniedError,
        404: anthropic.NotFoundError,
        429: anthropic.RateLimitError,
        500: anthropic.InternalServerError,
        529: anthropic.InternalServerError,
    }
    for status, error_class in rows.items():
        error = expect_error_at_once(error_class, lambda: ask(model=f"dummy/error-{status}"))
        assert error.status_code == status and error.body["type"] == "error", error
        expect_error(error_class, lambda: ask(model=f"dummy/error-{status}", stream=True))
    expect_error(anthropic.NotFoundError, lambda: ask(model="dummy/nothing"))


run(
    messages_answer,
    tokens_are_counted,
    messages_stream,
    messages_call_tools,
    models_are_listed,
    errors_have_their_classes,
)
