//! Streams.

use crate::support::{answers, decode_events, golden, golden_file, translate_stream};

/// Whether the request of a golden stream asked for the usage.
fn include_usage(stream: &str) -> bool {
    stream.contains("\n: include_usage\n")
}

#[test]
fn streams_become_those_of_the_golden_files() {
    for (name, stream) in golden("streams", ".provider.sse") {
        let (mut out, error) = translate_stream(&decode_events(&stream), include_usage(&stream));

        if let Some(error) = error {
            out.push_str(&format!(": {error}\n"));
        }
        assert_eq!(
            out,
            golden_file(&format!("streams/{name}.client.sse")),
            "{name}"
        );
    }
}

#[test]
fn every_event_is_translated_when_it_comes() {
    for (name, stream) in golden("streams", ".provider.sse") {
        let events = decode_events(&stream);
        let (whole, _) = translate_stream(&events, include_usage(&stream));

        for end in 0..=events.len() {
            let (first, _) = translate_stream(&events[..end], include_usage(&stream));

            let first = first.strip_suffix("data: [DONE]\n\n").unwrap_or(&first);
            assert!(whole.starts_with(first), "{name}: {end} events");
        }
    }
}

#[test]
fn a_stream_cut_off_anywhere_before_its_end_is_an_error() {
    let events = decode_events(&golden_file("streams/tool_calls.provider.sse"));

    for end in 0..events.len() {
        let (out, error) = translate_stream(&events[..end], true);

        assert!(error.is_some(), "{end} events");
        assert!(!out.contains("[DONE]"), "{end} events");
    }
    assert_eq!(translate_stream(&events, true).1, None);
}

#[test]
fn an_error_stays_an_error() {
    let mut events = answers(true, false).events();
    let mut out = b"before".to_vec();
    let error = events.translate_event("", "{", &mut out).unwrap_err();

    let start = r#"{"type": "message_start", "message": {"id": "msg_1", "model": "m"}}"#;

    assert_eq!(
        events.translate_event("message_start", start, &mut out),
        Err(error.clone())
    );
    assert_eq!(events.finish(&mut out), Err(error));
    assert_eq!(out, b"before");
}

#[test]
fn debug_output_holds_no_content() {
    let mut events = answers(true, false).events();
    let start = r#"{"type": "message_start", "message": {"id": "msg_canary", "model": "canary"}}"#;
    let block = r#"{"type": "content_block_start", "index": 0, "content_block":
        {"type": "tool_use", "id": "canary", "name": "canary", "input": {"canary": 1}}}"#;
    let mut out = Vec::new();
    events
        .translate_event("message_start", start, &mut out)
        .unwrap();
    events
        .translate_event("content_block_start", block, &mut out)
        .unwrap();

    let debug = format!("{events:?}");

    assert_eq!(
        debug,
        r#"Events { include_usage: false, state: "Started", .. }"#
    );
}
