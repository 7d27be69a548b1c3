//! What is said over a WebSocket passes unchanged, no faster than it is read.

use std::{io::Write as _, sync::mpsc, time::Duration};

use serde_json::json;
use tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use super::{PATH, echoing_provider, key, open};
use crate::support::{
    Connection, PATIENCE, Provider, Request, Server, ample_quotas, grant,
    provider_api::OPENAI_SECRET,
    tls,
    websocket::{self, ClientWebSocket, handshake},
};

/// Sends a message, and checks that the provider sends the same back.
#[track_caller]
fn assert_echoed(websocket: &mut ClientWebSocket, message: &Message) {
    websocket.send(message.clone()).unwrap();
    let echoed = loop {
        let read = websocket.read().unwrap();
        if !read.is_pong() {
            break read;
        }
    };
    assert!(echoed == *message, "{} bytes came back", echoed.len());
}

#[track_caller]
fn assert_conversation(websocket: &mut ClientWebSocket) {
    let created = websocket.read().unwrap();
    assert_eq!(
        created.to_text().unwrap(),
        json!({"type": "session.created"}).to_string()
    );
    assert_echoed(websocket, &Message::text("{\"type\": \"response.create\"}"));
    assert_echoed(websocket, &Message::text(""));
    assert_echoed(websocket, &Message::binary(vec![0, 255, 128]));
    assert_echoed(websocket, &Message::text("x".repeat(70_000)));
    let large: Vec<u8> = (0..4_u32 << 20)
        .map(|n| n.to_le_bytes()[(n % 3) as usize])
        .collect();
    assert_echoed(websocket, &Message::binary(large));
}

#[test]
fn messages_of_every_kind_and_size_pass_both_ways() {
    let provider = echoing_provider();
    let server = Server::with_loopback_egress(&[]);
    let request = open(&key(&server, &provider)).header("x-request-id", "conversation");

    let (response, mut websocket) = server.open_websocket(&request);

    assert_eq!(response.header("upgrade"), Some("websocket"));
    assert_eq!(
        response.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert!(response.header("ratelimit").is_some(), "{response:?}");
    assert_conversation(&mut websocket);
    // In fragments, with a ping between them.
    let fragment = |text: &str, opcode, is_last| {
        Message::Frame(Frame::message(
            text.as_bytes().to_vec(),
            OpCode::Data(opcode),
            is_last,
        ))
    };
    for part in [
        fragment("one, ", Data::Text, false),
        Message::Ping(vec![1, 2].into()),
        fragment("two", Data::Continue, true),
    ] {
        websocket.send(part).unwrap();
    }
    let [first, second] = [(); 2].map(|()| websocket.read().unwrap());
    assert_eq!(first, Message::Pong(vec![1, 2].into()));
    assert_eq!(second.to_text().unwrap(), "one, two");
}

#[test]
fn the_provider_gets_the_handshake_with_its_own_credential() {
    let provider = echoing_provider();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let request = open(&key)
        .header("OpenAI-Beta", "realtime=v1")
        .header("Origin", "https://app.example.com")
        .header("Cookie", "a=b")
        .header("Sec-Fetch-Mode", "websocket")
        .header("Sec-WebSocket-Extensions", "permessage-deflate");

    let (_response, _websocket) = server.open_websocket(&request);

    let received = provider.only_request();
    assert_eq!((&*received.method, &*received.target), ("GET", PATH));
    for (name, value) in [
        ("authorization", Some(format!("Bearer {OPENAI_SECRET}"))),
        ("upgrade", Some("websocket".to_owned())),
        ("connection", Some("Upgrade".to_owned())),
        ("sec-websocket-version", Some("13".to_owned())),
        (
            "sec-websocket-key",
            Some("dGhlIHNhbXBsZSBub25jZQ==".to_owned()),
        ),
        (
            "sec-websocket-extensions",
            Some("permessage-deflate".to_owned()),
        ),
        ("sec-websocket-protocol", None),
        ("openai-beta", Some("realtime=v1".to_owned())),
        ("x-aisbreaker-hops", Some("1".to_owned())),
        ("origin", None),
        ("cookie", None),
        ("sec-fetch-mode", None),
    ] {
        assert_eq!(received.header(name), value.as_deref(), "{name}");
    }
}

#[test]
fn aliases_and_service_ids_name_the_model() {
    let provider = echoing_provider();
    let server = Server::with_loopback_egress(&[]);
    let secrets = json!([
        {"serviceId": "chat:other.example", "authSecret": "sk"},
        {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()},
    ]);
    let key = server.mint(&json!({"requestAuthAndQuotas": {
        "requestQuotas": ample_quotas(),
        "serviceSecrets": secrets,
        "modelAliases": {"voice": "chat:openai.com/gpt-realtime"},
    }}));
    for query in [
        "model=voice",
        "model=chat:openai.com/gpt-realtime",
        "model=openai.com%2Fgpt-realtime",
        "model=gpt-realtime",
    ] {
        let path = format!("/openai/v1/realtime?a=1&{query}");
        let (_, websocket) = server.open_websocket(&handshake(&path).bearer(&key));
        drop(websocket);
    }
    let targets = provider
        .requests()
        .into_iter()
        .map(|request| request.target);
    for target in targets {
        assert_eq!(target, "/v1/realtime?a=1&model=gpt-realtime");
    }
    assert_eq!(provider.requests().len(), 4);
}

#[test]
fn another_server_between_is_one_more_hop() {
    let provider = echoing_provider();
    let outer = Server::with_loopback_egress(&[]);
    // With a key of its own, since no key may be sealed into another one of the same server.
    let phrase = [(
        "AUTH_ENCRYPTION_KEYPHRASE",
        "aW5uZXItc2VydmVyLWtleS0zMi1ieXRlcy1sb25nISE",
    )];
    let inner = Server::with_loopback_egress(&phrase);
    let host = inner.address().ip().to_string();
    let secrets = json!([
        {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()},
    ]);
    let body = grant(&ample_quotas(), &secrets);
    let inner_key = inner.mint_at(&host, &body);
    let outer_key = outer.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": inner_key, "url": inner.url()},
    ]));

    let (_, mut websocket) = outer.open_websocket(&open(&outer_key));

    assert_conversation(&mut websocket);
    let received = provider.only_request();
    assert_eq!(received.header("x-aisbreaker-hops"), Some("2"));
}

#[test]
fn clients_speak_tls() {
    let certificate = tls::Certificate::new();
    let files = tls::CertificateFiles::new(&certificate);
    let provider = echoing_provider();
    let server = Server::with_loopback_egress(&[
        ("AISBREAKER_TLS_CERTIFICATE_FILE", &files.certificate()),
        ("AISBREAKER_TLS_KEY_FILE", &files.key()),
    ]);
    let connect = || {
        let client = tls::client(&certificate);
        Connection::over_tls(tls::connect(client, server.address()).expect("a handshake"))
    };
    let secrets = json!([
        {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()},
    ]);
    let body = grant(&ample_quotas(), &secrets);
    let minted = connect().send(&Request::mint(&body));
    let key = minted.json()["access_token"].as_str().unwrap().to_owned();

    let (_, mut websocket) = websocket::open(connect(), &open(&key));

    assert_conversation(&mut websocket);
}

#[test]
fn a_slow_reader_slows_the_provider_down() {
    let (report, reported) = mpsc::channel();
    let provider = Provider::start(move |request, wire| {
        let _websocket = wire.agree(request, &[]);
        let mut socket = wire.socket();
        socket
            .set_write_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        // Binary frames of 64 KiB.
        let frame = [&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &[7; 65_536]].concat();
        let mut sent = 0_usize;
        while sent < 512 << 20 && socket.write_all(&frame).is_ok() {
            sent += frame.len();
        }
        report.send(sent).unwrap();
        wire.hold();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let before = server.anonymous_memory();
    let connection = Connection::open_with_receive_buffer(server.address(), 64 << 10);

    let (_, _websocket) = websocket::open(connection, &open(&key));

    let sent = reported.recv_timeout(PATIENCE).unwrap();
    assert!(sent < 256 << 20, "the provider could send {sent} bytes");
    let grown = server.anonymous_memory().saturating_sub(before);
    assert!(grown < 4 << 20, "the server holds {grown} bytes more");
}

#[test]
fn a_provider_that_does_not_read_slows_the_client_down() {
    let provider = Provider::start(move |request, wire| {
        let _websocket = wire.agree(request, &[]);
        wire.pause(PATIENCE);
        wire.hold();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let before = server.anonymous_memory();
    let mut connection = server.connect();
    connection.write(&open(&key).to_bytes());
    assert_eq!(connection.head().status, 101);
    let mut socket = connection.writer();
    socket
        .set_write_timeout(Some(Duration::from_secs(2)))
        .unwrap();

    let frame = [
        &[0x82, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4][..],
        &[7; 65_536],
    ]
    .concat();
    let mut sent = 0_usize;
    while sent < 512 << 20 && socket.write_all(&frame).is_ok() {
        sent += frame.len();
    }

    assert!(sent < 256 << 20, "the client could send {sent} bytes");
    let grown = server.anonymous_memory().saturating_sub(before);
    assert!(grown < 4 << 20, "the server holds {grown} bytes more");
}

#[test]
fn a_conversation_is_logged_and_counted_when_it_is_over() {
    let provider = echoing_provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0")]);
    let metrics = server.metrics_address();
    let open_now = || {
        let text = Connection::open(metrics).send(&Request::get("/metrics"));
        let text = text.text().to_owned();
        let line = text
            .lines()
            .find(|line| line.starts_with("aisbreaker_websockets "));
        line.map(str::to_owned)
    };
    let request = open(&key(&server, &provider)).header("x-request-id", "logged");
    let (_, mut websocket) = server.open_websocket(&request);
    assert_eq!(open_now().as_deref(), Some("aisbreaker_websockets 1"));

    websocket.read().unwrap();
    assert_echoed(&mut websocket, &Message::text("abc"));
    websocket.close(None).unwrap();
    while websocket.read().is_ok() {}

    let line = server.wait_for_request("logged");
    for (name, value) in [
        ("status", json!(101)),
        ("operation", json!("realtime")),
        ("route", json!("/v1/realtime")),
        ("service", json!("chat:openai.com/gpt-realtime")),
        ("stream", json!(true)),
        // Masked frames have four bytes more.
        ("received_bytes", json!(6 + 3 + 6)),
        ("sent_bytes", json!(2 + 26 + 2 + 3 + 2)),
        ("close_code", json!(1005)),
        ("error", json!(null)),
    ] {
        assert_eq!(line[name], value, "{name}: {line}");
    }
    let closed = Some("aisbreaker_websockets 0");
    let is_closed = (0..1000).any(|_| open_now().as_deref() == closed);
    assert!(is_closed, "it stays open");
}
