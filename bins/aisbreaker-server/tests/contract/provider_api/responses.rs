//! Forwarded responses: unchanged, complete or visibly truncated, and with their usage logged.

use serde_json::{Value, json};

use super::{digest, number};
use crate::support::{
    Provider, ReceivedRequest, Request, Server, Wire,
    provider_api::{CHAT, MESSAGES, post_with_key, two_dialect_key},
    sse,
};

const STREAMED: &str = r#"{"model":"m","stream":true}"#;

/// Reproducible pseudo-random bytes.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    (0..length.div_ceil(4))
        .flat_map(|_| next())
        .take(length)
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn hundred_megabytes_pass_unchanged_in_both_directions() {
    const LENGTH: usize = 100_000_000;
    let sent: String = noise(LENGTH)
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect();
    let body_for_model =
        |model: &str| format!(r#"{{"input":"{sent}","model":"{model}"}}"#).into_bytes();
    let (body, forwarded) = (body_for_model("openai.com/m"), body_for_model("m"));
    let response_body = noise(LENGTH);
    let expected = digest(&response_body);
    let provider =
        Provider::without_recording(move |request: &ReceivedRequest, wire: &mut Wire| {
            let request = hex(&digest(&request.body));
            wire.respond(
                200,
                &[("Content-Type", "audio/mpeg"), ("X-Received", &request)],
                &response_body,
            );
        });
    let server = Server::with_loopback_egress(&[("AISBREAKER_MAX_BODY_BYTES", "120000000")]);
    let key = two_dialect_key(&server, &provider);

    let response = server.send(&post_with_key("/v1/audio/speech", &key, body));

    assert_eq!(response.status, 200);
    assert_eq!(
        response.header("x-received"),
        Some(&*hex(&digest(&forwarded)))
    );
    assert!(!response.is_truncated && digest(&response.body) == expected);
    assert_eq!(response.header("content-length"), Some("100000000"));
}

#[test]
fn truncated_response_stays_truncated() {
    let provider = Provider::start(|request, wire| {
        let framing = if request.json()["chunked"] == true {
            ("Transfer-Encoding", "chunked")
        } else {
            ("Content-Length", "1000")
        };
        wire.head(200, &[("Content-Type", "application/json"), framing]);
        match framing.0 {
            "Content-Length" => wire.write("{\"a\":"),
            _ => wire.chunk("{\"a\":"),
        }
        wire.close();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    for chunked in [true, false] {
        let body = json!({"model": "m", "chunked": chunked}).to_string();
        let response = server.send(&post_with_key(CHAT, &key, body));
        assert!(response.is_truncated, "chunked: {chunked}, {response:?}");
    }
}

/// A path, a body, whether it is a stream, and whether its usage includes reasoning tokens. All
/// bodies report 20 input tokens, 9 output tokens and 16 cached tokens.
fn responses_with_usage() -> [(&'static str, String, bool, bool); 8] {
    let openai = json!({"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 16}, "completion_tokens_details": {"reasoning_tokens": 4}});
    let responses_api = json!({"input_tokens": 20, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 16},
        "output_tokens_details": {"reasoning_tokens": 4}});
    let start = json!({"type": "message_start", "message": {"usage":
        {"input_tokens": 3, "cache_read_input_tokens": 16, "cache_creation_input_tokens": 1, "output_tokens": 1}}});
    let end = json!({"type": "message_delta", "usage": {"output_tokens": 9}});
    let whole = json!({"usage": {"input_tokens": 3, "cache_read_input_tokens": 16, "cache_creation_input_tokens": 1, "output_tokens": 9}});
    let stream = |events: &[Value]| events.iter().map(sse).collect::<String>();
    let padded = json!({"data": "x".repeat(100_000), "usage": openai, "more": vec!["y"; 100]});
    // Perplexity sends the usage before the choices.
    let early = format!(
        "{{\"id\":\"a\",\"usage\":{openai},\"choices\":\"{}\"}}",
        "x".repeat(100_000)
    );
    let image = format!(
        "{{\"response\":{{\"output\":\"{}\",\"usage\":{responses_api}}}}}",
        "x".repeat(3_000_000)
    );
    [
        (CHAT, early, false, true),
        (
            "/v1/responses",
            format!("event: response.completed\ndata: {image}\n\n"),
            true,
            true,
        ),
        (
            CHAT,
            stream(&[
                json!({"usage": null}),
                json!({"choices": [], "usage": openai}),
            ]),
            true,
            true,
        ),
        (CHAT, json!({"usage": openai}).to_string(), false, true),
        (CHAT, padded.to_string(), false, true),
        (
            "/v1/responses",
            stream(&[json!({"type": "response.completed", "response": {"usage": responses_api}})]),
            true,
            true,
        ),
        (MESSAGES, stream(&[start, end]), true, false),
        (MESSAGES, whole.to_string(), false, false),
    ]
}

#[test]
fn token_usage_of_every_response_is_logged() {
    let rows = responses_with_usage();
    let bodies: Vec<(String, bool)> = rows
        .iter()
        .map(|(_, body, is_stream, _)| (body.clone(), *is_stream))
        .collect();
    let provider = Provider::start(move |request, wire| {
        let (body, is_stream) = &bodies[number(request, "row")];
        if *is_stream {
            wire.whole_stream(body)
        } else {
            wire.respond(200, &[("Content-Type", "application/json")], body)
        }
    });
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    for (row, (path, body, _, has_reasoning)) in rows.iter().enumerate() {
        let id = format!("row-{row}");
        let request = post_with_key(path, &key, json!({"model": "m", "row": row}).to_string())
            .header("x-request-id", &id);
        assert_eq!(server.send(&request).text(), body, "{row}");
        let line = server.wait_for_request(&id);
        let reasoning = if *has_reasoning {
            json!(4)
        } else {
            json!(null)
        };
        let logged = [
            "input_tokens",
            "output_tokens",
            "cached_tokens",
            "reasoning_tokens",
        ]
        .map(|name| line[name].clone());
        assert_eq!(
            logged,
            [json!(20), json!(9), json!(16), reasoning],
            "{row}: {line}"
        );
    }
}

#[test]
fn silent_provider_returns_504() {
    let provider = Provider::start(|_, wire| wire.hold());
    let server = Server::with_loopback_egress(&[("AISBREAKER_PROVIDER_TIMEOUT", "100ms")]);
    let response = server.send(&post_with_key(
        MESSAGES,
        &two_dialect_key(&server, &provider),
        STREAMED,
    ));
    assert_eq!(
        (response.status, &response.json()["error"]["type"]),
        (504, &json!("timeout_error"))
    );
}

#[test]
fn redirect_is_not_forwarded() {
    let provider = Provider::start(|_, wire| {
        wire.respond(307, &[("Location", "https://elsewhere.example/")], "")
    });
    let server = Server::with_loopback_egress(&[]);
    let response = server.send(&post_with_key(
        "/v1/embeddings",
        &two_dialect_key(&server, &provider),
        r#"{"model":"m"}"#,
    ));
    assert_eq!(
        (response.status, response.header("location")),
        (502, None),
        "{}",
        response.text()
    );
}

#[test]
fn empty_response_is_complete() {
    let provider = Provider::start(|request, wire| match request.method.as_str() {
        "DELETE" => wire.head(204, &[("Content-Type", "text/event-stream")]),
        "POST" => wire.respond(200, &[("Content-Type", "text/event-stream")], ""),
        _ => wire.respond(200, &[("Content-Type", "application/json")], ""),
    });
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let one = "/v1/responses/r";
    let rows = [
        ("empty", "GET", one, 200),
        ("no-content", "DELETE", one, 204),
        ("no-events", "POST", "/v1/responses/r/cancel", 200),
    ];
    for (id, method, path, status) in rows {
        let request = Request::new(method, path)
            .bearer(&key)
            .header("x-request-id", id);
        let response = server.send(&request);
        assert_eq!(
            (response.status, response.body.len()),
            (status, 0),
            "{method}"
        );
        assert_eq!(server.wait_for_request(id)["status"], status, "{method}");
    }
}
