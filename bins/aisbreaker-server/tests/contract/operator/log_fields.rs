//! What the log has of the provider, of times, and of errors.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Provider, Request, Server, UnreachableAddresses, ample_quotas, dummy_call, grant,
    openai::{completion, completion_stream, openai_call},
    provider_api::{CHAT, post_with_key, two_dialect_key},
    sse, streamed,
};

const SLOW: Duration = Duration::from_millis(300);

/// A provider whose answer depends on the model.
fn provider() -> Provider {
    Provider::start(|received, wire| {
        let request = received.json();
        let model = request["model"].as_str().unwrap_or_default();
        if model.contains("slow") {
            wire.pause(SLOW);
        }
        match model {
            "503" => wire.json(503, &json!({})),
            "cut" => {
                wire.stream();
                wire.chunk(sse(
                    &json!({"choices": [{"index": 0, "delta": {"content": "a"}}]}),
                ));
                wire.close();
            }
            _ if request["stream"] == true => wire.whole_stream(completion_stream(&["a", "b"])),
            _ => wire.json(200, &completion("a")),
        }
    })
}

/// Sends a request, and returns its line of the log.
fn logged(server: &Server, id: &str, request: Request) -> Value {
    server.send(&request.header("x-request-id", id));
    server.wait_for_request(id)
}

fn milliseconds(line: &Value, name: &str) -> u64 {
    let time = line[name].as_u64();
    time.unwrap_or_else(|| panic!("{name} in {line}"))
}

#[test]
fn calls_have_their_provider_operation_and_stream() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let chat = |body: Value| post_with_key(CHAT, &key, body.to_string());
    let process = |body: &Value| Request::process(body).bearer(&key);
    let rows = [
        (chat(json!({"model": "m"})), "chat/completions", false),
        (
            chat(json!({"model": "m", "stream": true})),
            "chat/completions",
            true,
        ),
        (process(&openai_call("a")), "process", false),
        (process(&streamed(openai_call("a"))), "process", true),
    ];
    for (index, (request, operation, is_stream)) in rows.into_iter().enumerate() {
        let line = logged(&server, &format!("row-{index}"), request);
        assert_eq!(
            (&line["provider"], &line["operation"], &line["stream"]),
            (&json!("openai.com"), &json!(operation), &json!(is_stream)),
            "{line}"
        );
        let first_byte = milliseconds(&line, "first_byte_ms");
        let upstream = milliseconds(&line, "upstream_ms");
        assert!(first_byte <= upstream, "{line}");
        assert!(line["error"].is_null(), "{line}");
    }

    let line = logged(&server, "dummy", Request::process(&dummy_call()));
    assert_eq!(
        (&line["operation"], &line["stream"]),
        (&json!("process"), &json!(false))
    );
    for absent in ["provider", "first_byte_ms", "upstream_ms"] {
        assert!(line[absent].is_null(), "no provider was called: {line}");
    }
    let line = logged(&server, "ping", Request::get("/api/v1/ping"));
    assert!(
        line["operation"].is_null() && line["stream"].is_null(),
        "{line}"
    );
}

#[test]
fn slow_provider_and_slow_client_are_told_apart() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let slow = u64::try_from(SLOW.as_millis()).unwrap();
    for (id, body) in [
        ("whole", json!({"model": "slow"})),
        ("stream", json!({"model": "slow", "stream": true})),
    ] {
        let line = logged(&server, id, post_with_key(CHAT, &key, body.to_string()));
        assert!(milliseconds(&line, "first_byte_ms") >= slow, "{line}");
        assert!(milliseconds(&line, "upstream_ms") >= slow, "{line}");
        let total = milliseconds(&line, "receive_ms") + milliseconds(&line, "upstream_ms");
        assert!(total <= milliseconds(&line, "duration_ms"), "{line}");
    }

    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    let body = json!({"model": "m"}).to_string();
    let request = post_with_key(CHAT, &key, body.clone())
        .header("Expect", "100-continue")
        .header("x-request-id", "upload")
        .to_bytes();
    let mut connection = server.connect();
    connection.write(&request[..request.len() - body.len()]);
    // The request has begun once the server asks for its body.
    assert_eq!(connection.read_exact(CONTINUE.len()), CONTINUE.as_bytes());
    connection.wait_in_vain(SLOW);
    connection.write(body.as_bytes());
    assert_eq!(connection.response_to("POST").status, 200);
    let line = server.wait_for_request("upload");
    assert!(milliseconds(&line, "receive_ms") >= slow, "{line}");
}

#[test]
fn errors_have_a_fixed_word() {
    let provider = provider();
    let unreachable = UnreachableAddresses::new();
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let nowhere = server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "x", "url": unreachable.refusing_url()},
    ]));
    let chat = |key: &str, body: Value| post_with_key(CHAT, key, body.to_string());
    let rows = [
        (Request::get("/nothing"), "not_found"),
        (Request::new("PUT", "/api/v1/ping"), "method_not_allowed"),
        (Request::process(&json!({})), "invalid_request"),
        (
            Request::process(&dummy_call()).bearer("aisbreaker_x"),
            "invalid_key",
        ),
        (
            chat(&key, json!({"model": "chat:nobody.example/m"})),
            "unknown_service",
        ),
        (chat(&key, json!({"model": "503"})), "provider_error"),
        (
            chat(&key, json!({"model": "cut", "stream": true})),
            "provider_cut",
        ),
        (
            chat(&nowhere, json!({"model": "m"})),
            "provider_unreachable",
        ),
        (
            Request::process(&openai_call("a")).bearer(&nowhere),
            "provider_unreachable",
        ),
        (
            Request::process(&streamed(openai_call("a"))).bearer(&nowhere),
            "provider_unreachable",
        ),
    ];
    for (index, (request, word)) in rows.into_iter().enumerate() {
        let line = logged(&server, &format!("row-{index}"), request);
        assert_eq!(line["error"], word, "{line}");
    }
}

#[test]
fn keys_of_the_last_seven_days_are_logged_and_announced() {
    const DAY: u64 = 86_400;
    let server = Server::start(&[]);
    let send = |lifetime: &str, id: &str| {
        let mut body = grant(&ample_quotas(), &json!([]));
        body["expirationTimeSpan"] = json!(lifetime);
        let key = server.mint(&body);
        let request = Request::process(&dummy_call())
            .bearer(&key)
            .header("x-request-id", id);
        let response = server.send(&request);
        assert_eq!(response.status, 200);
        let expires = response
            .header("x-aisbreaker-key-expires")
            .map(str::to_owned);
        (server.wait_for_request(id), expires)
    };

    let (line, expires) = send("8d", "long");
    assert!(line["key_expires_in_s"].is_null(), "{line}");
    assert_eq!(expires, None);

    let (line, expires) = send("2d", "short");
    let left = milliseconds(&line, "key_expires_in_s");
    assert!((DAY..=2 * DAY).contains(&left), "{line}");
    let expires = expires.expect("the time of the end");
    assert!(
        expires.ends_with('Z') && expires.len() == "2026-12-08T07:59:59Z".len(),
        "{expires}"
    );
}
