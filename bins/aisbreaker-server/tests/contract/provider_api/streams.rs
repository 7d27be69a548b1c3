//! Forwarded streams: unchanged, alive while they pause, and with an unambiguous end.

use std::{sync::mpsc, time::Duration};

use serde_json::{Value, json};

use super::{digest, number};
use crate::support::{
    Provider, Server, gate,
    provider_api::{CHAT, MESSAGES, post_with_key, two_dialect_key},
    sse,
};

const STREAMED: &str = r#"{"model":"m","stream":true}"#;

/// Ten thousand events of various forms.
fn many_events() -> Vec<u8> {
    let text = |index: usize| match index % 5 {
        0 => format!(
            "data: {{\"n\":{index},\"x\":\"{}\"}}\n\n",
            "y".repeat(index % 700)
        ),
        1 => format!("event: e{index}\r\ndata: {index}\r\n\r\n"),
        2 => format!(": comment\ndata:{index}\ndata: more\n\n"),
        3 => format!("id: {index}\rdata: {index}\r\r"),
        _ => "retry: 5\n\ndata: {\"usage\":null,\"f\":1.0e0}\n\n".to_owned(),
    };
    (0..10_000).map(text).collect::<String>().into_bytes()
}

#[test]
fn ten_thousand_events_pass_unchanged_at_any_chunk_size() {
    let events = many_events();
    let expected = digest(&events);
    let provider = Provider::start(move |received, wire| {
        wire.stream();
        let length = number(received, "n");
        let mut rest = events.as_slice();
        let mut step = 0;
        while !rest.is_empty() {
            // Chunk boundaries anywhere in the events, at about the requested distance.
            step += 1;
            let (chunk, remainder) = rest.split_at((length + step % 7).min(rest.len()));
            wire.chunk(chunk);
            rest = remainder;
        }
        wire.end();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    for path in [CHAT, MESSAGES] {
        for length in [13, 1_000, 60_000, 5_000_000] {
            let request = post_with_key(
                path,
                &key,
                json!({"model": "m", "stream": true, "n": length}).to_string(),
            );
            let response = server.send(&request);
            assert!(
                !response.is_truncated && digest(&response.body) == expected,
                "{path} in chunks of {length}"
            );
        }
    }
}

#[test]
fn truncated_stream_ends_with_an_error_of_the_dialect() {
    let provider = Provider::start(|received, wire| {
        wire.stream();
        let event = if received.target == "/v1/responses" {
            "event: a\n"
        } else {
            ""
        };
        wire.chunk(format!("{event}{}", sse(&json!({"whole": 1}))));
        wire.chunk("data: {\"half\":");
        wire.close();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let message = "the service's answer was cut short or is not valid HTTP";
    let openai =
        json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}});
    let mut responses_api = openai.clone();
    responses_api.as_object_mut().unwrap().extend([
        ("type".to_owned(), json!("error")),
        ("code".to_owned(), json!(null)),
        ("param".to_owned(), json!(null)),
        ("message".to_owned(), json!(message)),
    ]);
    let anthropic = json!({"type": "error", "error": {"type": "api_error", "message": message}});
    let rows = [
        (CHAT, "", openai),
        ("/v1/responses", "event: error\n", responses_api),
        (MESSAGES, "event: error\n", anthropic),
    ];
    for (path, name, expected) in rows {
        let response = server.send(
            &post_with_key(path, &key, STREAMED).header("x-request-id", path.replace('/', "-")),
        );

        assert!(!response.is_truncated, "{path}: the end is missing");
        let whole = sse(&json!({"whole": 1}));
        let (_, last) = response
            .text()
            .split_once(&whole)
            .expect("the complete event");
        let json = last
            .strip_prefix(&format!("{name}data: "))
            .and_then(|rest| rest.strip_suffix("\n\n"))
            .unwrap_or_else(|| panic!("{path}: {last:?}"));
        let id = format!(" (request {})", path.replace('/', "-"));
        let data: Value = serde_json::from_str(&json.replace(&id, "")).unwrap();
        assert_eq!(data, expected, "{path}");
        assert!(json.contains(&id), "{path}: {json}");
        let line = server.wait_for_request(&path.replace('/', "-"));
        assert_eq!(
            line["cause"],
            format!("answer was cut: {message}"),
            "{path}"
        );
    }
}

#[test]
fn unframed_end_is_complete_only_after_the_last_event() {
    let provider = Provider::start(|received, wire| {
        wire.head(
            200,
            &[
                ("Content-Type", "text/event-stream; charset=utf-8"),
                ("Connection", "close"),
            ],
        );
        wire.write(received.json()["events"].as_str().unwrap());
        wire.close();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let rows = [
        (CHAT, "data: a\n\n", false),
        (CHAT, "data: a\n\ndata: [DONE]\n\n", true),
        (CHAT, "data: a\n\ndata: [DONE]", true),
        (MESSAGES, "event: a\ndata: {}\n\n", false),
        (
            MESSAGES,
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            true,
        ),
        (
            "/v1/responses",
            "data: {\"type\":\"response.completed\"}\n\n",
            true,
        ),
    ];
    for (path, events, is_whole) in rows {
        let response = server.send(&post_with_key(
            path,
            &key,
            json!({"model": "m", "events": events}).to_string(),
        ));
        assert_eq!(
            response.text() == events,
            is_whole,
            "{path} {events:?}: {}",
            response.text()
        );
        assert_eq!(
            response.text().contains("\"error\""),
            !is_whole,
            "{path} {events:?}: {}",
            response.text()
        );
    }
}

#[test]
fn framed_end_is_forwarded_as_it_is() {
    let events = "data: a\n\ndata: no blank line and no last event";
    let provider = Provider::start(move |_, wire| wire.whole_stream(events));
    let server = Server::with_loopback_egress(&[]);
    let response = server.send(&post_with_key(
        CHAT,
        &two_dialect_key(&server, &provider),
        STREAMED,
    ));
    assert_eq!((response.text(), response.is_truncated), (events, false));
}

#[test]
fn encoded_stream_is_forwarded_as_it_arrives() {
    let (gate, waiter) = gate();
    let provider = Provider::start(move |_, wire| {
        wire.head(
            200,
            &[
                ("Content-Type", "text/event-stream"),
                ("Content-Encoding", "br"),
                ("Transfer-Encoding", "chunked"),
            ],
        );
        wire.chunk([1, 2, 3]);
        waiter.wait();
        wire.chunk([4]);
        wire.end();
    });
    let server = Server::with_loopback_egress(&[("AISBREAKER_STREAM_KEEP_ALIVE", "1ms")]);
    let mut connection = server.connect();
    connection
        .write(&post_with_key(CHAT, &two_dialect_key(&server, &provider), STREAMED).to_bytes());
    assert_eq!(connection.head().header("content-encoding"), Some("br"));
    assert_eq!(
        connection.try_chunk(),
        Some(vec![1, 2, 3]),
        "bytes that look like half an event"
    );
    gate.release_one();
    assert_eq!(
        connection.try_chunk(),
        Some(vec![4]),
        "the server inserted bytes"
    );
}

#[test]
fn events_received_together_are_sent_together() {
    let events: Vec<String> = (0..100)
        .map(|number| format!("data: {number}\n\n"))
        .collect();
    let chunks: String = events
        .iter()
        .map(|event| format!("{:x}\r\n{event}\r\n", event.len()))
        .collect();
    let whole = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    let provider = Provider::start(move |_, wire| wire.write(&whole));
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let mut connection = server.connect();
    connection.write(&post_with_key(CHAT, &key, STREAMED).to_bytes());
    assert_eq!(connection.head().status, 200);
    let mut chunks_received = Vec::new();
    while let Some(chunk) = connection.try_chunk().filter(|chunk| !chunk.is_empty()) {
        chunks_received.push(chunk);
    }
    assert_eq!(chunks_received.concat(), events.concat().into_bytes());
    assert_eq!(chunks_received.len(), 1, "they are not one chunk");
}

#[test]
fn idle_stream_is_kept_alive_in_the_dialect() {
    let (gate, waiter) = gate();
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        waiter.wait();
        wire.chunk("data: a\n\ndata: b");
        waiter.wait();
        wire.chunk("c\n\n");
        wire.end();
    });
    let server = Server::with_loopback_egress(&[("AISBREAKER_STREAM_KEEP_ALIVE", "20ms")]);
    let key = two_dialect_key(&server, &provider);
    let rows = [
        (CHAT, ": keep-alive\n"),
        (MESSAGES, "event: ping\ndata: {\"type\": \"ping\"}\n\n"),
    ];
    for (path, ping) in rows {
        let mut connection = server.connect();
        connection.write(&post_with_key(path, &key, STREAMED).to_bytes());
        assert_eq!(connection.head().status, 200);
        let mut text = String::new();
        let mut read_until_pings = |text: &mut String, count: usize| {
            while text.matches(ping).count() < count {
                let chunk = connection.try_chunk().expect("a ping");
                text.push_str(&String::from_utf8(chunk).unwrap());
            }
        };
        read_until_pings(&mut text, 2);
        gate.release_one();
        // The server holds back an incomplete event, so that pings can precede it.
        while !text.contains("data: a") {
            let pings = text.matches(ping).count();
            read_until_pings(&mut text, pings + 1);
        }
        let pings = text.matches(ping).count();
        read_until_pings(&mut text, pings + 2);
        gate.release_one();
        while let Some(chunk) = connection.try_chunk().filter(|chunk| !chunk.is_empty()) {
            text.push_str(&String::from_utf8(chunk).unwrap());
        }
        assert_eq!(
            text.replace(ping, ""),
            "data: a\n\ndata: bc\n\n",
            "{path}: {text}"
        );
    }
}

#[test]
fn stalled_stream_ends_with_a_timeout_error() {
    let provider = Provider::start(|_, wire| {
        wire.stream();
        wire.chunk("data: a\n\n");
        wire.hold();
    });
    let server = Server::with_loopback_egress(&[("AISBREAKER_STREAM_IDLE_TIMEOUT", "100ms")]);
    let response = server.send(&post_with_key(
        CHAT,
        &two_dialect_key(&server, &provider),
        STREAMED,
    ));
    let (_, last) = response.text().split_once("data: a\n\n").unwrap();
    assert!(
        last.contains("stopped in the middle of its answer")
            && last.contains("\"code\":\"timeout\""),
        "{last}"
    );
}

#[test]
fn slow_reader_applies_backpressure_to_the_provider() {
    let (report, events_written) = mpsc::channel();

    let provider = Provider::without_recording(move |_, wire| {
        wire.stream();
        let event = format!("data: {}\n\n", "x".repeat(100_000));
        let accepted = (0..2_000)
            .take_while(|_| wire.chunk_in_time(&event))
            .count();
        report.send(accepted).unwrap();
    });
    let server = Server::with_loopback_egress(&[]);
    let mut connection = server.connect();
    connection
        .write(&post_with_key(CHAT, &two_dialect_key(&server, &provider), STREAMED).to_bytes());
    assert_eq!(connection.head().status, 200);
    let accepted = events_written
        .recv_timeout(Duration::from_secs(60))
        .unwrap();
    assert!(
        accepted < 200,
        "{accepted} events of 100 kB were buffered for a client that reads none"
    );
    drop(connection);
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn stream_contains_exactly_the_events_received() {
    let events = format!(
        "{}: c\n\n{}data: [DONE]\n\n",
        sse(&json!({"a": 1})),
        sse(&json!({"usage": {"prompt_tokens": 5}}))
    );
    let sent = events.clone();
    let provider = Provider::start(move |_, wire| wire.whole_stream(&sent));
    let server = Server::with_loopback_egress(&[]);
    let response = server.send(&post_with_key(
        CHAT,
        &two_dialect_key(&server, &provider),
        r#"{"model":"m","stream":true}"#,
    ));
    assert_eq!(response.text(), events);
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    assert_eq!(response.header("x-accel-buffering"), Some("no"));
}
