//! Services of the other dialect that are called when one fails.

use serde_json::{Value, json};

use super::{anthropic_answer, chat, chat_stream, chat_text, message, message_text, request};
use crate::support::{
    Provider, Response, Server, ample_quotas,
    openai::completion,
    provider_api::{CHAT, MESSAGES},
};

/// A provider of both APIs whose models named `down` fail with status 503.
fn provider() -> Provider {
    Provider::start(|received, wire| {
        let body = received.json();
        let is_stream = body["stream"] == true;
        if body["model"] == "down" {
            return wire.json(503, &json!({"error": {"message": "down", "type": "x"}}));
        }
        match (received.target.as_str(), is_stream) {
            ("/v1/messages", false) => wire.json(200, &anthropic_answer("Hello")),
            ("/v1/messages", true) => wire.whole_stream(super::anthropic_stream(&["Hello"])),
            (_, false) => wire.json(200, &completion("Hello")),
            (_, true) => wire.whole_stream(chat_stream(&["Hello"])),
        }
    })
}

/// Mints a key whose services fall back to one of the other dialect, then to each other.
fn key(server: &Server, provider: &Provider, is_translated: bool) -> String {
    let alias = |id: &str| match is_translated {
        true => json!({"model": id, "translate": true}),
        false => json!(id),
    };
    let url = provider.url();
    server.mint(&json!({"requestAuthAndQuotas": {
        "requestQuotas": ample_quotas(),
        "serviceSecrets": [
            {"serviceId": "chat:openai.com", "authSecret": "one", "url": url,
             "fallback": ["chat:anthropic.com/claude-x"]},
            {"serviceId": "chat:anthropic.com", "authSecret": "two", "url": url,
             "fallback": ["chat:openai.com/gpt-x"]},
        ],
        "modelAliases": {
            "openai-down": alias("chat:openai.com/down"),
            "anthropic-down": alias("chat:anthropic.com/down"),
        },
    }}))
}

fn send(server: &Server, (path, key): (&str, &str), body: &Value, id: &str) -> Response {
    server.send(&request(path, key, body).header("x-request-id", id))
}

#[test]
fn each_attempt_has_its_own_translation() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider, true);
    let attempts = [
        "\"chat:openai.com/down\";status=503, \"chat:anthropic.com/claude-x\";status=200",
        "\"chat:anthropic.com/down\";status=503, \"chat:openai.com/gpt-x\";status=200",
    ];
    let targets = ["/v1/chat/completions", "/v1/messages"];
    for (index, alias) in ["openai-down", "anthropic-down"].into_iter().enumerate() {
        for is_stream in [false, true] {
            let members = json!({"model": alias, "stream": is_stream});
            for path in [CHAT, MESSAGES] {
                let id = format!("{alias}-{is_stream}{}", path.replace('/', "-"));
                let body = if path == CHAT {
                    chat(&members)
                } else {
                    message(&members)
                };
                let response = send(&server, (path, &key), &body, &id);
                let text = match (path, is_stream) {
                    (CHAT, true) => chat_text(&response),
                    (_, true) => message_text(&response),
                    (CHAT, false) => {
                        let content = &response.json()["choices"][0]["message"]["content"];
                        content.as_str().unwrap_or_default().to_owned()
                    }
                    (_, false) => {
                        let content = &response.json()["content"][0]["text"];
                        content.as_str().unwrap_or_default().to_owned()
                    }
                };
                assert_eq!(text, "Hello", "{id}: {response:?}");
                let reported = response.header("x-aisbreaker-attempts");
                assert_eq!(reported, Some(attempts[index]), "{id}");
                let line = server.wait_for_request(&id);
                assert_eq!(line["output_tokens"], 12, "{line}");
                let requests = provider.requests();
                let called: Vec<&str> = requests
                    .iter()
                    .rev()
                    .take(2)
                    .map(|one| &*one.target)
                    .collect();
                assert_eq!(called, [targets[1 - index], targets[index]], "{id}");
                let last = requests.last().unwrap().json();
                let model = if index == 0 { "claude-x" } else { "gpt-x" };
                assert_eq!(last["model"], model, "{id}");
            }
        }
    }
}

#[test]
fn without_translation_a_service_of_the_other_dialect_is_not_called() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider, false);
    let response = send(
        &server,
        (CHAT, &key),
        &chat(&json!({"model": "openai-down"})),
        "a",
    );
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(provider.requests().len(), 1);
}

#[test]
fn what_cannot_be_translated_for_a_fallback_leaves_the_first_answer() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider, true);
    let body = chat(&json!({"model": "openai-down", "n": 2}));
    let response = send(&server, (CHAT, &key), &body, "a");
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(response.message(), "down");
    assert_eq!(provider.requests().len(), 1);

    // And for the first one it is an error, whatever the fallback could do.
    let body = chat(&json!({"model": "anthropic-down", "n": 2}));
    let response = send(&server, (CHAT, &key), &body, "b");
    assert_eq!(response.status, 400, "{response:?}");
    assert_eq!(provider.requests().len(), 1);
}
