//! What the log has of a stream whose client leaves: at the last event, or before.

use serde_json::{Value, json};

use crate::support::{
    Connection, Provider, Request, Server, call,
    provider_api::{CHAT, MESSAGES, post_with_key, two_dialect_key},
    service, streamed,
};

const STREAMED: &str = r#"{"model":"m","stream":true}"#;

/// The events of a stream whose client leaves after the last one, and what the log has of it.
struct Row {
    path: &'static str,
    /// One chunk each.
    chunks: &'static [&'static str],
    status: u16,
    tokens: [u64; 2],
}

const CHAT_DELTA: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n";
const CHAT_STOP: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const CHAT_USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":7}}\n\n";
const MESSAGE_START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
const MESSAGE_TEXT: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n";
const MESSAGE_DELTA: &str =
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":7}}\n\n";
const MESSAGE_STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const RESPONSE_END: &str = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":7}}}\n\n";

const ROWS: [Row; 9] = [
    Row {
        path: CHAT,
        chunks: &[CHAT_DELTA, CHAT_STOP, CHAT_USAGE, "data: [DONE]\n\n"],
        status: 200,
        tokens: [3, 7],
    },
    Row {
        path: CHAT,
        chunks: &[CHAT_DELTA, CHAT_STOP, CHAT_USAGE],
        status: 200,
        tokens: [3, 7],
    },
    Row {
        path: CHAT,
        chunks: &[CHAT_USAGE, CHAT_DELTA],
        status: 499,
        tokens: [3, 7],
    },
    Row {
        path: CHAT,
        chunks: &[CHAT_USAGE, CHAT_STOP, "data: [DONE]\n\n: bye\n\n"],
        status: 200,
        tokens: [3, 7],
    },
    Row {
        path: MESSAGES,
        chunks: &[MESSAGE_START, MESSAGE_TEXT, MESSAGE_DELTA, MESSAGE_STOP],
        status: 200,
        tokens: [3, 7],
    },
    Row {
        path: MESSAGES,
        chunks: &[MESSAGE_START, MESSAGE_TEXT],
        status: 499,
        tokens: [3, 1],
    },
    Row {
        path: MESSAGES,
        chunks: &[
            MESSAGE_START,
            "event: error\ndata: {\"type\":\"error\",\"error\":{}}\n\n",
        ],
        status: 200,
        tokens: [3, 1],
    },
    Row {
        path: "/v1/responses",
        chunks: &["data: {\"type\":\"response.created\"}\n\n", RESPONSE_END],
        status: 200,
        tokens: [3, 7],
    },
    Row {
        path: "/v1/images/generations",
        chunks: &[
            "data: {\"type\":\"image_generation.completed\",\"usage\":{\"input_tokens\":3,\"output_tokens\":7}}\n\n",
        ],
        status: 200,
        tokens: [3, 7],
    },
];

fn assert_tokens(line: &Value, [input, output]: [u64; 2], what: &str) {
    assert_eq!(line["input_tokens"], input, "{what}: {line}");
    assert_eq!(line["output_tokens"], output, "{what}: {line}");
}

fn read_until(connection: &mut Connection, end: &str) {
    let mut text = String::new();
    while !text.ends_with(end) {
        let chunk = connection.try_chunk().expect("more of the stream");
        text.push_str(&String::from_utf8(chunk).unwrap());
    }
}

/// Starts a provider that sends these chunks, and then stays open without an end.
fn open_provider(chunks: &'static [&'static str]) -> Provider {
    Provider::start(move |_, wire| {
        wire.stream();
        for chunk in chunks {
            wire.chunk(chunk);
        }
        wire.hold();
    })
}

#[test]
fn client_that_closes_at_the_last_event_had_the_whole_stream() {
    let server = Server::with_loopback_egress(&[]);
    for (number, row) in ROWS.iter().enumerate() {
        let provider = open_provider(row.chunks);
        let id = format!("row-{number}");
        let key = two_dialect_key(&server, &provider);
        let mut connection = server.connect();
        let request = post_with_key(row.path, &key, STREAMED).header("x-request-id", &id);
        connection.write(&request.to_bytes());
        assert_eq!(connection.head().status, 200);
        read_until(&mut connection, row.chunks.last().unwrap());

        drop(connection);

        let line = server.wait_for_request(&id);
        assert_eq!(line["status"], row.status, "{id}: {line}");
        assert_tokens(&line, row.tokens, &id);
    }
}

/// Some providers label their streams as something else, or not at all.
#[test]
fn stream_is_known_by_its_first_bytes() {
    let server = Server::with_loopback_egress(&[]);
    let labels = [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/json\r\n",
        "Content-Type: application/octet-stream\r\n",
    ];
    for (number, label) in labels.into_iter().enumerate() {
        for (is_cut, end) in [(false, "data: [DONE]\n\n"), (true, "")] {
            let events = [CHAT_USAGE, CHAT_DELTA, end].concat();
            let provider = Provider::start(move |_, wire| {
                wire.write(format!("HTTP/1.1 200 OK\r\n{label}\r\nda"));
                wire.write(&events["da".len()..]);
                wire.close();
            });
            let id = format!("label-{number}-{is_cut}");
            let key = two_dialect_key(&server, &provider);
            let request = post_with_key(CHAT, &key, STREAMED).header("x-request-id", &id);

            let response = server.send(&request);

            assert_eq!(
                response.text().contains("error"),
                is_cut,
                "{id}: {response:?}"
            );
            assert_tokens(&server.wait_for_request(&id), [3, 7], &id);
        }
    }
}

#[test]
fn log_does_not_wait_for_a_provider_that_stays_open() {
    let server = Server::with_loopback_egress(&[]);
    let ends = ROWS.iter().filter(|row| {
        let last = row.chunks.last().unwrap();
        ["[DONE]", "message_stop", "response.completed"]
            .iter()
            .any(|end| last.contains(end))
    });
    for (number, row) in ends.enumerate() {
        let provider = open_provider(row.chunks);
        let id = format!("open-{number}");
        let key = two_dialect_key(&server, &provider);
        let mut connection = server.connect();
        let request = post_with_key(row.path, &key, STREAMED).header("x-request-id", &id);
        connection.write(&request.to_bytes());

        let line = server.wait_for_request(&id);

        assert_eq!(line["status"], 200, "{id}: {line}");
        assert_tokens(&line, row.tokens, &id);
        if number > 0 {
            continue;
        }
        let response = connection.response_to("POST");
        assert_eq!(response.text(), row.chunks.concat(), "{id}");
        assert!(
            !response.is_truncated,
            "{id}: the client waits for the provider"
        );
    }
}

#[test]
fn process_stream_is_complete_at_its_final_event() {
    let rows: [(&str, &[&str]); 2] = [
        (
            "chat:openai.com/m",
            &[CHAT_DELTA, CHAT_STOP, CHAT_USAGE, "data: [DONE]\n\n"],
        ),
        (
            "chat:anthropic.com/m",
            &[MESSAGE_START, MESSAGE_TEXT, MESSAGE_DELTA, MESSAGE_STOP],
        ),
    ];
    let server = Server::with_loopback_egress(&[]);
    for (number, (service_id, chunks)) in rows.into_iter().enumerate() {
        for leaves in [true, false] {
            let provider = open_provider(chunks);
            let key = two_dialect_key(&server, &provider);
            let id = format!("final-{number}-{leaves}");
            let request = Request::process(&streamed(call(service(service_id), "Hi")))
                .bearer(&key)
                .header("x-request-id", &id);
            let mut connection = server.connect();
            connection.write(&request.to_bytes());
            assert_eq!(connection.head().status, 200);
            while connection.event().expect("the final event").name != "final" {}
            if leaves {
                drop(connection);
            }

            let line = server.wait_for_request(&id);

            assert_eq!(line["status"], 200, "{id}: {line}");
            assert_tokens(&line, [3, 7], &id);
        }
    }
}

#[test]
fn process_stream_that_is_left_in_the_middle_has_its_tokens_so_far() {
    let rows: [(&str, &[&str], [Value; 2]); 2] = [
        (
            "chat:openai.com/m",
            &[CHAT_USAGE, CHAT_DELTA],
            [json!(3), json!(7)],
        ),
        (
            "chat:anthropic.com/m",
            &[MESSAGE_START, MESSAGE_TEXT],
            [json!(3), json!(1)],
        ),
    ];
    let server = Server::with_loopback_egress(&[]);
    for (service_id, chunks, [input, output]) in rows {
        let provider = open_provider(chunks);
        let key = two_dialect_key(&server, &provider);
        let request = Request::process(&streamed(call(service(service_id), "Hi")))
            .bearer(&key)
            .header("x-request-id", service_id.replace(['/', ':'], "-"));
        let mut connection = server.connect();
        connection.write(&request.to_bytes());
        assert_eq!(connection.head().status, 200);
        assert_eq!(connection.event().expect("an event").name, "progress");

        drop(connection);

        let line = server.wait_for_request(&service_id.replace(['/', ':'], "-"));
        assert_eq!(line["status"], 499, "{line}");
        assert_eq!(
            (&line["input_tokens"], &line["output_tokens"]),
            (&input, &output),
            "{line}"
        );
    }
}
