//! Handshakes of WebSockets at paths that have none, and handshakes that are not valid.

use crate::support::{Provider, Request, Server, assert_error, dummy_call};

fn handshake(path: &str) -> Request {
    Request::get(path)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
}

#[test]
fn handshake_on_every_served_path_gets_426() {
    let server = Server::start(&[]);
    for path in [
        "/api/v1/process",
        "/api/v1alpha1/process/",
        "/api/v1/oauth/token",
        "/api/v1/ping",
        "/v1/responses",
        "/v1/responses?model=gpt-4o",
        "/openai/v1/responses",
        "/v1/responses/resp_1",
        "/v1/chat/completions",
        "/v1/messages",
        "/anthropic/v1/messages",
        "/v1/models",
    ] {
        let response = server.send(&handshake(path));

        assert_eq!(response.status, 426, "{path}: {response:?}");
        assert_eq!(response.header("upgrade"), Some("HTTP/1.1"), "{path}");
        assert_eq!(response.header("connection"), Some("upgrade"), "{path}");
        assert!(response.message().contains("WebSocket"), "{path}");
        if path.starts_with("/api/") {
            assert_error(path, &response, 426, "");
        }
    }
    assert_eq!(server.send(&handshake("/v1/nothing")).status, 404);
    assert_eq!(server.send(&Request::get("/v1/responses")).status, 405);
}

#[test]
fn handshake_is_known_in_every_form() {
    let server = Server::start(&[]);
    let get = || Request::get("/v1/responses");
    let rows = [
        get()
            .header("connection", "upgrade")
            .header("upgrade", "WebSocket"),
        get()
            .header("CONNECTION", "keep-alive, UPGRADE")
            .header("UPGRADE", "h2c, websocket"),
        get()
            .header("Connection", "keep-alive")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket/13"),
        // A proxy in front has removed the fields of the connection.
        get()
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        handshake("/v1/responses").bearer("aisbreaker_invalid"),
    ];
    for request in rows {
        let mut connection = server.connect();
        assert_eq!(connection.send(&request).status, 426, "{request:?}");
        // The connection goes on in HTTP/1.1.
        let next = connection.send(&Request::process(&dummy_call()));
        assert_eq!(next.status, 200, "{request:?}");
    }
    let other = Request::process(&dummy_call())
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket");
    assert_eq!(server.send(&other).status, 200, "not a handshake");
}

#[test]
fn handshake_is_neither_charged_nor_passed_on() {
    let provider = Provider::start(|_, _| panic!("the provider is called"));
    let server = Server::with_loopback_egress(&[]);
    let secrets = serde_json::json!([{
        "serviceId": "chat:openai.com", "authSecret": "sk-own", "url": provider.url()
    }]);
    let key = server.mint_with_secrets(&secrets);

    let response = server.send(&handshake("/v1/responses/resp_1").bearer(&key));

    assert_eq!(response.status, 426, "{response:?}");
    assert_eq!(response.header("ratelimit"), None);
}
