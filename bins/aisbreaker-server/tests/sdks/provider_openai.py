"""OpenAI's dialect, after its public API reference. Each response describes its request."""
import base64
import hashlib
import json
import re
import struct

import provider_files
import provider_realtime

CREATED = 1_700_000_000
CHAT = "gpt-4o"
EMBEDDING = "text-embedding-3-small"
IMAGE = "gpt-image-1"
SPEECH = "tts-1"
TRANSCRIPTION = "whisper-1"
MODERATION = "omni-moderation-latest"
COMPLETION = "gpt-3.5-turbo-instruct"
MODELS = [CHAT, EMBEDDING, IMAGE, SPEECH, TRANSCRIPTION, MODERATION, COMPLETION]
# An image of one pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def headers(number):
    return {
        "x-request-id": f"req_openai_{number}",
        "openai-version": "2020-10-01",
        "openai-processing-ms": "7",
        "x-ratelimit-limit-tokens": "90000",
    }


def error(refusal, _number):
    kind = {401: "invalid_request_error", 429: "requests"}.get(refusal.status, "invalid_request_error")
    return {"error": {"message": refusal.message, "type": kind, "param": None, "code": refusal.code}}


def serve(call):
    routes = {
        ("POST", "/v1/chat/completions"): chat,
        ("POST", "/v1/completions"): completion,
        ("POST", "/v1/responses"): respond,
        ("POST", "/v1/embeddings"): embed,
        ("POST", "/v1/images/generations"): generate_image,
        ("POST", "/v1/images/edits"): edit_image,
        ("POST", "/v1/audio/speech"): speak,
        ("POST", "/v1/audio/transcriptions"): transcribe,
        ("POST", "/v1/moderations"): moderate,
        ("GET", "/v1/models"): list_models,
        ("GET", "/v1/realtime"): provider_realtime.serve,
    }
    route = routes.get((call.method, call.path))
    if route:
        route(call)
    elif call.path.startswith("/v1/models/") and call.method == "GET":
        name = call.path.removeprefix("/v1/models/")
        if name not in MODELS:
            call.refuse(f"The model '{name}' does not exist", 404, "model_not_found")
        call.send_json(model(name))
    elif call.path.startswith("/v1/responses/"):
        stored_response(call)
    elif not provider_files.serve(call):
        call.refuse(f"Invalid URL ({call.method} {call.path})", 404)


def model(name):
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "openai"}


def list_models(call):
    call.send_json({"object": "list", "data": [model(name) for name in MODELS]})


def describe_image(url, call):
    """Describes an image, so that the client can check that it arrived complete."""
    kind, found, data = url.removeprefix("data:").partition(";base64,")
    call.require(url.startswith("data:") and found, "the image is no data URL")
    try:
        content = base64.b64decode(data, validate=True)
    except ValueError:
        call.refuse("the image is not base64")
    return f"{kind} of {len(content)} bytes, {hashlib.sha256(content).hexdigest()}"


def text_of(content, call):
    if isinstance(content, str):
        return content
    call.require(isinstance(content, list), "content: neither text nor a list")
    texts = []
    for part in content:
        if part.get("type") in ("text", "input_text", "output_text"):
            texts.append(part["text"])
        elif part.get("type") == "image_url":
            texts.append(describe_image(part["image_url"]["url"], call))
        elif part.get("type") == "input_image":
            texts.append(describe_image(part["image_url"], call))
        else:
            call.refuse(f"a content part of type {part.get('type')!r}")
    return " | ".join(texts)


def tool_reply(request, last, call):
    """Returns the text that repeats the result of a tool, or else a call of the first tool."""
    if last["role"] == "tool":
        requested = [tool for message in request["messages"] for tool in message.get("tool_calls") or []]
        call.require([tool["id"] for tool in requested] == [last["tool_call_id"]], "the tool call has another id")
        return f"The tool says: {text_of(last['content'], call)}", None
    tool = request["tools"][0]
    call.require(tool["type"] == "function" and tool["function"]["parameters"]["type"] == "object", "tools: no function")
    function = {"name": tool["function"]["name"], "arguments": '{"city":"Troms\u00f8"}'}
    return None, {"id": f"call_{call.id}", "type": "function", "function": function}


def formatted(text, form):
    """Returns the text, as JSON if the request asks for that."""
    if form.get("type") == "json_object":
        return json.dumps({"said": text})
    if form.get("type") == "json_schema":
        schema = (form.get("json_schema") or form)["schema"]
        return json.dumps({name: text if each["type"] == "string" else 7 for name, each in schema["properties"].items()})
    return text


def chat(call):
    request = call.json()
    call.select_model(request.get("model"), [CHAT])
    messages = request.get("messages")
    call.require(isinstance(messages, list) and messages, "messages: a list is required")
    call.require(all(each.get("role") in ("system", "developer", "user", "assistant", "tool") for each in messages), "role")
    last, tool = messages[-1], None
    if request.get("tools"):
        text, tool = tool_reply(request, last, call)
    else:
        text = formatted(f"You said: {text_of(last['content'], call)}", request.get("response_format") or {})
    reason = "tool_calls" if tool else "stop"
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    if request.get("stream"):
        call.send_chunked(chat_events(call, request, text, tool, reason, usage), "text/event-stream; charset=utf-8")
        return
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    if tool:
        message["tool_calls"] = [tool]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    call.send_json(chat_head(call, "chat.completion") | {"choices": [choice], "usage": usage})


def chat_head(call, kind):
    return {"id": f"chatcmpl-{call.id}", "object": kind, "created": CREATED, "model": call.model, "service_tier": "default"}


def words(text):
    """Splits a text into the pieces of its stream."""
    return re.findall(r"\S+ *", text)


def data(value):
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def chat_events(call, request, text, tool, reason, usage):
    def event(delta, reason=None):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return data(chat_head(call, "chat.completion.chunk") | {"choices": [choice]})

    def begin():
        yield event({"role": "assistant", "content": None if tool else ""})

    def end():
        if tool:
            function = tool["function"]
            yield event({"tool_calls": [{"index": 0} | tool | {"function": {"name": function["name"], "arguments": ""}}]})
            for piece in (function["arguments"][:6], function["arguments"][6:]):
                yield event({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        for word in words(text or ""):
            yield event({"content": word})
        yield event({}, reason)
        if (request.get("stream_options") or {}).get("include_usage"):
            yield data(chat_head(call, "chat.completion.chunk") | {"choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"

    return call.events(begin(), lambda piece: event({"content": piece}), end())


def completion(call):
    request = call.json()
    call.select_model(request.get("model"), [COMPLETION])
    prompt = request["prompt"] if isinstance(request["prompt"], str) else request["prompt"][0]
    text = f"You said: {prompt}"
    head = {"id": f"cmpl-{call.id}", "object": "text_completion", "created": CREATED, "model": call.model}
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": "stop"}
    if not request.get("stream"):
        usage = {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}
        call.send_json(head | {"choices": [choice], "usage": usage})
        return
    choices = [choice | {"text": word, "finish_reason": None} for word in words(text)] + [choice | {"text": ""}]
    events = [data(head | {"choices": [each]}) for each in choices]
    call.send_chunked(events + [b"data: [DONE]\n\n"], "text/event-stream")


def respond(call):
    request = call.json()
    call.select_model(request.get("model"), [CHAT])
    requested = request.get("input")
    last = requested if isinstance(requested, str) else requested[-1]
    tool = None
    if isinstance(last, dict) and last.get("type") == "function_call_output":
        ids = [each.get("call_id") for each in requested if each.get("type") == "function_call"]
        call.require(ids == [last["call_id"]], "the function call has another id")
        text = f"The tool says: {last['output']}"
    elif request.get("tools"):
        tool = {"type": "function_call", "id": f"fc_{call.id}", "call_id": f"call_{call.id}", "status": "completed"}
        tool |= {"name": request["tools"][0]["name"], "arguments": '{"city":"Troms\u00f8"}'}
        text = None
    else:
        content = last if isinstance(last, str) else last["content"]
        text = formatted(f"You said: {text_of(content, call)}", (request.get("text") or {}).get("format") or {})
    response = response_object(call, request, tool or message_item(call, text))
    if request.get("store", True):
        call.call_log.responses[response["id"]] = response
    if request.get("stream"):
        call.send_chunked(response_events(call, response, text), "text/event-stream; charset=utf-8")
    else:
        call.send_json(response)


def message_item(call, text):
    content = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": f"msg_{call.id}", "type": "message", "status": "completed", "role": "assistant", "content": [content]}


def response_object(call, request, item):
    usage = {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0}, "output_tokens": 6}
    usage |= {"output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 15}
    return {
        "id": f"resp_{call.id:032x}",
        "object": "response",
        "created_at": CREATED,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "max_output_tokens": None,
        "model": call.model,
        "output": [item],
        "parallel_tool_calls": True,
        "previous_response_id": request.get("previous_response_id"),
        "store": request.get("store", True),
        "temperature": 1.0,
        "text": request.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": request.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "metadata": {},
    }


def response_events(call, response, text):
    count = 0

    def event(kind, members):
        nonlocal count
        value = {"type": kind, "sequence_number": count} | members
        count += 1
        return b"event: " + kind.encode() + b"\n" + data(value)

    item = response["output"][0]
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}

    def begin():
        started = response | {"status": "in_progress", "output": [], "usage": None}
        yield event("response.created", {"response": started})
        yield event("response.in_progress", {"response": started})
        empty = {"content": []} if text is not None else {"arguments": ""}
        yield event("response.output_item.added", {"output_index": 0, "item": item | {"status": "in_progress"} | empty})
        if text is not None:
            yield event("response.content_part.added", place | {"part": part})

    def delta(piece):
        return event("response.output_text.delta", place | {"delta": piece, "logprobs": []})

    def end():
        if text is None:
            at = {"item_id": item["id"], "output_index": 0}
            yield event("response.function_call_arguments.delta", at | {"delta": item["arguments"]})
            done = {"arguments": item["arguments"], "name": item["name"]}
            yield event("response.function_call_arguments.done", at | done)
        else:
            for word in words(text):
                yield delta(word)
            yield event("response.output_text.done", place | {"text": text, "logprobs": []})
            yield event("response.content_part.done", place | {"part": part | {"text": text}})
        yield event("response.output_item.done", {"output_index": 0, "item": item})
        yield event("response.completed", {"response": response})

    return call.events(begin(), delta, end())


def stored_response(call):
    response_id, _, rest = call.path.removeprefix("/v1/responses/").partition("/")
    responses = call.call_log.responses
    if response_id not in responses:
        call.refuse(f"Response with id '{response_id}' not found.", 404)
    if (call.method, rest) == ("GET", ""):
        call.send_json(responses[response_id])
    elif (call.method, rest) == ("DELETE", ""):
        del responses[response_id]
        call.send_json({"id": response_id, "object": "response", "deleted": True})
    elif (call.method, rest) == ("GET", "input_items"):
        content = [{"type": "input_text", "text": "kept"}]
        item = {"id": "msg_in", "type": "message", "role": "user", "status": "completed", "content": content}
        page = {"first_id": "msg_in", "last_id": "msg_in", "has_more": False}
        call.send_json({"object": "list", "data": [item]} | page)
    else:
        call.refuse(f"Invalid URL ({call.method} {call.path})", 404)


def vector(text):
    """Returns the length of a text and a checksum."""
    return [float(len(text)), float(sum(text.encode()) % 1000)]


def embed(call):
    request = call.json()
    call.select_model(request.get("model"), [EMBEDDING])
    texts = request["input"] if isinstance(request["input"], list) else [request["input"]]
    # Lists of token numbers are allowed as well.
    texts = [text if isinstance(text, str) else f"{len(text)} tokens" for text in texts]
    form = request.get("encoding_format", "float")
    call.require(form in ("float", "base64"), "encoding_format: float or base64")

    def written(numbers):
        return numbers if form == "float" else base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()

    found = [{"object": "embedding", "index": i, "embedding": written(vector(text))} for i, text in enumerate(texts)]
    call.send_json({"object": "list", "data": found, "model": call.model, "usage": {"prompt_tokens": 3, "total_tokens": 3}})


def generate_image(call):
    request = call.json()
    call.select_model(request.get("model"), [IMAGE])
    call.require(request.get("prompt"), "prompt: required")
    send_images(call, [PNG] * request.get("n", 1))


def edit_image(call):
    parts = call.form()
    fields = {name: content.decode() for name, file, content in parts if file is None}
    images = [content for name, file, content in parts if name in ("image", "image[]") and file]
    call.select_model(fields.get("model"), [IMAGE])
    call.require(fields.get("prompt") and images, "prompt, image: required")
    send_images(call, images)


def send_images(call, images):
    encoded = [{"b64_json": base64.b64encode(image).decode()} for image in images]
    details = {"text_tokens": 2, "image_tokens": 0}
    usage = {"input_tokens": 2, "input_tokens_details": details, "output_tokens": 8, "total_tokens": 10}
    call.send_json({"created": CREATED, "data": encoded, "usage": usage})


def audio_of(text):
    """Returns bytes of every value, followed by the text."""
    return bytes(range(256)) * 400 + text.encode()


def speak(call):
    request = call.json()
    call.select_model(request.get("model"), [SPEECH])
    call.require(request.get("voice") and request.get("input"), "voice, input: required")
    audio = audio_of(request["input"])
    call.send_chunked([audio[at : at + 9973] for at in range(0, len(audio), 9973)], "audio/mpeg")


def transcribe(call):
    parts = call.form()
    fields = {name: content.decode() for name, file, content in parts if file is None}
    call.select_model(fields.get("model"), [TRANSCRIPTION])
    files = [(file, content) for name, file, content in parts if name == "file" and file]
    call.require(len(files) == 1, "file: exactly one is required")
    name, content = files[0]
    text = f"{name} of {len(content)} bytes, {hashlib.sha256(content).hexdigest()}"
    if fields.get("response_format") == "text":
        call.send(200, text.encode(), "text/plain; charset=utf-8")
    else:
        call.send_json({"text": text, "usage": {"type": "duration", "seconds": 1}})


def moderate(call):
    request = call.json()
    call.select_model(request.get("model", MODERATION), [MODERATION])
    names = ["harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm"]
    names += ["self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic"]
    flagged = "fight" in request["input"]
    result = {
        "flagged": flagged,
        "categories": {name: flagged and name == "violence" for name in names},
        "category_scores": {name: 1e-05 for name in names},
        "category_applied_input_types": {name: ["text"] for name in names},
    }
    call.send_json({"id": f"modr-{call.id}", "model": call.model, "results": [result]})
