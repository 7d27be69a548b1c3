//! How a client of a WebSocket proves who it is, and what of that the provider gets.

use serde_json::json;

use super::{PATH, echoing_provider, key, key_with};
use crate::support::{
    Provider, Request, Server, provider_api::OPENAI_SECRET, websocket::handshake,
};

/// The subprotocols that browsers offer.
fn protocols(key: &str) -> String {
    format!("realtime, openai-insecure-api-key.{key}, openai-beta.realtime-v1, openai-project.p-1")
}

#[test]
fn browsers_send_the_key_as_a_subprotocol_which_the_provider_never_gets() {
    let provider = echoing_provider();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let request = handshake(PATH)
        .header("Sec-WebSocket-Protocol", protocols(&key))
        .header("x-request-id", "browser");

    let (response, websocket) = server.open_websocket(&request);
    drop(websocket);

    assert_eq!(response.header("sec-websocket-protocol"), Some("realtime"));
    assert!(!format!("{response:?}").contains(&key));
    let received = provider.only_request();
    assert_eq!(
        received.header("sec-websocket-protocol"),
        Some("realtime, openai-beta.realtime-v1, openai-project.p-1")
    );
    let bearer = format!("Bearer {OPENAI_SECRET}");
    assert_eq!(received.header("authorization"), Some(&*bearer));
    assert!(!format!("{received:?}").contains(&key), "{received:?}");
    server.wait_for_request("browser");
    assert!(!server.log().contains(&key), "{}", server.log());
}

#[test]
fn the_provider_selects_a_subprotocol() {
    for (selected, expected) in [
        (
            Some("openai-beta.realtime-v1"),
            Some("openai-beta.realtime-v1"),
        ),
        (Some("realtime"), Some("realtime")),
        // Not one of those that were offered.
        (Some("other"), None),
        (Some("openai-insecure-api-key.x"), None),
    ] {
        let provider = Provider::start(move |request, wire| {
            let fields: Vec<_> = selected
                .map(|selected| ("Sec-WebSocket-Protocol", selected))
                .into_iter()
                .collect();
            let _websocket = wire.agree(request, &fields);
            wire.hold();
        });
        let server = Server::with_loopback_egress(&[]);
        let key = key(&server, &provider);
        let request = handshake(PATH).header("Sec-WebSocket-Protocol", protocols(&key));
        let mut connection = server.connect();
        connection.write(&request.to_bytes());
        let response = connection.head();
        let status = if expected.is_some() { 101 } else { 502 };
        assert_eq!(response.status, status, "{selected:?}: {response:?}");
        assert_eq!(response.header("sec-websocket-protocol"), expected);
    }
}

#[test]
fn a_secret_of_the_caller_goes_where_it_belongs() {
    let provider = echoing_provider();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    // Of two credentials the key counts.
    for (bearer, protocol) in [("sk-own", &*key), (&*key, "sk-own")] {
        let request = handshake(PATH)
            .bearer(bearer)
            .header("Sec-WebSocket-Protocol", protocols(protocol));
        let (_, websocket) = server.open_websocket(&request);
        drop(websocket);
    }
    for received in provider.requests() {
        let bearer = format!("Bearer {OPENAI_SECRET}");
        assert_eq!(received.header("authorization"), Some(&*bearer));
        assert!(!format!("{received:?}").contains("sk-own"));
    }
}

#[test]
fn neither_an_empty_credential_nor_an_extension_gets_anywhere() {
    let provider = echoing_provider();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let empty = handshake(PATH).header("Sec-WebSocket-Protocol", protocols(""));
    assert_eq!(server.send(&empty).status, 401);
    let extension = handshake(PATH)
        .bearer(&key)
        .header("Sec-WebSocket-Extensions", format!("x; key={key}"));
    let response = server.send(&extension);
    assert_eq!(response.status, 400, "{response:?}");
    assert!(!format!("{response:?}").contains(&key), "{response:?}");
    assert_eq!(provider.requests().len(), 0);

    let in_other_case = protocols(&key).replace("openai-insecure", "OpenAI-Insecure");
    let request = handshake(PATH).header("Sec-WebSocket-Protocol", in_other_case);
    let (_, _websocket) = server.open_websocket(&request);
    assert!(!format!("{:?}", provider.only_request()).contains(&key));
}

#[test]
fn an_extension_that_nobody_offered_is_not_accepted() {
    let provider = Provider::start(|request, wire| {
        let _websocket = wire.agree(
            request,
            &[("Sec-WebSocket-Extensions", "permessage-deflate")],
        );
        wire.hold();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let status = |request: Request| {
        let mut connection = server.connect();
        connection.write(&request.to_bytes());
        connection.head().status
    };
    let open = || handshake(PATH).bearer(&key);
    assert_eq!(status(open()), 502);
    let offered = open().header("Sec-WebSocket-Extensions", "permessage-deflate");
    assert_eq!(status(offered), 101);
}

#[test]
fn pages_of_other_origins_are_refused_at_the_handshake() {
    let provider = echoing_provider();
    let server = Server::with_loopback_egress(&[]);
    let origins = json!({"restrict": {"origins": ["https://app.example.com"]}});
    let key = key_with(&server, &provider, &origins);
    let request = || handshake(PATH).header("Sec-WebSocket-Protocol", protocols(&key));

    for origin in [
        "https://evil.example",
        "null",
        "https://app.example.com.evil.example",
    ] {
        let response = server.send(&request().header("Origin", origin));
        assert_eq!(response.status, 403, "{origin}: {response:?}");
        assert!(response.message().contains("`origins`"), "{response:?}");
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
    assert_eq!(server.send(&request()).status, 403, "without an origin");
    assert_eq!(provider.requests().len(), 0);

    let (response, _websocket) =
        server.open_websocket(&request().header("Origin", "https://app.example.com"));
    assert_eq!(
        response.header("access-control-allow-origin"),
        Some("https://app.example.com")
    );
}
