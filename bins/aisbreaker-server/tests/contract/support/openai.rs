//! OpenAI's chat protocol: calls through the server's own API, and what a provider sends back.

use std::sync::mpsc;

use serde_json::{Value, json};

use super::{Provider, Server, call, service, sse};

/// The secret that [`openai_key`] seals.
pub(crate) const SECRET: &str = "sk-canary-0123456789abcdef";

/// Mints a key whose secret is bound to this provider.
pub(crate) fn openai_key(server: &Server, provider: &Provider) -> String {
    server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": SECRET, "url": provider.url()},
    ]))
}

/// A call of one of OpenAI's models.
pub(crate) fn openai_call(text: &str) -> Value {
    call(service("chat:openai.com/gpt-4o"), text)
}

/// A provider's whole response.
pub(crate) fn completion(content: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06",
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": content, "refusal": null},
        }],
        "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
    })
}

/// The event of a provider's stream that carries this content.
pub(crate) fn content_event(content: &str) -> String {
    sse(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": null}],
    }))
}

fn first_event() -> String {
    sse(&json!({
        "id": "chatcmpl-1", "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}],
    }))
}

/// The event of a provider's stream that says why it ends.
pub(crate) fn finish_event() -> String {
    sse(&json!({
        "id": "chatcmpl-1", "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    }))
}

/// A provider's whole stream.
pub(crate) fn completion_stream(contents: &[&str]) -> String {
    let events: String = contents
        .iter()
        .map(|content| content_event(content))
        .collect();
    format!(
        "{}{events}{}data: [DONE]\n\n",
        first_event(),
        finish_event()
    )
}

/// The texts in progress events of the server's own API.
pub(crate) fn progress_texts(progress: &[Value]) -> Vec<&str> {
    progress
        .iter()
        .flat_map(|event| event["outputs"].as_array().expect("outputs"))
        .map(|output| output["text"]["content"].as_str().expect("a text"))
        .collect()
}

/// Starts a provider that streams until the server closes the connection, and then reports it.
pub(crate) fn endless_provider() -> (Provider, mpsc::Receiver<()>) {
    let (report_closed, closed) = mpsc::channel();
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        wire.chunk_until_closed(content_event(&"x".repeat(50_000)));
        let _test_is_over = report_closed.send(());
    });
    (provider, closed)
}
