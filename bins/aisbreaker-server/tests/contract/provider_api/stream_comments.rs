//! Lines that are no part of an event, and byte order marks, in forwarded streams.

use crate::support::{
    Connection, Provider, Server, gate,
    provider_api::{CHAT, MESSAGES, post_with_key, two_dialect_key},
};

const STREAMED: &str = r#"{"model":"m","stream":true}"#;

fn begin_stream(server: &Server, path: &str, key: &str) -> Connection {
    let mut connection = server.connect();
    connection.write(&post_with_key(path, key, STREAMED).to_bytes());
    assert_eq!(connection.head().status, 200);
    connection
}

fn next_text(connection: &mut Connection) -> String {
    let chunk = connection.try_chunk().expect("a chunk");
    String::from_utf8(chunk).expect("text")
}

#[test]
fn comment_lines_do_not_wait_for_an_event() {
    let lines = [
        ": keep-alive\n",
        ":\n",
        ": a\r\n: b\r\n",
        "retry: 5000\n",
        ": again\n",
    ];
    let (gate, waiter) = gate();
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        for line in lines {
            wire.chunk(line);
            waiter.wait();
        }
        wire.chunk("data: a\n\n: half");
        waiter.wait();
        wire.chunk(" a comment\nevent: x\n: inside\n");
        waiter.wait();
        wire.chunk("data: [DONE]\n\n");
        wire.end();
    });
    let server = Server::with_loopback_egress(&[]);
    for path in [CHAT, MESSAGES] {
        let mut connection = begin_stream(&server, path, &two_dialect_key(&server, &provider));
        for line in lines {
            assert_eq!(next_text(&mut connection), line, "{path}");
            gate.release_one();
        }
        assert_eq!(next_text(&mut connection), "data: a\n\n", "{path}");
        gate.release_one();
        assert_eq!(next_text(&mut connection), ": half a comment\n", "{path}");
        gate.release_one();
        assert_eq!(
            next_text(&mut connection),
            "event: x\n: inside\ndata: [DONE]\n\n",
            "{path}"
        );
    }
}

#[test]
fn byte_order_mark_is_first_or_dropped() {
    let (gate, waiter) = gate();
    let provider = Provider::start(move |received, wire| {
        wire.stream();
        if received.target == MESSAGES {
            waiter.wait();
        }
        wire.chunk(b"\xef");
        wire.chunk(b"\xbb\xbfdata: a\n\ndata: [DONE]\n\n");
        wire.end();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let prompt = server.send(&post_with_key(CHAT, &key, STREAMED));
    assert!(
        prompt
            .text()
            .ends_with("\u{feff}data: a\n\ndata: [DONE]\n\n"),
        "{:?}",
        prompt.text()
    );

    let server = Server::with_loopback_egress(&[("AISBREAKER_STREAM_KEEP_ALIVE", "20ms")]);
    let key = two_dialect_key(&server, &provider);
    let mut connection = begin_stream(&server, MESSAGES, &key);
    let ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
    assert_eq!(next_text(&mut connection), ping);
    gate.release_one();
    let mut text = String::new();
    while !text.ends_with("[DONE]\n\n") {
        text.push_str(&next_text(&mut connection));
    }
    assert_eq!(text.replace(ping, ""), "data: a\n\ndata: [DONE]\n\n");
}
