//! Clients that leave at every stage of a request.

use std::sync::{
    Mutex,
    mpsc::{Receiver, channel},
};

use serde_json::json;

use super::{Cost, GPT_4O, check_sums, note_in, noted_chat, post, priced_key, wait_for_requests};
use crate::support::{
    Connection, Provider, Server,
    openai::{completion_stream, content_event},
    provider_api::CHAT,
    sse,
};

const CLIENTS_PER_STAGE: usize = 10;

/// How far a request and its response are when the client leaves.
struct Stage {
    name: &'static str,
    /// Reads as much as is there.
    read: fn(&mut Connection),
    /// Whether the provider has told its usage in a whole answer.
    is_told: bool,
}

const STAGES: [Stage; 6] = [
    Stage {
        name: "before the head",
        read: |_| {},
        is_told: false,
    },
    Stage {
        name: "after the head",
        read: |connection| drop(connection.head()),
        is_told: false,
    },
    Stage {
        name: "in the middle",
        read: read_piece,
        is_told: false,
    },
    Stage {
        name: "in the middle of JSON",
        read: |connection| {
            connection.head();
            connection.read_exact(5);
        },
        is_told: false,
    },
    Stage {
        name: "after the usage",
        read: read_piece,
        is_told: true,
    },
    Stage {
        name: "after the last event",
        read: read_piece,
        is_told: true,
    },
];

fn read_piece(connection: &mut Connection) {
    connection.head();
    let piece = connection.try_chunk().expect("a piece");
    assert!(!piece.is_empty(), "the response has ended");
}

/// Starts a provider that stops at the stage that a request notes, and reports each request.
fn provider() -> (Provider, Receiver<()>) {
    let (report, called) = channel();
    let report = Mutex::new(report);
    let mut told = completion_stream(&["a", "b"]);
    let usage = json!({"id": "chatcmpl-1", "choices": [],
        "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}});
    told.insert_str(told.find("data: [DONE]").unwrap(), &sse(&usage));
    let provider = Provider::without_recording(move |received, wire| {
        let body = received.json();
        report.lock().unwrap().send(()).unwrap();
        match note_in(&body) {
            "before the head" => {}
            "after the head" => wire.stream(),
            "in the middle" => {
                wire.stream();
                wire.chunk(content_event("a"));
            }
            "in the middle of JSON" => {
                let headers = [
                    ("Content-Type", "application/json"),
                    ("Content-Length", "99"),
                ];
                wire.head(200, &headers);
                wire.write("{\"id\":");
            }
            "after the usage" => {
                wire.stream();
                wire.chunk(&told[..told.find("data: [DONE]").unwrap()]);
            }
            "after the last event" => {
                wire.stream();
                wire.chunk(&told);
            }
            other => panic!("no stage: {other}"),
        }
        wire.hold();
    });
    (provider, called)
}

#[test]
fn clients_that_leave_at_any_stage_leave_nothing_reserved() {
    let (provider, called) = provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0")]);
    let key = priced_key(&server, &provider);
    let (mut reserved, mut expected) = (Cost::default(), Cost::default());
    for stage in &STAGES {
        for client in 0..CLIENTS_PER_STAGE {
            let id = format!("left-{}-{client}", stage.name.replace(' ', "-"));
            let body = noted_chat(stage.name, stage.name != "in the middle of JSON");
            let mut connection = server.connect();
            connection.write(&post(CHAT, &key, &body, &id).to_bytes());
            called.recv().unwrap();
            (stage.read)(&mut connection);
            drop(connection);
            let cost = Cost::reserved(&body, GPT_4O);
            reserved = reserved.plus(cost);
            expected = expected.plus(match stage.is_told {
                true => Cost::of(9, 12, GPT_4O),
                false => cost,
            });
        }
        let prefix = format!("left-{}", stage.name.replace(' ', "-"));
        wait_for_stage(&server, &prefix);
        assert_eq!(super::used(&server, &key), expected, "{}", stage.name);
    }
    // A request that never came whole reserves nothing.
    let body = noted_chat("before the head", true);
    let bytes = post(CHAT, &key, &body, "half").to_bytes();
    let mut connection = server.connect();
    connection.write(&bytes[..bytes.len() - 5]);
    drop(connection);
    assert_eq!(provider.panics(), 0, "scripts of the provider panicked");
    check_sums(&server, &key, (reserved, expected));
}

fn wait_for_stage(server: &Server, prefix: &str) {
    // The names of some stages begin like those of others.
    let numbers = (0..CLIENTS_PER_STAGE).map(|client| format!("{prefix}-{client}"));
    for id in numbers {
        wait_for_requests(server, &id, 1);
    }
}
