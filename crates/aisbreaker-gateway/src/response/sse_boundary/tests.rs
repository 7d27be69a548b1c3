//! Streams in any pieces: what is held back, and what their events report.

use aisbreaker_services::sse::Decoder;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn events() -> EventTracker {
    let rule = serde_json::from_value(json!({"input": ["i"], "output": ["o"]})).unwrap();
    EventTracker::new(
        StreamKind::Responses,
        Arc::new(rule),
        BodyEnd::CloseDelimited,
        &MemoryBudget::default(),
    )
}

/// Returns what is forwarded of these pieces, how much of it before the end, and the tracker.
fn passed(pieces: impl IntoIterator<Item = Vec<u8>>) -> (Vec<u8>, usize, EventTracker) {
    let mut events = events();
    let mut passed = Vec::new();
    for piece in pieces {
        passed.extend_from_slice(&events.push(&piece.into()));
        assert!(events.held.len() <= MAX_HELD_BYTES);
    }
    let before_the_end = passed.len();
    passed.extend_from_slice(&events.finish());
    (passed, before_the_end, events)
}

#[test]
fn an_incomplete_event_is_held_back_unless_it_is_long() {
    let mut events = events();
    assert_eq!(events.push(&"data: a\n\ndata: b".into()), "data: a\n\n");
    assert!(events.is_between());
    assert_eq!(events.push(&"c\n".into()), "");
    assert_eq!(
        events.push(&"\ndata: d\n\n".into()),
        "data: bc\n\ndata: d\n\n"
    );

    let long = Bytes::from(vec![b'x'; MAX_HELD_BYTES]);
    assert_eq!(events.push(&"data: ".into()), "");
    assert_eq!(events.push(&long).len(), MAX_HELD_BYTES + 6);
    assert!(!events.is_between());
    assert_eq!(events.push(&"y".into()), "y");
    assert_eq!(events.push(&"z\n\ndata: e".into()), "z\n\n");
    assert!(events.is_between());
    assert_eq!(events.finish(), "data: e");
}

#[test]
fn no_more_is_held_back_than_the_budget_allows() {
    let mut events = EventTracker::new(
        StreamKind::Completions,
        Arc::default(),
        BodyEnd::Framed,
        &MemoryBudget::new(16 << 10),
    );
    assert_eq!(events.push(&vec![b'x'; 16 << 10].into()).len(), 0);
    assert_eq!(events.push(&"y".into()).len(), (16 << 10) + 1);
    assert!(!events.is_between());
}

#[test]
fn the_last_event_with_usage_reports_it() {
    let stream = b"event: a\ndata: {\"usage\":null}\n\ndata: {\"m\":{\"usage\":{\"i\":3,\"o\":1}}}\r\n\r\n\
        data: {\"text\":\"\\\"usage\\\":{\\\"i\\\":9}\"}\n\ndata: {\"usage\":{\"o\":7}}\n\ndata: [DONE]\n\n";
    for length in 1..stream.len() {
        let (passed, _, events) = passed(stream.chunks(length).map(<[u8]>::to_vec));
        assert_eq!(passed, stream, "{length}");
        let tokens = events.tokens();
        assert_eq!(
            (tokens.input, tokens.output),
            (Some(3), Some(7)),
            "{length}"
        );
        assert!(
            events.end().is_over() && events.names() == EventNames::Present,
            "{length}"
        );
    }
}

#[test]
fn usage_is_found_at_the_end_of_a_long_event() {
    let picture = "x".repeat(3 << 20);
    let stream = format!(
        "event: a\ndata: {{\"b\":\"{picture}\",\"usage\":{{\"i\":3,\"o\":7}},\"c\":{{}}}}\n\ndata: {{\"b\":1}}\n\n"
    );
    for length in [
        7_777,
        1 << 20,
        (2 << 20) + 1,
        stream.len() - 40,
        stream.len() - 30,
        stream.len(),
    ] {
        let (passed, _, events) = passed(stream.as_bytes().chunks(length).map(<[u8]>::to_vec));
        assert!(passed == stream.as_bytes(), "{length}");
        assert_eq!(
            (events.tokens().input, events.tokens().output),
            (Some(3), Some(7)),
            "{length}"
        );
    }
}

#[test]
fn only_events_with_data_decide_on_names_and_the_end() {
    let rows = [
        (": at work\n\nevent: a\ndata: 1\n\n", true, false),
        (": at work\n\ndata: 1\n\n: event:\n\n", false, false),
        (": at work\r\revent: a\rdata: 1\r\r", true, false),
        (
            "data: {\"text\":\"data: [DONE] message_stop \\\"response.completed\\\"\"}\n\n",
            false,
            false,
        ),
        ("data: 1\n\ndata:[DONE]\n\n", false, true),
        ("data: 1\r\n\r\ndata: [DONE] \r\n\r\n", false, true),
        (
            "event: a\ndata: {\"type\": \"response.failed\"}\n\n",
            true,
            true,
        ),
        (
            "event: a\ndata: {\"type\":\"response.incomplete\"}\n\n",
            true,
            true,
        ),
    ];
    for (stream, is_named, is_over) in rows {
        for length in 1..=stream.len() {
            let (_, _, events) = passed(stream.as_bytes().chunks(length).map(<[u8]>::to_vec));
            assert_eq!(
                (
                    events.names() == EventNames::Present,
                    events.end().is_over()
                ),
                (is_named, is_over),
                "{stream:?} {length}"
            );
        }
    }
}

proptest! {
    /// Bytes stay the same however they arrive, and every complete event is forwarded before
    /// the end.
    #[test]
    fn all_bytes_are_forwarded(
        parts in prop::collection::vec(prop::sample::select(vec!["\n", "\r", "\r\n", "data: x", "event: y", "\n\n", ""]), 0..40),
        cuts in prop::collection::vec(1_usize..9, 1..20),
    ) {
        let stream = parts.concat().into_bytes();
        let mut rest = stream.as_slice();
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, more) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = more;
        }
        let (passed, before_the_end, _) = passed(pieces);
        prop_assert_eq!(&passed, &stream);
        // What is held back holds no complete event, a carriage return at the very end aside.
        let kept = &stream[before_the_end..];
        let kept = kept.strip_suffix(b"\r").unwrap_or(kept);
        let mut decoder = Decoder::new();
        decoder.feed(Bytes::copy_from_slice(kept));
        prop_assert_eq!(decoder.take(), Ok(None), "{:?}", String::from_utf8_lossy(kept));
    }
}
