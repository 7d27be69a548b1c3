//! `/v1/responses` over a WebSocket, as Codex opens it: nearly each message is a request.

use std::sync::mpsc;

use serde_json::{Value, json};
use tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::support::{
    PATIENCE, Provider, Request, Response, Server, ample_quotas, grant,
    provider_api::OPENAI_SECRET,
    quotas,
    websocket::{ClientWebSocket, handshake, read_close},
};

const PATH: &str = "/v1/responses";

/// Starts a provider that completes each response at once, and reports what it was sent.
fn completing_provider() -> (Provider, mpsc::Receiver<String>) {
    let (report, reported) = mpsc::channel();
    let provider = Provider::start(move |request, wire| {
        if request.method == "POST" {
            return wire.json(200, &json!({"id": "resp_over_http"}));
        }
        let mut websocket = wire.agree(request, &[("x-codex-turn-state", "t")]);
        while let Ok(message) = websocket.read() {
            if let Message::Text(text) = &message {
                let _test_is_over = report.send(text.to_string());
                let completed = json!({"type": "response.completed"}).to_string();
                let _sent = websocket.send(completed.into());
            }
        }
    });
    (provider, reported)
}

fn secret(provider: &Provider) -> Value {
    json!([{"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()}])
}

fn key(server: &Server, provider: &Provider) -> String {
    server.mint_with_secrets(&secret(provider))
}

/// The handshake of Codex.
fn codex(key: &str) -> Request {
    handshake(PATH)
        .bearer(key)
        .header("OpenAI-Beta", "responses_websockets=2026-02-06")
        .header("originator", "codex_cli_rs")
        .header(
            "Sec-WebSocket-Extensions",
            "permessage-deflate; client_max_window_bits",
        )
}

fn create(model: &str) -> String {
    json!({"type": "response.create", "model": model, "input": [], "stream": true}).to_string()
}

#[track_caller]
fn complete(websocket: &mut ClientWebSocket, message: &str) {
    websocket.send(message.into()).unwrap();
    let event = websocket.read().unwrap();
    assert!(
        event.to_text().unwrap().contains("response.completed"),
        "{event}"
    );
}

/// Reads the error event and the close frame after a message that is refused.
#[track_caller]
fn read_refusal(websocket: &mut ClientWebSocket) -> Value {
    let event = websocket.read().unwrap();
    let event: Value = serde_json::from_str(event.to_text().unwrap()).unwrap();
    assert_eq!(event["type"], "error", "{event}");
    assert_eq!(read_close(websocket).0, 1008);
    event
}

#[test]
fn codex_takes_its_turns_over_one_websocket() {
    let (provider, sent) = completing_provider();
    let server = Server::with_loopback_egress(&[]);
    let request = codex(&key(&server, &provider)).header("x-request-id", "codex");

    let (response, mut websocket) = server.open_websocket(&request);

    assert_eq!(response.header("x-codex-turn-state"), Some("t"));
    let received = provider.only_request();
    assert_eq!(received.target, PATH);
    for (name, value) in [
        ("openai-beta", Some("responses_websockets=2026-02-06")),
        ("originator", Some("codex_cli_rs")),
        // Messages are read, so that none may be compressed.
        ("sec-websocket-extensions", None),
    ] {
        assert_eq!(received.header(name), value, "{name}");
    }
    let processed = r#"{"type": "response.processed", "response_id": "resp_1"}"#;
    let long = format!(
        r#"{{"type":"response.create","model":"gpt-5","input":"{}"}}"#,
        "x".repeat(3 << 20)
    );
    let bare = r#"{ "model" : "gpt-5" , "type" : "response.create" }"#;
    for (message, expected) in [
        (bare, bare.to_owned()),
        (&*create("openai.com/gpt-5"), create("gpt-5")),
        (&*create("chat:openai.com/gpt-5"), create("gpt-5")),
        (processed, processed.to_owned()),
        (&*long, long.clone()),
    ] {
        complete(&mut websocket, message);
        let passed = sent.recv_timeout(PATIENCE).unwrap();
        assert!(passed == expected, "{} bytes passed", passed.len());
    }
    websocket.close(None).unwrap();
    while websocket.read().is_ok() {}
    let line = server.wait_for_request("codex");
    assert_eq!(line["operation"], "responses", "{line}");
    assert_eq!(
        (&line["status"], &line["error"]),
        (&json!(101), &json!(null))
    );
}

#[test]
fn a_message_in_fragments_is_judged_as_one() {
    let (provider, sent) = completing_provider();
    let server = Server::with_loopback_egress(&[]);
    let (_, mut websocket) = server.open_websocket(&codex(&key(&server, &provider)));
    let whole = create("openai.com/gpt-5");
    let (first, last) = whole.split_at(30);
    let fragment = |text: &str, opcode, is_last| {
        let payload = text.as_bytes().to_vec();
        Message::Frame(Frame::message(payload, OpCode::Data(opcode), is_last))
    };
    for part in [
        fragment(first, Data::Text, false),
        Message::Ping(vec![7].into()),
        fragment(last, Data::Continue, true),
    ] {
        websocket.send(part).unwrap();
    }
    assert_eq!(websocket.read().unwrap(), Message::Pong(vec![7].into()));
    assert_eq!(sent.recv_timeout(PATIENCE).unwrap(), create("gpt-5"));
}

#[test]
fn each_response_is_charged() {
    let (provider, sent) = completing_provider();
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint(&grant(&quotas([2; 3], [2; 3]), &secret(&provider)));
    let request = codex(&key).header("x-request-id", "charged");
    let (response, mut websocket) = server.open_websocket(&request);
    assert_eq!(response.header("x-ratelimit-remaining-requests"), Some("1"));

    // The handshake paid for the first, and these events cost nothing.
    complete(&mut websocket, &create("gpt-5"));
    complete(&mut websocket, r#"{"type": "response.processed"}"#);
    complete(&mut websocket, r#"{"type": "response.cancel"}"#);
    complete(&mut websocket, &create("gpt-5"));
    websocket.send(create("gpt-5").into()).unwrap();

    let event = read_refusal(&mut websocket);
    assert_eq!(event["status"], 429, "{event}");
    assert!(event["error"]["message"].is_string(), "{event}");
    assert_eq!(sent.try_iter().count(), 4);
    let line = server.wait_for_request("charged");
    assert_eq!(line["error"], "quota_exceeded", "{line}");
    assert_eq!(line["close_code"], 1008, "{line}");
}

#[test]
fn whatever_may_begin_a_response_is_charged() {
    let (provider, sent) = completing_provider();
    let server = Server::with_loopback_egress(&[]);
    let long = format!(
        r#"{{"type":"response.processed","x":"{}"}}"#,
        "x".repeat(64 << 10)
    );
    let steer = r#"{"type":"response.steer","previous_response_id":"resp_1","input":"x"}"#;
    for message in [steer, r#"{"type":"of next year"}"#, "{}", &long] {
        let key = server.mint(&grant(&quotas([2; 3], [2; 3]), &secret(&provider)));
        let (_, mut websocket) = server.open_websocket(&codex(&key));
        complete(&mut websocket, message);
        complete(&mut websocket, message);
        websocket.send(message.into()).unwrap();
        let event = read_refusal(&mut websocket);
        assert_eq!(event["status"], 429, "{message:.60}: {event}");
        assert_eq!(sent.try_iter().count(), 2, "{message:.60}");
    }
}

#[test]
fn a_message_that_the_key_or_the_server_does_not_allow_is_refused() {
    let (provider, sent) = completing_provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_MAX_BODY_BYTES", "100000")]);
    let key = key(&server, &provider);
    let text = |text: &str| Message::text(text);
    let rows = [
        (text(&create("chat:groq.com/llama")), 404),
        (text(&create("anthropic.com/claude")), 404),
        (text(&create("aisbreaker_x")), 400),
        (text("no JSON"), 400),
        (text("[]"), 400),
        (
            text(r#"{"type":"response.create","model":"a","model":"b"}"#),
            400,
        ),
        (
            text(r#"{"type":"x","type":"response.create","model":"a"}"#),
            400,
        ),
        (
            text(r#"{"type":"response.processed","Type":"response.create"}"#),
            400,
        ),
        (
            text(r#"{"type":"response.steer","model":"chat:groq.com/llama"}"#),
            404,
        ),
        (Message::binary(create("gpt-5")), 400),
        (text(&create(&"x".repeat(100_000))), 413),
    ];
    for (message, status) in rows {
        let (_, mut websocket) = server.open_websocket(&codex(&key));
        let _sent = websocket.send(message.clone());
        let event = read_refusal(&mut websocket);
        assert_eq!(event["status"], status, "{event}");
    }
    assert_eq!(sent.try_iter().count(), 0);
}

#[test]
fn a_message_that_does_not_come_on_is_refused() {
    let (provider, sent) = completing_provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_BODY_TIMEOUT", "1s")]);
    let mut connection = server.connect();
    connection.write(&codex(&key(&server, &provider)).to_bytes());
    assert_eq!(connection.head().status, 101);

    // A frame of 100 bytes, and one of them.
    connection.write(&[0x81, 0x80 | 100, 1, 2, 3, 4, b'x']);

    let text = String::from_utf8_lossy(&connection.read_to_end()).into_owned();
    assert!(text.contains(r#""status":408"#), "{text}");
    assert_eq!(sent.try_iter().count(), 0);
}

/// Codex goes on over HTTP at once after 426, and after no other status.
#[track_caller]
fn assert_http_only(row: &str, response: &Response, message: &str) {
    assert_eq!(response.status, 426, "{row}: {response:?}");
    assert_eq!(response.header("upgrade"), Some("HTTP/1.1"), "{row}");
    let text = response.message();
    assert!(
        text.contains(message) && text.contains("over HTTP"),
        "{row}: {text}"
    );
}

#[test]
fn a_key_that_messages_could_get_round_is_sent_to_http() {
    let (provider, _sent) = completing_provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_VOLATILE_BUDGETS", "true")]);
    let entry =
        |id: &str| json!({"serviceId": id, "authSecret": OPENAI_SECRET, "url": provider.url()});
    let mint = |entries: &[&str], more: Value| {
        let entries: Vec<_> = entries.iter().map(|id| entry(id)).collect();
        let mut grant = json!({"requestQuotas": ample_quotas(), "serviceSecrets": entries});
        for (name, value) in more.as_object().unwrap() {
            grant[name] = value.clone();
        }
        server.mint(&json!({"requestAuthAndQuotas": grant, "expirationTimeSpan": "1h"}))
    };
    let whole = ["chat:openai.com"];
    let restricted = |restrict: Value| mint(&whole, json!({"restrict": restrict}));
    let rows = [
        (
            mint(&["chat:openai.com/gpt-5"], json!({})),
            "names no model",
            200,
        ),
        (
            mint(&["chat:openai.com", "chat:groq.com"], json!({})),
            "several services",
            200,
        ),
        (
            mint(
                &whole,
                json!({"modelAliases": {"gpt-5": "chat:openai.com/gpt-5"}}),
            ),
            "several services",
            200,
        ),
        (
            mint(
                &whole,
                json!({"budgets": {"global": {"tokensPerDay": 1_000_000}}}),
            ),
            "budgets",
            200,
        ),
        (
            restricted(json!({"maxBodyBytes": 1000})),
            "`maxBodyBytes`",
            200,
        ),
        (
            restricted(json!({"services": ["chat:openai.com/gpt-5"]})),
            "`services`",
            200,
        ),
        (
            restricted(json!({"operations": ["chat/completions"]})),
            "`operations`",
            403,
        ),
        (
            restricted(json!({"origins": ["https://a.example"]})),
            "`origins`",
            403,
        ),
    ];
    for (key, message, status) in rows {
        assert_http_only(message, &server.send(&codex(&key)), message);
        let over_http = Request::post(
            PATH,
            r#"{"model":"gpt-5","input":"x","max_output_tokens":9}"#,
        );
        let response = server.send(&over_http.bearer(&key));
        assert_eq!(response.status, status, "{message}: {response:?}");
    }
    assert!(
        provider
            .requests()
            .iter()
            .all(|request| request.method == "POST")
    );
}

#[test]
fn a_provider_without_websockets_is_asked_over_http() {
    for status in [200, 302, 400, 404, 405, 426, 501] {
        let provider = Provider::start(move |_, wire| wire.json(status, &json!({"error": {}})));
        let server = Server::with_loopback_egress(&[]);
        let response = server.send(&codex(&key(&server, &provider)));
        assert_http_only(&status.to_string(), &response, "");
        assert!(response.header("ratelimit").is_some(), "{response:?}");
    }
    let provider = Provider::start(|_, wire| wire.close());
    let server = Server::with_loopback_egress(&[]);
    let response = server.send(&codex(&key(&server, &provider)));
    assert_http_only("cut", &response, "");
    for status in [401, 403, 429, 500, 503] {
        let provider = Provider::start(move |_, wire| {
            wire.json(status, &json!({"error": {"code": "c"}}));
        });
        let server = Server::with_loopback_egress(&[]);
        let response = server.send(&codex(&key(&server, &provider)));
        assert_eq!(response.status, status, "{response:?}");
        assert_eq!(response.json()["error"]["code"], "c");
    }
}
