//! Streams that end early, late or wrong: each ends with its answer or with an error.

use super::faults::{CUT, FINISHED, PIECE, TOO_MANY, check, send};
use crate::support::{provider, provider::Act};

#[tokio::test]
async fn a_stream_ends_with_its_answer_or_an_error() {
    let unreadable =
        "bad answer: the service's answer is not a stream of events that can be read: ";
    let huge = format!("data: {}", "x".repeat(17 << 20));
    let rows = [
        (
            "done",
            format!("{PIECE}data: [DONE]\n\n"),
            "ok a".to_owned(),
        ),
        (
            "clean end without done",
            PIECE.to_owned(),
            "ok a".to_owned(),
        ),
        (
            "no last blank line",
            format!("{PIECE}data: [DONE]\n"),
            "ok a".to_owned(),
        ),
        (
            "no last line end",
            PIECE.trim_end().to_owned(),
            "ok a".to_owned(),
        ),
        (
            "what follows the end",
            format!("{PIECE}data: [DONE]\n\ndata: x\n\n"),
            "ok a".to_owned(),
        ),
        (
            "ping",
            format!("event: ping\ndata: x\n\ndata:\n\n{PIECE}"),
            "ok a".to_owned(),
        ),
        (
            "error object",
            format!("{PIECE}data: {{\"error\":{{\"message\":\"No.\"}}}}\n\n"),
            "502 Bad Gateway: No.".to_owned(),
        ),
        (
            "error with status",
            "data: {\"error\":{\"message\":\"No.\",\"code\":503}}\n\n".to_owned(),
            "503 Service Unavailable: No.".to_owned(),
        ),
        (
            "error event",
            format!("{PIECE}event: error\ndata: {{\"message\":\"No.\"}}\n\n"),
            "502 Bad Gateway: No.".to_owned(),
        ),
        (
            "not JSON",
            format!("{PIECE}data: a\n\n"),
            "bad answer: the provider's answer is not valid JSON (line 1 column 1)".to_owned(),
        ),
        (
            "cut in the last line",
            format!("{PIECE}data: {{\"choi"),
            "bad answer: the provider's answer is not valid JSON (line 1 column 6)".to_owned(),
        ),
        (
            "nothing",
            String::new(),
            "bad answer: the provider's stream ended without an answer".to_owned(),
        ),
        (
            "done at once",
            "data: [DONE]\n\n".to_owned(),
            "bad answer: the provider's stream ended without an answer".to_owned(),
        ),
        (
            "HTML",
            "<html></html>".to_owned(),
            "bad answer: the provider's stream ended without an answer".to_owned(),
        ),
        (
            "huge line",
            format!("{PIECE}{huge}"),
            "bad answer: the service's answer is longer than 16777216 bytes".to_owned(),
        ),
        (
            "too many choices",
            "data: {\"choices\":[{\"index\":1024}]}\n\n".to_owned(),
            TOO_MANY.to_owned(),
        ),
    ];
    for (name, body, expected) in rows {
        check(name, true, provider::stream([body.as_bytes()]), &expected).await;
    }
    let broken = provider::stream([&b"data: \xff\n\n"[..]]);
    check(
        "not UTF-8",
        true,
        broken,
        &format!("{unreadable}an event is not valid UTF-8"),
    )
    .await;
}

#[tokio::test]
async fn a_cut_stream_is_an_error() {
    let acts = |end: Act| {
        let mut acts = provider::open_stream([PIECE.as_bytes()]);
        acts.push(end);
        acts
    };
    check("closed", true, acts(Act::Close), CUT).await;
    check("reset", true, acts(Act::Reset), CUT).await;
    check(
        "in a chunk",
        true,
        vec![
            send(provider::EVENTS_HEAD),
            send("ff\r\ndata: {"),
            Act::Close,
        ],
        CUT,
    )
    .await;
    check(
        "broken chunk",
        true,
        vec![send(provider::EVENTS_HEAD), send("zz\r\n"), Act::Close],
        CUT,
    )
    .await;
    let with_trailers = [PIECE, "data: [DONE]\n\n"].concat();
    let mut trailers = provider::open_stream([with_trailers.as_bytes()]);
    trailers.push(send("0\r\nx-checksum: 1\r\n\r\n"));
    check("trailers", true, trailers, "ok a").await;
}

#[tokio::test]
async fn an_unframed_stream_must_show_that_it_is_complete() {
    let until_close = |version: &str, body: &str| {
        vec![
            send(format!(
                "{version} 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{body}"
            )),
            Act::Close,
        ]
    };
    let cut = "bad answer: the provider's answer was cut short";
    let rows = [
        ("done", format!("{PIECE}data: [DONE]\n\n"), "ok a"),
        ("finished", format!("{PIECE}{FINISHED}"), "ok a"),
        ("neither", PIECE.to_owned(), cut),
    ];
    for (name, body, expected) in rows {
        for version in ["HTTP/1.0", "HTTP/1.1"] {
            check(name, true, until_close(version, &body), expected).await;
        }
    }
    let framed = format!(
        "content-type: text/event-stream\r\ncontent-length: {}\r\n",
        PIECE.len()
    );
    let framed = vec![send(format!("HTTP/1.1 200 OK\r\n{framed}\r\n{PIECE}"))];
    check("framed", true, framed, "ok a").await;
}
