"""Anthropic's dialect, after its public API reference. Each response describes its request."""
import json
import re

import provider_files
from provider_openai import describe_image, words

CHAT = "claude-sonnet-4-5"
MODELS = [CHAT, "claude-haiku-4-5"]


def headers(number):
    return {
        "request-id": f"req_anthropic_{number}",
        "anthropic-organization-id": "org-of-the-provider",
        "anthropic-ratelimit-requests-limit": "1000",
    }


def error(refusal, number):
    kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    members = {"type": kinds.get(refusal.status, "invalid_request_error"), "message": refusal.message}
    return {"type": "error", "error": members, "request_id": f"req_anthropic_{number}"}


def serve(call):
    # Clients know different versions.
    versions = call.headers.get_all("anthropic-version", [])
    is_valid = len(versions) == 1 and re.fullmatch(r"20\d\d-\d\d-\d\d", versions[0])
    call.require(is_valid, "anthropic-version: header is required")
    if call.query.get("beta") == "true":
        call.require(call.headers.get("anthropic-beta"), "anthropic-beta: header is required")
    if call.path == "/v1/messages" and call.method == "POST":
        message(call)
    elif call.path == "/v1/messages/count_tokens" and call.method == "POST":
        request = call.json()
        call.select_model(request.get("model"), MODELS)
        call.send_json({"input_tokens": sum(len(text_of(each["content"], call).split()) for each in request["messages"])})
    elif call.path == "/v1/models" and call.method == "GET":
        listed = [model(name) for name in MODELS]
        call.send_json({"data": listed, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]})
    elif call.path.startswith("/v1/models/") and call.method == "GET":
        name = call.path.removeprefix("/v1/models/")
        if name not in MODELS:
            call.refuse(f"model: {name}", 404)
        call.send_json(model(name))
    elif not provider_files.serve(call):
        call.refuse("Not Found", 404)


def model(name):
    members = {"type": "model", "id": name, "display_name": name.title(), "created_at": "2025-09-29T00:00:00Z"}
    return members | {"lifecycle": "active", "max_input_tokens": 200_000, "max_tokens": 64_000}


def text_of(content, call):
    if isinstance(content, str):
        return content
    call.require(isinstance(content, list), "content: neither text nor a list")
    texts = []
    for block in content:
        if block.get("type") == "text":
            texts.append(block["text"])
        elif block.get("type") == "image":
            source = block["source"]
            call.require(source["type"] == "base64", "source: base64 is required")
            texts.append(describe_image(f"data:{source['media_type']};base64,{source['data']}", call))
        elif block.get("type") == "tool_result":
            texts.append(text_of(block["content"], call))
        else:
            call.refuse(f"a content block of type {block.get('type')!r}")
    return " | ".join(texts)


def message(call):
    request = call.json()
    call.select_model(request.get("model"), MODELS)
    call.require(isinstance(request.get("max_tokens"), int), "max_tokens: Field required")
    messages = request.get("messages")
    call.require(isinstance(messages, list) and messages, "messages: Field required")
    block = block_of(request, messages, call)
    reason = "tool_use" if block["type"] == "tool_use" else "end_turn"
    usage = {"input_tokens": 12, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3, "output_tokens": 6}
    whole = {
        "id": f"msg_{call.id}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [block],
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage,
    }
    if request.get("stream"):
        call.send_chunked(events(call, whole), "text/event-stream; charset=utf-8")
    else:
        call.send_json(whole)


def block_of(request, messages, call):
    """Returns the content block of the response: a tool call or a text."""
    content = messages[-1]["content"]
    results = [block for block in content if isinstance(block, dict) and block.get("type") == "tool_result"]
    if results:
        earlier = [each["content"] for each in messages[:-1] if isinstance(each["content"], list)]
        ids = [block["id"] for blocks in earlier for block in blocks if block["type"] == "tool_use"]
        call.require(ids == [block["tool_use_id"] for block in results], "the tool_use has another id")
        return {"type": "text", "text": f"The tool says: {text_of(content, call)}", "citations": None}
    if request.get("tools"):
        tool = request["tools"][0]
        call.require(tool["input_schema"]["type"] == "object", "tools: input_schema is required")
        return {"type": "tool_use", "id": f"toolu_{call.id}", "name": tool["name"], "input": {"city": "Troms\u00f8"}}
    return {"type": "text", "text": f"You said: {text_of(content, call)}", "citations": None}


def event(kind, members):
    value = {"type": kind} | members
    return b"event: " + kind.encode() + b"\ndata: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def events(call, whole):
    block = whole["content"][0]

    def delta(members):
        return event("content_block_delta", {"index": 0, "delta": members})

    def text_delta(piece):
        return delta({"type": "text_delta", "text": piece})

    def begin():
        usage = whole["usage"] | {"output_tokens": 1}
        yield event("message_start", {"message": whole | {"content": [], "stop_reason": None, "usage": usage}})
        empty = {"input": {}} if block["type"] == "tool_use" else {"text": ""}
        yield event("content_block_start", {"index": 0, "content_block": block | empty})
        yield event("ping", {})

    def end():
        if block["type"] == "tool_use":
            written = json.dumps(block["input"], ensure_ascii=False)
            for piece in ("", written[:6], written[6:]):
                yield delta({"type": "input_json_delta", "partial_json": piece})
        else:
            for word in words(block["text"]):
                yield text_delta(word)
        yield event("content_block_stop", {"index": 0})
        ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        yield event("message_delta", {"delta": ended, "usage": {"output_tokens": whole["usage"]["output_tokens"]}})
        yield event("message_stop", {})

    return call.events(begin(), text_delta, end())
