//! Streams.

use serde_json::{Value, json};

use super::{
    anthropic_end, anthropic_start, anthropic_stream, anthropic_text, chat, chat_stream, chat_text,
    directions, events, key, message, message_text, named_event, provider, request, send,
};
use crate::support::{
    Provider, Server, gate,
    openai::{content_event, finish_event},
    provider_api::{CHAT, MESSAGES},
    sse,
};

fn streamed() -> Value {
    json!({"stream": true})
}

#[test]
fn streams_are_translated_both_ways() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);

    let asking = json!({"stream": true, "stream_options": {"include_usage": true}});
    let chat_request = request(CHAT, &key, &chat(&asking)).header("x-request-id", "chat");
    let response = server.send(&chat_request);
    assert_eq!(chat_text(&response), "Hello");
    let usage = events(&response)
        .into_iter()
        .filter(|(_, data)| data.contains("\"prompt_tokens\":14"));
    assert_eq!(usage.count(), 1, "{response:?}");
    assert_eq!(response.header("cache-control"), Some("no-cache"));
    let sent = provider.only_request().json();
    assert_eq!(sent["stream"], true, "{sent}");
    let line = server.wait_for_request("chat");
    assert_eq!(
        (&line["input_tokens"], &line["output_tokens"]),
        (&json!(14), &json!(12))
    );

    let message_request =
        request(MESSAGES, &key, &message(&streamed())).header("x-request-id", "msg");
    let response = server.send(&message_request);
    assert_eq!(message_text(&response), "Hello");
    let usage = events(&response)
        .into_iter()
        .find(|(name, _)| name == "message_delta")
        .expect("the end of the message");
    assert!(usage.1.contains("\"output_tokens\":12"), "{usage:?}");
    let line = server.wait_for_request("msg");
    assert_eq!(
        (&line["input_tokens"], &line["output_tokens"]),
        (&json!(9), &json!(12))
    );
}

#[test]
fn streams_are_the_same_however_their_bytes_come() {
    let server = Server::with_loopback_egress(&[]);
    let mut whole = Vec::new();
    for length in [100_000, 1, 7, 100] {
        let provider = Provider::start(move |received, wire| {
            wire.stream();
            let events = match received.target.as_str() {
                "/v1/messages" => anthropic_stream(&["H\u{e9}l", "lo"]).replace('\n', "\r\n"),
                _ => format!(": alive\n\n{}", chat_stream(&["H\u{e9}l", "lo"])),
            };
            for piece in events.as_bytes().chunks(length) {
                wire.chunk(piece);
            }
            wire.end();
        });
        let key = key(&server, &provider);
        let chat = send(&server, (CHAT, &key), &chat(&streamed()));
        assert_eq!(chat_text(&chat), "H\u{e9}llo", "{length}");
        let message = send(&server, (MESSAGES, &key), &message(&streamed()));
        assert_eq!(message_text(&message), "H\u{e9}llo", "{length}");
        let without_time = |response| {
            let mut events = events(&response);
            for (_, data) in &mut events {
                if let Ok(mut value) = serde_json::from_str::<Value>(data) {
                    value["created"] = json!(0);
                    *data = value.to_string();
                }
            }
            events
        };
        whole.push((without_time(chat), without_time(message)));
    }
    assert!(whole.iter().all(|one| *one == whole[0]), "{whole:?}");
}

#[test]
fn each_event_is_forwarded_when_it_comes_and_pauses_are_filled() {
    let (gate, waiter) = gate();
    let provider = Provider::start(move |received, wire| {
        wire.stream();
        if received.target == "/v1/messages" {
            wire.chunk(anthropic_start());
            // No event of a chat completion, and no sign of life for its client.
            wire.chunk(named_event(&json!({"type": "ping"})));
            wire.chunk(anthropic_text("first"));
            waiter.wait();
            wire.chunk(anthropic_end());
        } else {
            wire.chunk(": alive\n\n");
            wire.chunk(content_event("first"));
            waiter.wait();
            wire.chunk(finish_event());
            wire.chunk("data: [DONE]\n\n");
        }
        wire.end();
    });
    let server = Server::with_loopback_egress(&[("AISBREAKER_STREAM_KEEP_ALIVE", "50ms")]);
    let key = key(&server, &provider);
    let keep_alives = [": keep-alive\n", "event: ping\n"];
    for ((path, body), keep_alive) in directions(&streamed()).into_iter().zip(keep_alives) {
        let mut connection = server.connect();
        connection.write(&request(path, &key, &body).to_bytes());
        assert_eq!(connection.head().status, 200);
        let mut read_until = |part: &str| {
            let mut text = String::new();
            while !text.contains(part) {
                let chunk = connection.try_chunk().expect("more of the stream");
                assert!(!chunk.is_empty(), "{path}: no {part} in {text}");
                text.push_str(&String::from_utf8(chunk).expect("text"));
            }
        };
        read_until("first");
        read_until(keep_alive);
        gate.release_one();
        read_until(if path == CHAT {
            "[DONE]"
        } else {
            "message_stop"
        });
    }
}

#[test]
fn a_stream_is_over_after_its_last_event_though_the_provider_stays() {
    let provider = Provider::start(|received, wire| {
        wire.stream();
        match received.target.as_str() {
            "/v1/messages" => wire.chunk(anthropic_stream(&["Hello"])),
            _ => wire.chunk(chat_stream(&["Hello"])),
        }
        wire.hold();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let response =
        server.send(&request(CHAT, &key, &chat(&streamed())).header("x-request-id", "a"));
    assert_eq!(chat_text(&response), "Hello");
    let response =
        server.send(&request(MESSAGES, &key, &message(&streamed())).header("x-request-id", "b"));
    assert_eq!(message_text(&response), "Hello");
    for id in ["a", "b"] {
        let line = server.wait_for_request(id);
        assert_eq!(line["status"], 200, "{line}");
        assert_eq!(line["output_tokens"], 12, "{line}");
    }
}

#[test]
fn a_stream_that_is_cut_ends_in_an_error_of_the_dialect() {
    let provider = Provider::start(|received, wire| {
        // Its length is not announced, so that only the events show the cut.
        wire.head(
            200,
            &[
                ("Content-Type", "text/event-stream"),
                ("Connection", "close"),
            ],
        );
        match received.target.as_str() {
            "/v1/messages" => wire.write([anthropic_start(), anthropic_text("a")].concat()),
            _ => wire.write(content_event("a")),
        }
        wire.write("data: {\"half\":");
        wire.close();
    });
    let framed = Provider::start(|received, wire| {
        wire.stream();
        match received.target.as_str() {
            "/v1/messages" => wire.chunk([anthropic_start(), anthropic_text("a")].concat()),
            _ => wire.chunk(content_event("a")),
        }
        wire.end();
    });
    let broken = Provider::start(|received, wire| {
        wire.stream();
        match received.target.as_str() {
            "/v1/messages" => wire.chunk([anthropic_start(), anthropic_text("a")].concat()),
            _ => wire.chunk(content_event("a")),
        }
        wire.close();
    });
    let garbage = Provider::start(|received, wire| {
        let start = match received.target.as_str() {
            "/v1/messages" => [anthropic_start(), anthropic_text("a")].concat(),
            _ => content_event("a"),
        };
        wire.whole_stream([start.as_str(), "data: {\"what\": }\n\n"].concat());
    });
    let long = Provider::start(|received, wire| {
        let start = match received.target.as_str() {
            "/v1/messages" => [anthropic_start(), anthropic_text("a")].concat(),
            _ => content_event("a"),
        };
        wire.stream();
        wire.chunk(start);
        wire.chunk(format!("data: {}", "x".repeat(3 << 20)));
        wire.end();
    });
    let server = Server::with_loopback_egress(&[]);
    let rows = [
        ("unframed", provider),
        ("framed", framed),
        ("broken", broken),
        ("garbage", garbage),
        ("long", long),
    ];
    for (row, provider) in &rows {
        let key = key(&server, provider);
        for (path, body) in directions(&streamed()) {
            let id = format!("{row}{}", path.replace('/', "-"));
            let response = server.send(&request(path, &key, &body).header("x-request-id", &id));
            let events = events(&response);
            let (name, data) = events.last().expect("an event");
            let error: Value = serde_json::from_str(data).expect("JSON");
            assert!(
                !error["error"]["message"].is_null(),
                "{row} {path}: {response:?}"
            );
            if path == CHAT {
                assert_eq!(name, "", "{row}");
                assert!(!response.text().contains("[DONE]"), "{row}: {response:?}");
            } else {
                assert_eq!(name, "error", "{row}");
                assert!(
                    !response.text().contains("message_stop"),
                    "{row}: {response:?}"
                );
            }
            let with_error = events.iter().filter(|(_, data)| data.contains("\"error\""));
            assert_eq!(with_error.count(), 1, "{row} {path}: {response:?}");
            let before = response.text().contains("\"a\"");
            assert!(before, "{row} {path}: what came before: {response:?}");
            let line = server.wait_for_request(&id);
            assert!(
                line["cause"].to_string().contains("answer was cut"),
                "{line}"
            );
        }
    }
}

/// Some providers end their streams without the last event of OpenAI's.
#[test]
fn a_finished_stream_needs_no_done() {
    let provider = Provider::start(|_, wire| {
        wire.whole_stream([content_event("Hello"), finish_event()].concat());
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let response = send(&server, (MESSAGES, &key), &message(&streamed()));
    assert_eq!(message_text(&response), "Hello");
}

#[test]
fn an_error_in_a_stream_is_translated_once() {
    let provider = Provider::start(|received, wire| {
        let events = match received.target.as_str() {
            "/v1/messages" => {
                let error = json!({"type": "error",
                    "error": {"type": "overloaded_error", "message": "too much"}});
                [anthropic_start(), named_event(&error)].concat()
            }
            _ => {
                let error = json!({"error": {"message": "too much", "type": "server_error"}});
                [content_event("a"), sse(&error)].concat()
            }
        };
        wire.whole_stream(events);
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    for (path, body) in directions(&streamed()) {
        let response = send(&server, (path, &key), &body);
        let events = events(&response);
        let (name, data) = events.last().expect("an event");
        let error: Value = serde_json::from_str(data).expect("JSON");
        let text = error["error"]["message"].as_str().expect("a message");
        assert!(text.contains("too much"), "{response:?}");
        assert_eq!(name, if path == CHAT { "" } else { "error" });
        assert_eq!(
            response.text().matches("too much").count(),
            1,
            "{response:?}"
        );
    }
}

#[test]
fn a_stream_is_known_by_its_first_bytes_and_a_whole_answer_too() {
    let provider = Provider::start(|received, wire| {
        let labels = [
            ("Content-Type", "application/json"),
            ("Transfer-Encoding", "chunked"),
        ];
        wire.head(200, &labels);
        for piece in ["", "\n", &anthropic_stream(&["Hello"])].map(str::as_bytes) {
            if !piece.is_empty() {
                wire.chunk(piece);
            }
        }
        assert_eq!(received.target, "/v1/messages");
        wire.end();
    });
    let server = Server::with_loopback_egress(&[]);
    let response = send(
        &server,
        (CHAT, &key(&server, &provider)),
        &chat(&streamed()),
    );
    assert_eq!(chat_text(&response), "Hello");

    // A provider that does not stream.
    let provider = Provider::with_response(200, super::anthropic_answer("Hello"));
    let response = send(
        &server,
        (CHAT, &key(&server, &provider)),
        &chat(&streamed()),
    );
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.json()["choices"][0]["message"]["content"], "Hello");

    let provider = Provider::start(|_, wire| wire.whole_stream(anthropic_stream(&["Hello"])));
    let response = send(&server, (CHAT, &key(&server, &provider)), &chat(&json!({})));
    assert_eq!(
        response.status, 502,
        "a stream that nobody asked for: {response:?}"
    );
}

/// Events that come together are forwarded together.
#[test]
fn a_burst_of_events_takes_few_writes() {
    const EVENTS: usize = 400;
    let provider = Provider::start(|_, wire| {
        let texts: Vec<String> = (0..EVENTS).map(|_| anthropic_text("x")).collect();
        let events = [vec![anthropic_start()], texts, vec![anthropic_end()]].concat();
        let chunk = |event: &String| format!("{:x}\r\n{event}\r\n", event.len());
        let burst: String = events.iter().map(chunk).collect();
        wire.stream();
        wire.write(burst);
        wire.end();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let mut connection = server.connect();
    connection.write(&request(CHAT, &key, &chat(&streamed())).to_bytes());
    assert_eq!(connection.head().status, 200);
    let (mut chunks, mut text) = (0, String::new());
    loop {
        let chunk = connection
            .try_chunk()
            .expect("a body that is not truncated");
        if chunk.is_empty() {
            break;
        }
        chunks += 1;
        text.push_str(&String::from_utf8(chunk).expect("text"));
    }
    assert_eq!(text.matches("\"content\":\"x\"").count(), EVENTS);
    assert!(chunks < EVENTS / 4, "{chunks} writes");
}

#[test]
fn a_client_that_does_not_read_holds_its_provider_back() {
    const MOST: usize = 4_000;
    let (report, accepted) = std::sync::mpsc::channel();
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        wire.chunk(anthropic_start());
        let burst = anthropic_text(&"x".repeat(1_000)).repeat(60);
        let accepted = (0..MOST).take_while(|_| wire.chunk_in_time(&burst)).count();
        let _test_is_over = report.send(accepted);
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let mut connection = server.connect();
    connection.write(&request(CHAT, &key, &chat(&streamed())).to_bytes());
    assert_eq!(connection.head().status, 200);
    let accepted = accepted
        .recv_timeout(crate::support::PATIENCE)
        .expect("a count");
    assert!(
        accepted < MOST / 4,
        "{accepted} pieces of 60 KiB are held for a client"
    );
}
