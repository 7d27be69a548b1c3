//! Handshakes that are none, and answers of providers to them.

use serde_json::json;

use super::{PATH, key, open};
use crate::support::{
    Provider, ReceivedRequest, Request, Server, Wire, send_over_http2,
    websocket::{accept, handshake},
};

#[test]
fn what_is_no_handshake_gets_426_or_400() {
    let provider = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let rows = [
        (Request::get(PATH), 426, "by HTTP/1.1"),
        (open(&key).set("Upgrade", "h2c"), 426, "by HTTP/1.1"),
        (open(&key).set("Connection", "close"), 426, "by HTTP/1.1"),
        (
            open(&key).set("Sec-WebSocket-Version", "8"),
            426,
            "Version must be 13",
        ),
        (open(&key).set("Sec-WebSocket-Key", "AAAA"), 400, "16 bytes"),
        (open(&key).set("Sec-WebSocket-Key", ""), 400, "16 bytes"),
        (open(&key).body("x"), 400, "no content"),
        (
            open(&key).header("Sec-WebSocket-Protocol", "a, aisbreaker_x"),
            400,
            "list of tokens",
        ),
        (Request::post(PATH, "{}").bearer(&key), 405, "accepts GET"),
        (
            handshake("/v1/realtime?model=a&model=b").bearer(&key),
            400,
            "twice",
        ),
        (
            handshake("/v1/realtime?model=aisbreaker_x").bearer(&key),
            400,
            "key",
        ),
        (
            handshake("/v1/realtime?model=a&key=aisbreaker_x").bearer(&key),
            400,
            "key",
        ),
        (handshake("/anthropic/v1/realtime").bearer(&key), 404, ""),
    ];
    for (request, status, message) in rows {
        let response = server.send(&request);
        assert_eq!(response.status, status, "{request:?}: {response:?}");
        let text = response.message();
        assert!(text.contains(message), "{request:?}: {text}");
        if status == 426 {
            assert_eq!(response.header("upgrade"), Some("websocket"));
        }
    }
    let preflight = server.send(&Request::new("OPTIONS", PATH));
    assert_eq!(
        (preflight.status, preflight.header("allow")),
        (204, Some("GET, OPTIONS"))
    );
    assert_eq!(provider.requests().len(), 0);
}

#[test]
fn http2_has_no_websockets() {
    let server = Server::start(&[]);
    let request = hyper::Request::get(format!("http://localhost{PATH}"))
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "13")
        .body(String::new())
        .unwrap();

    let responses = send_over_http2(&server, vec![request]);

    let (head, body) = &responses[0];
    assert_eq!(head.status, 426);
    assert!(body.contains("by HTTP/1.1"), "{body}");
}

#[test]
fn the_refusal_of_a_provider_is_passed_on() {
    for status in [400, 401, 403, 404, 429, 500, 503] {
        let provider = Provider::start(move |_, wire| {
            let body = json!({"error": {"message": "no", "type": "t", "code": "c"}}).to_string();
            let fields = [("Content-Type", "application/json"), ("Retry-After", "7")];
            wire.respond(status, &fields, body);
        });
        let server = Server::with_loopback_egress(&[]);
        let key = key(&server, &provider);
        let mut connection = server.connect();

        let response = connection.send(&open(&key));

        assert_eq!(response.status, status, "{response:?}");
        assert_eq!(response.json()["error"]["code"], "c");
        assert_eq!(response.header("retry-after"), Some("7"));
        assert_eq!(response.header("upgrade"), None);
        // The connection goes on in HTTP/1.1.
        assert_eq!(connection.send(&Request::get("/api/v1/ping")).status, 200);
    }
}

type Script = fn(&ReceivedRequest, &mut Wire);

#[test]
fn an_answer_that_is_none_to_the_handshake_is_a_bad_gateway() {
    let scripts: [(&str, Script); 5] = [
        ("another key", |_, wire| {
            let fields = [
                ("Sec-WebSocket-Accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
                ("Connection", "Upgrade"),
                ("Upgrade", "websocket"),
            ];
            wire.head(101, &fields);
            wire.hold();
        }),
        ("no accept", |_, wire| {
            wire.head(101, &[("Connection", "Upgrade"), ("Upgrade", "websocket")]);
            wire.hold();
        }),
        ("another protocol", |request, wire| {
            let accept = accept(request);
            let fields = [
                ("Sec-WebSocket-Accept", &*accept),
                ("Connection", "Upgrade"),
                ("Upgrade", "h2c"),
            ];
            wire.head(101, &fields);
            wire.hold();
        }),
        ("no switch", |_, wire| wire.json(200, &json!({}))),
        ("a redirect", |_, wire| {
            wire.respond(302, &[("Location", "https://evil.example/")], "");
        }),
    ];
    for (name, script) in scripts {
        let provider = Provider::start(script);
        let server = Server::with_loopback_egress(&[]);
        let response = server.send(&open(&key(&server, &provider)));
        assert_eq!(response.status, 502, "{name}: {response:?}");
    }
}

#[test]
fn addresses_that_may_not_be_called_are_not_called() {
    let provider = Provider::trap();
    let server = Server::start(&[]);
    let response = server.send(&open(&key(&server, &provider)));
    assert_eq!(response.status, 403, "{response:?}");
    assert_eq!(provider.connections(), 0);
}
