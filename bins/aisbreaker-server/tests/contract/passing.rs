//! Answers that are passed on: byte by byte, alive while they pause, and with an honest end.

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::surface::{key_for, post};
use crate::support::{Provider, Received, Request, Server, Wire, sse};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const STREAMED: &str = r#"{"model":"m","stream":true}"#;

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Bytes that never repeat for long, the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    (0..length.div_ceil(4))
        .flat_map(|_| next())
        .take(length)
        .collect()
}

#[test]
fn a_hundred_megabytes_pass_in_both_directions_unchanged() {
    const LENGTH: usize = 100_000_000;
    let sent: String = noise(LENGTH)
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect();
    let of_model = |model: &str| format!(r#"{{"input":"{sent}","model":"{model}"}}"#).into_bytes();
    let (body, passed_on) = (of_model("openai.com/m"), of_model("m"));
    let back = noise(LENGTH);
    let expected = digest(&back);
    let provider = Provider::forgetful(move |received: &Received, wire: &mut Wire| {
        let digest = digest(&received.body)
            .map(|byte| format!("{byte:02x}"))
            .concat();
        wire.answer(
            200,
            &[("Content-Type", "audio/mpeg"), ("X-Received", &digest)],
            &back,
        );
    });
    let server = Server::with_egress(&[("AISBREAKER_MAX_BODY_BYTES", "120000000")]);
    let key = key_for(&server, &provider);

    let answered = server.send(&post("/v1/audio/speech", &key, body));

    assert_eq!(answered.status, 200);
    let received = digest(&passed_on)
        .map(|byte| format!("{byte:02x}"))
        .concat();
    assert_eq!(answered.header("x-received"), Some(&*received));
    assert!(!answered.is_cut && digest(&answered.body) == expected);
    assert_eq!(answered.header("content-length"), Some("100000000"));
}

/// A number that the request holds.
fn number(received: &Received, name: &str) -> usize {
    usize::try_from(received.json()[name].as_u64().expect("a number")).expect("a small one")
}

/// Ten thousand events of many forms.
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
fn ten_thousand_events_pass_unchanged_however_they_are_cut() {
    let events = many_events();
    let expected = digest(&events);
    let provider = Provider::start(move |received, wire| {
        wire.stream();
        let length = number(received, "n");
        let mut rest = events.as_slice();
        let mut step = 0;
        while !rest.is_empty() {
            // Of nothing in particular, about as long as is asked for.
            step += 1;
            let (piece, more) = rest.split_at((length + step % 7).min(rest.len()));
            wire.chunk(piece);
            rest = more;
        }
        wire.end();
    });
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    for path in [CHAT, MESSAGES] {
        for length in [13, 1_000, 60_000, 5_000_000] {
            let request = post(
                path,
                &key,
                json!({"model": "m", "stream": true, "n": length}).to_string(),
            );
            let answered = server.send(&request);
            assert!(
                !answered.is_cut && digest(&answered.body) == expected,
                "{path} in pieces of {length}"
            );
        }
    }
}

#[test]
fn a_stream_that_is_cut_ends_in_an_error_of_the_dialect() {
    let provider = Provider::start(|received, wire| {
        wire.stream();
        let event = if received.target == "/v1/responses" {
            "event: a\n"
        } else {
            ""
        };
        wire.chunk(format!("{event}{}", sse(&json!({"whole": 1}))));
        wire.chunk("data: {\"half\":");
        wire.cut();
    });
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    let message = "the service's answer was cut short or is not valid HTTP";
    let openai =
        json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}});
    let mut response = openai.clone();
    response.as_object_mut().unwrap().extend([
        ("type".to_owned(), json!("error")),
        ("code".to_owned(), json!(null)),
        ("param".to_owned(), json!(null)),
        ("message".to_owned(), json!(message)),
    ]);
    let anthropic = json!({"type": "error", "error": {"type": "api_error", "message": message}});
    let rows = [
        (CHAT, "", openai),
        ("/v1/responses", "event: error\n", response),
        (MESSAGES, "event: error\n", anthropic),
    ];
    for (path, name, expected) in rows {
        let answered =
            server.send(&post(path, &key, STREAMED).header("x-request-id", path.replace('/', "-")));

        assert!(!answered.is_cut, "{path}: the end is told");
        let whole = sse(&json!({"whole": 1}));
        let (_, last) = answered
            .text()
            .split_once(&whole)
            .expect("the event that was whole");
        let data = last
            .strip_prefix(&format!("{name}data: "))
            .and_then(|last| last.strip_suffix("\n\n"));
        let data: Value =
            serde_json::from_str(data.unwrap_or_else(|| panic!("{path}: {last:?}"))).unwrap();
        assert_eq!(data, expected, "{path}");
        let line = server.wait_for_request(&path.replace('/', "-"));
        assert_eq!(
            line["cause"],
            format!("answer was cut: {message}"),
            "{path}"
        );
    }
}

#[test]
fn an_end_that_tells_nothing_is_a_cut_unless_the_last_event_came() {
    let provider = Provider::start(|received, wire| {
        wire.head(
            200,
            &[
                ("Content-Type", "text/event-stream; charset=utf-8"),
                ("Connection", "close"),
            ],
        );
        wire.write(received.json()["events"].as_str().unwrap());
        wire.cut();
    });
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
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
        let answered = server.send(&post(
            path,
            &key,
            json!({"model": "m", "events": events}).to_string(),
        ));
        assert_eq!(
            answered.text() == events,
            is_whole,
            "{path} {events:?}: {}",
            answered.text()
        );
        assert_eq!(
            answered.text().contains("\"error\""),
            !is_whole,
            "{path} {events:?}: {}",
            answered.text()
        );
    }
}

#[test]
fn a_clean_end_is_passed_on_as_it_is() {
    let events = "data: a\n\ndata: no blank line and no last event";
    let provider = Provider::start(move |_, wire| wire.whole_stream(events));
    let server = Server::with_egress(&[]);
    let answered = server.send(&post(CHAT, &key_for(&server, &provider), STREAMED));
    assert_eq!((answered.text(), answered.is_cut), (events, false));
}

#[test]
fn a_stream_with_a_coding_is_passed_on_as_it_comes() {
    let (go_on, when) = mpsc::channel::<()>();
    let when = Mutex::new(when);
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
        when.lock().unwrap().recv().unwrap();
        wire.chunk([4]);
        wire.end();
    });
    let server = Server::with_egress(&[("AISBREAKER_STREAM_KEEP_ALIVE", "1ms")]);
    let mut connection = server.connect();
    connection.write(&post(CHAT, &key_for(&server, &provider), STREAMED).to_bytes());
    assert_eq!(connection.head().header("content-encoding"), Some("br"));
    assert_eq!(
        connection.try_chunk(),
        Some(vec![1, 2, 3]),
        "bytes that seem to be half an event"
    );
    go_on.send(()).unwrap();
    assert_eq!(
        connection.try_chunk(),
        Some(vec![4]),
        "nothing of ours between"
    );
}

#[test]
fn an_answer_that_is_no_stream_breaks_off_where_the_providers_did() {
    let provider = Provider::start(|received, wire| {
        let framing = if received.json()["chunked"] == true {
            ("Transfer-Encoding", "chunked")
        } else {
            ("Content-Length", "1000")
        };
        wire.head(200, &[("Content-Type", "application/json"), framing]);
        match framing.0 {
            "Content-Length" => wire.write("{\"a\":"),
            _ => wire.chunk("{\"a\":"),
        }
        wire.cut();
    });
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    for chunked in [true, false] {
        let body = json!({"model": "m", "chunked": chunked}).to_string();
        let answered = server.send(&post(CHAT, &key, body));
        assert!(answered.is_cut, "chunked: {chunked}, {answered:?}");
    }
}

#[test]
fn what_a_provider_sends_at_once_is_passed_on_at_once() {
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
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    let mut connection = server.connect();
    connection.write(&post(CHAT, &key, STREAMED).to_bytes());
    assert_eq!(connection.head().status, 200);
    let mut pieces = Vec::new();
    while let Some(piece) = connection.try_chunk().filter(|piece| !piece.is_empty()) {
        pieces.push(piece);
    }
    assert_eq!(pieces.concat(), events.concat().into_bytes());
    assert_eq!(pieces.len(), 1, "they are put together");
}

#[test]
fn an_idle_stream_is_kept_alive_between_events_in_the_form_of_the_dialect() {
    let (go_on, when) = mpsc::channel::<()>();
    let when = Mutex::new(when);
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        when.lock().unwrap().recv().unwrap();
        wire.chunk("data: a\n\ndata: b");
        when.lock().unwrap().recv().unwrap();
        wire.chunk("c\n\n");
        wire.end();
    });
    let server = Server::with_egress(&[("AISBREAKER_STREAM_KEEP_ALIVE", "20ms")]);
    let key = key_for(&server, &provider);
    let rows = [
        (CHAT, ": keep-alive\n"),
        (MESSAGES, "event: ping\ndata: {\"type\": \"ping\"}\n\n"),
    ];
    for (path, sign) in rows {
        let mut connection = server.connect();
        connection.write(&post(path, &key, STREAMED).to_bytes());
        assert_eq!(connection.head().status, 200);
        let mut told = String::new();
        let mut read_until = |told: &mut String, count: usize| {
            while told.matches(sign).count() < count {
                told.push_str(
                    &String::from_utf8(connection.try_chunk().expect("a sign of life")).unwrap(),
                );
            }
        };
        read_until(&mut told, 2);
        go_on.send(()).unwrap();
        // An event that is not whole is not begun, so that there is room for more signs.
        while !told.contains("data: a") {
            let signs = told.matches(sign).count();
            read_until(&mut told, signs + 1);
        }
        let signs = told.matches(sign).count();
        read_until(&mut told, signs + 2);
        go_on.send(()).unwrap();
        while let Some(chunk) = connection.try_chunk().filter(|chunk| !chunk.is_empty()) {
            told.push_str(&String::from_utf8(chunk).unwrap());
        }
        assert_eq!(
            told.replace(sign, ""),
            "data: a\n\ndata: bc\n\n",
            "{path}: {told}"
        );
    }
}

#[test]
fn a_client_that_leaves_ends_the_call_before_the_first_byte_as_well() {
    let (tell, came) = mpsc::channel();
    let (tell_end, ended) = mpsc::channel();
    let (tell, tell_end) = (Mutex::new(tell), Mutex::new(tell_end));
    let provider = Provider::forgetful(move |received, wire| {
        match received.json()["stage"].as_str() {
            Some("head") => wire.stream(),
            Some("event") => {
                wire.stream();
                wire.chunk("data: a\n\n");
            }
            _ => {}
        }
        tell.lock().unwrap().send(()).unwrap();
        let has_ended = wire.wait_until_closed();
        let _test_is_over = tell_end.lock().unwrap().send(has_ended);
    });
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    for path in [CHAT, MESSAGES] {
        for stage in ["call", "head", "event"] {
            let mut connection = server.connect();
            connection.write(
                &post(
                    path,
                    &key,
                    json!({"model": "m", "stage": stage}).to_string(),
                )
                .to_bytes(),
            );
            came.recv_timeout(crate::support::PATIENCE).unwrap();
            if stage != "call" {
                assert_eq!(connection.head().status, 200);
            }
            drop(connection);
            assert!(
                ended.recv_timeout(crate::support::PATIENCE).unwrap(),
                "{path} at {stage}"
            );
        }
    }
}

#[test]
fn tokens_of_every_answer_are_in_its_log_line() {
    let openai = json!({"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 16}, "completion_tokens_details": {"reasoning_tokens": 4}});
    let response = json!({"input_tokens": 20, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 16},
        "output_tokens_details": {"reasoning_tokens": 4}});
    let start = json!({"type": "message_start", "message": {"usage":
        {"input_tokens": 3, "cache_read_input_tokens": 16, "cache_creation_input_tokens": 1, "output_tokens": 1}}});
    let end = json!({"type": "message_delta", "usage": {"output_tokens": 9}});
    let whole = json!({"usage": {"input_tokens": 3, "cache_read_input_tokens": 16, "cache_creation_input_tokens": 1, "output_tokens": 9}});
    let stream = |events: &[Value]| events.iter().map(sse).collect::<String>();
    let padded = json!({"data": "x".repeat(100_000), "usage": openai, "more": vec!["y"; 100]});
    // As Perplexity's are.
    let early = format!(
        "{{\"id\":\"a\",\"usage\":{openai},\"choices\":\"{}\"}}",
        "x".repeat(100_000)
    );
    let picture = format!(
        "{{\"response\":{{\"output\":\"{}\",\"usage\":{response}}}}}",
        "x".repeat(3_000_000)
    );
    let rows: [(&str, String, bool, bool); 8] = [
        (CHAT, early, false, true),
        (
            "/v1/responses",
            format!("event: response.completed\ndata: {picture}\n\n"),
            true,
            true,
        ),
        (
            CHAT,
            stream(&[
                json!({"usage": null}),
                json!({"choices": [], "usage": openai}),
            ]),
            true,
            true,
        ),
        (CHAT, json!({"usage": openai}).to_string(), false, true),
        (CHAT, padded.to_string(), false, true),
        (
            "/v1/responses",
            stream(&[json!({"type": "response.completed", "response": {"usage": response}})]),
            true,
            true,
        ),
        (MESSAGES, stream(&[start, end]), true, false),
        (MESSAGES, whole.to_string(), false, false),
    ];
    let answers: Vec<(String, bool)> = rows
        .iter()
        .map(|(_, answer, is_stream, _)| (answer.clone(), *is_stream))
        .collect();
    let provider = Provider::start(move |received, wire| {
        let (answer, is_stream) = &answers[number(received, "row")];
        if *is_stream {
            wire.whole_stream(answer)
        } else {
            wire.answer(200, &[("Content-Type", "application/json")], answer)
        }
    });
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    for (row, (path, answer, _, has_reasoning)) in rows.iter().enumerate() {
        let id = format!("row-{row}");
        let request = post(path, &key, json!({"model": "m", "row": row}).to_string())
            .header("x-request-id", &id);
        assert_eq!(server.send(&request).text(), answer, "{row}");
        let line = server.wait_for_request(&id);
        let reasoning = if *has_reasoning {
            json!(4)
        } else {
            json!(null)
        };
        let told = [
            "input_tokens",
            "output_tokens",
            "cached_tokens",
            "reasoning_tokens",
        ]
        .map(|name| line[name].clone());
        assert_eq!(
            told,
            [json!(20), json!(9), json!(16), reasoning],
            "{row}: {line}"
        );
    }
}

#[test]
fn an_answer_that_pauses_for_too_long_ends_in_an_error() {
    let provider = Provider::start(|_, wire| {
        wire.stream();
        wire.chunk("data: a\n\n");
        wire.hold();
    });
    let server = Server::with_egress(&[("AISBREAKER_STREAM_IDLE_TIMEOUT", "100ms")]);
    let answered = server.send(&post(CHAT, &key_for(&server, &provider), STREAMED));
    let (_, last) = answered.text().split_once("data: a\n\n").unwrap();
    assert!(
        last.contains("stopped in the middle of its answer")
            && last.contains("\"code\":\"timeout\""),
        "{last}"
    );
}

#[test]
fn a_provider_that_says_nothing_is_not_waited_for_forever() {
    let provider = Provider::start(|_, wire| wire.hold());
    let server = Server::with_egress(&[("AISBREAKER_PROVIDER_TIMEOUT", "100ms")]);
    let answered = server.send(&post(MESSAGES, &key_for(&server, &provider), STREAMED));
    assert_eq!(
        (answered.status, &answered.json()["error"]["type"]),
        (504, &json!("timeout_error"))
    );
}

#[test]
fn a_slow_reader_holds_the_provider_back() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let provider = Provider::forgetful(move |_, wire| {
        wire.stream();
        let event = format!("data: {}\n\n", "x".repeat(100_000));
        let written = (0..2_000)
            .take_while(|_| wire.chunk_in_time(&event))
            .count();
        tell.lock().unwrap().send(written).unwrap();
    });
    let server = Server::with_egress(&[]);
    let mut connection = server.connect();
    connection.write(&post(CHAT, &key_for(&server, &provider), STREAMED).to_bytes());
    assert_eq!(connection.head().status, 200);
    let written = told.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(
        written < 200,
        "{written} events of 100 kB were taken for a client that reads none"
    );
    drop(connection);
    let request = Request::get("/healthz");
    assert_eq!(server.send(&request).status, 200);
}
