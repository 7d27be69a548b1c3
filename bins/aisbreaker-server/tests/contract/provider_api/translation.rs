//! Chat completions at a provider that speaks only Anthropic's messages, and the reverse: translated
//! where a key's alias or the provider's row allows it, and nowhere else.

mod budgets;
mod errors;
mod fallbacks;
mod opt_in;
mod streams;
mod whole_answers;

use serde_json::{Value, json};

use crate::support::{
    Provider, Request, Response, Server, ample_quotas,
    provider_api::{ANTHROPIC_SECRET, CHAT, MESSAGES, OPENAI_SECRET, post_with_key},
};

/// The path of Anthropic's messages, and of OpenAI's chat completions, at a provider.
const PROVIDER_PATHS: [&str; 2] = ["/v1/messages", "/v1/chat/completions"];

/// Mints a key with a secret for each of two providers at this URL, with translated aliases of a model
/// of each, `claude` and `gpt`, and with these members.
fn key_at(server: &Server, url: &str, members: &Value) -> String {
    let mut grant = json!({
        "requestQuotas": ample_quotas(),
        "serviceSecrets": [
            {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": url},
            {"serviceId": "chat:anthropic.com", "authSecret": ANTHROPIC_SECRET, "url": url},
        ],
        "modelAliases": {
            "claude": {"model": "chat:anthropic.com/claude-x", "translate": true},
            "gpt": {"model": "chat:openai.com/gpt-x", "translate": true},
        },
    });
    let object = grant.as_object_mut().unwrap();
    object.extend(members.as_object().unwrap().clone());
    server.mint(&json!({"requestAuthAndQuotas": grant}))
}

fn key(server: &Server, provider: &Provider) -> String {
    key_at(server, &provider.url(), &json!({}))
}

/// A chat completion of the translated alias.
fn chat(members: &Value) -> Value {
    let body = json!({"model": "claude", "messages": [{"role": "user", "content": "Hi"}]});
    with_members(body, members)
}

/// A message of the translated alias.
fn message(members: &Value) -> Value {
    let body = json!({
        "model": "gpt", "max_tokens": 500, "messages": [{"role": "user", "content": "Hi"}],
    });
    with_members(body, members)
}

fn with_members(mut body: Value, members: &Value) -> Value {
    let object = body.as_object_mut().unwrap();
    object.extend(members.as_object().unwrap().clone());
    body
}

/// Both directions, with the path of the client and a request.
fn directions(members: &Value) -> [(&'static str, Value); 2] {
    [(CHAT, chat(members)), (MESSAGES, message(members))]
}

fn request(path: &str, key: &str, body: &Value) -> Request {
    post_with_key(path, key, body.to_string())
}

fn send(server: &Server, (path, key): (&str, &str), body: &Value) -> Response {
    server.send(&request(path, key, body))
}

/// A whole answer of Anthropic's API.
fn anthropic_answer(text: &str) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x-2025",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 9, "cache_read_input_tokens": 5, "output_tokens": 12},
    })
}

/// A named event, as Anthropic's API sends it.
fn named_event(data: &Value) -> String {
    let name = data["type"].as_str().expect("a type");
    format!("event: {name}\ndata: {data}\n\n")
}

/// The first events of a stream of Anthropic's API.
fn anthropic_start() -> String {
    let start = json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x-2025",
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 9, "cache_read_input_tokens": 5, "output_tokens": 1},
    }});
    let block = json!({"type": "content_block_start", "index": 0,
        "content_block": {"type": "text", "text": ""}});
    [named_event(&start), named_event(&block)].concat()
}

/// A piece of text in a stream of Anthropic's API.
fn anthropic_text(text: &str) -> String {
    named_event(&json!({"type": "content_block_delta", "index": 0,
        "delta": {"type": "text_delta", "text": text}}))
}

/// The last events of a stream of Anthropic's API.
fn anthropic_end() -> String {
    [
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": 12}}),
        json!({"type": "message_stop"}),
    ]
    .iter()
    .map(named_event)
    .collect()
}

/// A whole stream of Anthropic's API.
fn anthropic_stream(texts: &[&str]) -> String {
    let texts: String = texts.iter().map(|text| anthropic_text(text)).collect();
    [anthropic_start(), texts, anthropic_end()].concat()
}

/// The events of a stream, each with its name if it has one, and its data.
fn events(response: &Response) -> Vec<(String, String)> {
    assert_eq!(response.status, 200, "{response:?}");
    let content_type = response.header("content-type").unwrap_or_default();
    assert!(
        content_type.starts_with("text/event-stream"),
        "{response:?}"
    );
    let blocks = response.text().split("\n\n").map(str::trim_start);
    let fields = |block: &str| {
        let (mut name, mut data) = (String::new(), None);
        for line in block.lines() {
            if let Some(value) = line.strip_prefix("event: ") {
                value.clone_into(&mut name);
            } else if let Some(value) = line.strip_prefix("data: ") {
                assert!(data.is_none(), "one line of data: {block}");
                data = Some(value.to_owned());
            } else {
                assert!(line.starts_with(':'), "a line of an event: {block}");
            }
        }
        Some((name, data?))
    };
    blocks.filter_map(fields).collect()
}

/// The text in the stream of a chat completion, which must end as such streams do.
fn chat_text(response: &Response) -> String {
    let mut events = events(response);
    assert_eq!(
        events.pop(),
        Some((String::new(), "[DONE]".to_owned())),
        "{response:?}"
    );
    let mut text = String::new();
    for (_, data) in events {
        let chunk: Value = serde_json::from_str(&data).expect("a chunk");
        let content = chunk["choices"][0]["delta"]["content"].as_str();
        text.push_str(content.unwrap_or_default());
    }
    text
}

/// The text in the stream of a message, which must end as such streams do.
fn message_text(response: &Response) -> String {
    let events = events(response);
    let (last, _) = events.last().expect("events");
    assert_eq!(last, "message_stop", "{response:?}");
    let mut text = String::new();
    for (name, data) in events {
        let event: Value = serde_json::from_str(&data).expect("JSON");
        assert_eq!(event["type"], name.as_str(), "{event}");
        text.push_str(event["delta"]["text"].as_str().unwrap_or_default());
    }
    text
}

/// A provider of both APIs, which answers with the text "Hello", streamed if it is asked to.
fn provider() -> Provider {
    Provider::start(|received, wire| {
        let is_stream = received.json()["stream"] == true;
        match (received.target.as_str(), is_stream) {
            ("/v1/messages", false) => wire.json(200, &anthropic_answer("Hello")),
            ("/v1/messages", true) => wire.whole_stream(anthropic_stream(&["Hel", "lo"])),
            ("/v1/chat/completions", false) => {
                wire.json(200, &crate::support::openai::completion("Hello"));
            }
            ("/v1/chat/completions", true) => wire.whole_stream(chat_stream(&["Hel", "lo"])),
            (path, _) => panic!("no such path: {path}"),
        }
    })
}

/// A whole stream of OpenAI's API, with its usage.
fn chat_stream(texts: &[&str]) -> String {
    let usage = json!({"id": "chatcmpl-1", "model": "gpt-4o", "choices": [],
        "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}});
    let mut events = crate::support::openai::completion_stream(texts);
    let done = events.find("data: [DONE]").expect("the end");
    events.insert_str(done, &crate::support::sse(&usage));
    events
}
