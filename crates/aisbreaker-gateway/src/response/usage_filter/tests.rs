//! Streams that are cut anywhere, against a slow reader of events.

use std::sync::Arc;

use aisbreaker_egress::MemoryBudget;
use aisbreaker_services::{
    StreamKind,
    sse::{Decoder, Message},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::response::{sse_boundary::EventTracker, stream_end::BodyEnd};

const TEXT: &str =
    r#"data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":null}"#;
const STOP: &str = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"data: {"choices":[],"usage":{"i":3,"o":7}}"#;
const AZURE: &str =
    r#"data: {"choices":[],"prompt_filter_results":[{"x":"\"usage\""}],"usage":null}"#;
const ERROR: &str = r#"data: {"choices":[],"usage":{"o":8},"error":{"message":"x"}}"#;
const DONE: &str = "data: [DONE]";

fn tracker(usage_chunk: UsageChunk) -> EventTracker {
    let rule = serde_json::from_value(json!({"input": ["i"], "output": ["o"]})).unwrap();
    EventTracker::new(
        StreamKind::Completions,
        Arc::new(rule),
        BodyEnd::Framed,
        &MemoryBudget::default(),
    )
    .with_usage_chunk(usage_chunk)
}

/// Returns what the client sees of a stream that comes in these pieces, and the tracker.
fn seen<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, EventTracker) {
    let mut events = tracker(UsageChunk::Drop);
    let mut seen = Vec::new();
    for piece in pieces {
        seen.extend_from_slice(&events.push(&Bytes::copy_from_slice(piece)));
        assert!(events.is_between(), "no event is long here");
    }
    seen.extend_from_slice(&events.finish());
    (seen, events)
}

/// Returns the events of a stream, as a client reads them that takes a last one without its blank
/// line.
fn parsed(stream: &[u8]) -> Vec<Message> {
    let mut decoder = Decoder::new();
    decoder.feed(Bytes::copy_from_slice(stream));
    let mut messages = Vec::new();
    while let Some(message) = decoder.finish().unwrap() {
        messages.push(message);
    }
    messages
}

/// Returns whether an event must be dropped, by a parser of JSON.
fn is_usage(message: &Message) -> bool {
    let data: Value = serde_json::from_str(&message.data).unwrap_or_default();
    data["choices"] == json!([])
        && data["usage"].is_object()
        && data["error"].is_null()
        && data["prompt_filter_results"].is_null()
}

fn events(lines: &[&str], line_end: &str) -> String {
    let event = |line: &&str| line.replace('\n', line_end) + line_end + line_end;
    lines.iter().map(event).collect()
}

#[test]
fn the_usage_is_dropped_and_read_wherever_the_stream_is_cut() {
    for line_end in ["\n", "\r\n", "\r"] {
        for mark in ["", "\u{feff}"] {
            let all = [AZURE, TEXT, ": alive", STOP, USAGE, DONE];
            let stream = mark.to_owned() + &events(&all, line_end);
            let kept = [AZURE, TEXT, ": alive", STOP, DONE];
            let expected = mark.to_owned() + &events(&kept, line_end);
            for cut in 0..=stream.len() {
                let (first, second) = stream.as_bytes().split_at(cut);
                let (seen, tracker) = seen([first, second]);
                assert_eq!(seen, expected.as_bytes(), "{line_end:?} {cut}");
                let tokens = tracker.tokens();
                assert_eq!((tokens.input, tokens.output), (Some(3), Some(7)), "{cut}");
                assert!(tracker.end().is_over(), "{line_end:?} {cut}");
            }
        }
    }
}

#[test]
fn only_the_usage_is_dropped() {
    let rows = [
        (format!("{USAGE}\n\n"), String::new()),
        (format!("\u{feff}{USAGE}\n\n"), "\u{feff}".to_owned()),
        (
            format!("{USAGE}\n\n{USAGE}\n\n{TEXT}\n\n"),
            format!("{TEXT}\n\n"),
        ),
        // A mark that is not the first is a part of a field's name.
        (
            format!("{USAGE}\n\n\u{feff}{USAGE}\n\n"),
            format!("\u{feff}{USAGE}\n\n"),
        ),
        // The blank line of the last event is missing, or a part of it.
        (format!("{STOP}\n\n{USAGE}"), format!("{STOP}\n\n")),
        (format!("{STOP}\n\n{USAGE}\n"), format!("{STOP}\n\n")),
        (format!("{STOP}\r\r{USAGE}\r\r"), format!("{STOP}\r\r")),
        (
            format!("{STOP}\n\n{}", &USAGE[..40]),
            format!("{STOP}\n\n{}", &USAGE[..40]),
        ),
        // Comments come at once, and are in no event.
        (
            format!(": a\n{USAGE}\n\n: b\n\n"),
            ": a\n: b\n\n".to_owned(),
        ),
        (
            format!("retry: 5\n: a\n\n\n{USAGE}\n: in it\nid: 1\n\n\n"),
            "retry: 5\n: a\n\n\n\n".to_owned(),
        ),
        (format!("event: message\n{USAGE}\n\n"), String::new()),
        (
            "data: {\"choices\":[],\ndata: \"usage\":{\"o\":7}}\n\n".to_owned(),
            String::new(),
        ),
    ];
    for (stream, expected) in rows {
        for length in 1..=stream.len() {
            let (seen, _) = seen(stream.as_bytes().chunks(length));
            assert_eq!(
                String::from_utf8_lossy(&seen),
                expected,
                "{stream:?} {length}"
            );
        }
    }
    for kept in [
        AZURE,
        ERROR,
        TEXT,
        STOP,
        DONE,
        &format!("event: error\n{USAGE}"),
        &format!("x{USAGE}"),
    ] {
        let stream = format!("{kept}\n\n");
        for length in 1..=stream.len() {
            let (seen, _) = seen(stream.as_bytes().chunks(length));
            assert_eq!(seen, stream.as_bytes(), "{kept} {length}");
        }
    }
}

#[test]
fn the_end_of_a_long_event_is_no_event_of_its_own() {
    let mut tracker = tracker(UsageChunk::Drop);
    let picture = "x".repeat(1 << 20);
    let long = format!("data: {{\"x\":\"{picture}");
    assert_eq!(tracker.push(&long.clone().into()).len(), long.len());

    let rest = format!("\"}}\n{USAGE}\n\n");
    assert_eq!(
        tracker.push(&format!("{rest}{USAGE}\n\n{DONE}\n\n").into()),
        format!("{rest}{DONE}\n\n")
    );
}

#[test]
fn a_keep_alive_before_the_first_bytes_takes_their_mark() {
    let mut tracker = tracker(UsageChunk::Drop);
    tracker.note_insertion();
    assert_eq!(tracker.push(&format!("\u{feff}{USAGE}\n\n").into()), "");
    assert_eq!(
        tracker.push(&format!("{DONE}\n\n").into()),
        format!("{DONE}\n\n")
    );
}

#[test]
fn everything_is_forwarded_to_a_client_that_asked() {
    let stream = events(&[AZURE, TEXT, STOP, USAGE, DONE], "\n");
    let mut tracker = tracker(UsageChunk::Forward);
    assert_eq!(tracker.push(&stream.clone().into()), stream);
}

/// Lines that make up events, comments and parts of them.
fn line() -> impl Strategy<Value = &'static str> {
    let lines = vec![
        TEXT,
        STOP,
        USAGE,
        AZURE,
        ERROR,
        DONE,
        ": a",
        "retry: 5",
        "id: 1",
        "event: error",
        "event: message",
        "data: {\"choices\":[],",
        "data: \"usage\":{\"o\":1}}",
        "data",
        "x",
    ];
    prop_oneof![3 => Just(USAGE), 5 => prop::sample::select(lines), 6 => Just("")]
}

proptest! {
    /// The client sees the same bytes however the stream is cut, and all events but the usage.
    #[test]
    fn what_is_seen_are_all_events_but_the_usage(
        has_mark: bool,
        lines in prop::collection::vec((line(), prop::sample::select(vec!["\n", "\r", "\r\n"])), 0..40),
        is_ended: bool,
        cuts in prop::collection::vec(1_usize..90, 1..20),
    ) {
        let mut stream = if has_mark { "\u{feff}" } else { "" }.to_owned();
        for (line, line_end) in &lines {
            stream.push_str(line);
            stream.push_str(line_end);
        }
        if !is_ended {
            stream.truncate(stream.trim_end().len());
        }
        let stream = stream.into_bytes();
        let mut rest = stream.as_slice();
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, more) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = more;
        }

        let (whole, _) = seen([stream.as_slice()]);
        let (in_pieces, _) = seen(pieces);
        let (in_bytes, _) = seen(stream.chunks(1));

        prop_assert_eq!(&in_pieces, &whole);
        prop_assert_eq!(&in_bytes, &whole);
        let mut expected = parsed(&stream);
        expected.retain(|message| message.event == "error" || !is_usage(message));
        prop_assert_eq!(parsed(&whole), expected);
    }
}
