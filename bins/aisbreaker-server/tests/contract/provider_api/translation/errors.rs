//! Errors of providers, and requests without a counterpart.

use serde_json::{Value, json};

use super::{anthropic_answer, chat, directions, key, key_at, message, request, send};
use crate::support::{
    Provider, Request, Response, Server, UnreachableAddresses,
    provider_api::{CHAT, MESSAGES},
};

/// Checks that an error is one of OpenAI's for a client of chat completions, and one of Anthropic's
/// for a client of messages. Returns its message.
fn error_message(path: &str, response: &Response) -> String {
    let body = response.json();
    match path {
        CHAT => assert!(body["error"]["type"].is_string(), "{response:?}"),
        _ => assert_eq!(body["type"], "error", "{response:?}"),
    }
    let content_type = response.header("content-type");
    assert_eq!(content_type, Some("application/json"), "{response:?}");
    response.message()
}

#[test]
fn errors_of_the_provider_keep_their_status_and_their_message() {
    let provider = Provider::start(|received, wire| {
        let request = received.json();
        let text = request["messages"].to_string();
        let status = [400_u16, 401, 403, 404, 413, 429, 500, 503, 529]
            .into_iter()
            .find(|status| text.contains(&status.to_string()))
            .expect("a status");
        let body = match received.target.as_str() {
            "/v1/messages" => json!({"type": "error",
                "error": {"type": "some_error", "message": "it says why"}}),
            _ => json!({"error": {"message": "it says why", "type": "some_error", "code": null}}),
        };
        let fields = [
            ("Retry-After", "7"),
            ("Content-Type", "application/json"),
            ("x-should-retry", "false"),
        ];
        wire.respond(status, &fields, body.to_string());
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    for status in [400_u16, 401, 403, 404, 413, 429, 500, 503, 529] {
        let messages = json!([{"role": "user", "content": status.to_string()}]);
        for is_stream in [false, true] {
            let members = json!({"messages": messages, "stream": is_stream});
            for (path, body) in directions(&members) {
                let id = format!("{status}-{is_stream}{}", path.replace('/', "-"));
                let request = request(path, &key, &body).header("x-request-id", &id);
                let response = server.send(&request);
                assert_eq!(response.status, status, "{path}: {response:?}");
                let text = error_message(path, &response);
                assert!(text.contains("it says why"), "{path}: {text}");
                assert_eq!(response.header("retry-after"), Some("7"));
                assert_eq!(response.header("x-should-retry"), Some("false"));
                let line = server.wait_for_request(&id);
                assert_eq!(line["status"], status, "{line}");
                assert_eq!(line["error"], "provider_error", "{line}");
            }
        }
    }
}

#[test]
fn an_error_that_is_none_of_the_api_is_one_for_the_client() {
    let server = Server::with_loopback_egress(&[]);
    let long = "x".repeat(1 << 20);
    for body in ["", "<html>bad gateway</html>", "null", &long] {
        let text = body.to_owned();
        let provider = Provider::start(move |_, wire| {
            wire.respond(502, &[("Content-Type", "text/html")], &text);
        });
        let key = key(&server, &provider);
        for (path, request) in directions(&json!({})) {
            let response = send(&server, (path, &key), &request);
            assert_eq!(response.status, 502, "{response:?}");
            assert!(!error_message(path, &response).is_empty(), "{response:?}");
            assert!(response.body.len() < 200_000, "{}", response.body.len());
        }
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_502() {
    let server = Server::with_loopback_egress(&[]);
    let rows: [(&str, Provider); 4] = [
        (
            "not JSON",
            Provider::start(|_, wire| {
                wire.respond(200, &[("Content-Type", "application/json")], "{\"id\":");
            }),
        ),
        (
            "another object",
            Provider::with_response(200, json!({"ok": true})),
        ),
        (
            "coded",
            Provider::start(|_, wire| {
                let fields = [
                    ("Content-Type", "application/json"),
                    ("Content-Encoding", "gzip"),
                ];
                wire.respond(200, &fields, crate::support::gzip(b"{}"));
            }),
        ),
        (
            "cut",
            Provider::start(|_, wire| {
                wire.head(
                    200,
                    &[
                        ("Content-Type", "application/json"),
                        ("Content-Length", "9999"),
                    ],
                );
                wire.write(anthropic_answer("Hello").to_string());
                wire.close();
            }),
        ),
    ];
    for (row, provider) in &rows {
        let key = key(&server, provider);
        for (path, body) in directions(&json!({})) {
            let response = send(&server, (path, &key), &body);
            assert_eq!(response.status, 502, "{row} {path}: {response:?}");
            error_message(path, &response);
        }
    }
}

#[test]
fn a_request_without_a_counterpart_is_400_and_names_the_member() {
    let provider = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let chats = [
        (json!({"n": 2}), "n"),
        (json!({"logprobs": true}), "logprobs"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "input_audio",
            "input_audio": {"data": "aGk=", "format": "wav"}}]}]}),
            "messages[0].content[0]",
        ),
    ];
    for (members, member) in chats {
        let response = send(&server, (CHAT, &key), &chat(&members));
        assert_eq!(response.status, 400, "{member}: {response:?}");
        let text = error_message(CHAT, &response);
        assert!(text.contains(member), "{member}: {text}");
        let param = response.json()["error"]["param"].clone();
        let param = param.as_str().expect("the member");
        assert!(param.starts_with(member), "{member}: {param}");
        assert_eq!(response.json()["error"]["type"], "invalid_request_error");
        let charged = response.header("x-ratelimit-remaining-requests");
        assert!(
            charged.is_some(),
            "it is charged as what is malformed: {response:?}"
        );
    }
    let messages = [
        (json!({"top_k": 5}), "top_k"),
        (
            json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
            "tools[0]",
        ),
    ];
    for (members, member) in messages {
        let response = send(&server, (MESSAGES, &key), &message(&members));
        assert_eq!(response.status, 400, "{member}: {response:?}");
        let text = error_message(MESSAGES, &response);
        assert!(text.contains(member), "{member}: {text}");
        assert_eq!(response.json()["error"]["type"], "invalid_request_error");
    }
    for (path, body) in directions(&json!({"messages": "none"})) {
        let response = send(&server, (path, &key), &body);
        assert_eq!(response.status, 400, "{response:?}");
        assert!(
            error_message(path, &response).contains("messages"),
            "{response:?}"
        );
    }
    assert_eq!(provider.connections(), 0);
}

#[test]
fn a_provider_that_is_not_reached_is_reported_in_the_dialect_of_the_client() {
    let unreachable = UnreachableAddresses::new();
    let server = Server::with_loopback_egress(&[]);
    let key = key_at(&server, &unreachable.refusing_url(), &json!({}));
    for (path, body) in directions(&json!({})) {
        let response = send(&server, (path, &key), &body);
        assert_eq!(response.status, 503, "{response:?}");
        error_message(path, &response);
    }
}

#[test]
fn a_provider_that_stays_silent_is_504() {
    let provider = Provider::start(|_, wire| wire.hold());
    let server = Server::with_loopback_egress(&[("AISBREAKER_PROVIDER_TIMEOUT", "300ms")]);
    let key = key(&server, &provider);
    for (path, body) in directions(&json!({})) {
        let response = send(&server, (path, &key), &body);
        assert_eq!(response.status, 504, "{response:?}");
        error_message(path, &response);
    }
}

/// What a client may hold of memory bounds what is translated for it.
#[test]
fn what_is_translated_is_held_of_the_memory_of_the_client() {
    let provider = Provider::with_response(200, anthropic_answer(&"y".repeat(3 << 20)));
    let limits = [
        ("AISBREAKER_MAX_BUFFERED_BYTES", "5000000"),
        ("AISBREAKER_MAX_BODY_BYTES", "4000000"),
        ("AISBREAKER_MAX_ANSWER_BYTES", "4000000"),
    ];
    let server = Server::with_loopback_egress(&limits);
    let key = key(&server, &provider);
    let response = send(&server, (CHAT, &key), &chat(&json!({})));
    assert_eq!(response.status, 503, "{}", response.status);
    let _body: Value = response.json();
    let next = server.send(&Request::get("/api/v1/ping"));
    assert_eq!(next.status, 200, "{next:?}");
}
