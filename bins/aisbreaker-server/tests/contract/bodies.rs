//! Bodies that are large: what they may cost, and how they are refused.

use serde_json::Value;

use super::process::{gzip, post};
use crate::support::{Request, Server, assert_error, call, service};

const MEGABYTE: usize = 1 << 20;

/// A body in chunks, as it goes over the wire.
fn chunked(body: &[u8]) -> Vec<u8> {
    let chunks = body
        .chunks(64 << 10)
        .map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    [chunks.collect::<Vec<_>>().concat().as_slice(), b"0\r\n\r\n"].concat()
}

#[test]
fn a_body_of_too_many_values_is_refused_for_little_memory() {
    let list = |value: &str| format!("{{\"x\":[{}0]}}", format!("{value},").repeat(1_000_000));
    let rows = [
        ("numbers", list("0")),
        ("objects", list("{\"\":0}")),
        (
            "members",
            format!("{{\"x\":{{{}\"\":0}}}}", "\"\":0,".repeat(1_000_000)),
        ),
        ("depth", format!("{{\"x\":{}", "[".repeat(1_000_000))),
    ];
    let server = Server::start(&[]);
    let before = server.peak_memory();

    for (row, body) in rows {
        assert_error(row, &server.send(&post(body.clone())), 400, "200000");
        let coded = post(gzip(body.as_bytes())).header("Content-Encoding", "gzip");
        assert_error(
            &format!("{row}, coded"),
            &server.send(&coded),
            400,
            "200000",
        );
        let minting = post(body).path("/api/v1/oauth/token");
        assert_error(
            &format!("{row}, to mint"),
            &server.send(&minting),
            400,
            "200000",
        );
    }

    let grown = server.peak_memory() - before;
    assert!(
        grown < 150 * MEGABYTE,
        "it took {} MB to refuse them",
        grown / MEGABYTE
    );
}

#[test]
fn a_body_may_be_one_long_string() {
    let server = Server::start(&[]);
    // All that is counted outside of strings stands in this one, more often than would be allowed
    // there.
    let text = "x".repeat(18 * MEGABYTE) + &"[{\"\\,:".repeat(2 * MEGABYTE / 6);

    let answer = server.process("", &call(service("chat:echo"), &text));

    assert_eq!(
        answer.content().strip_prefix("[ECHO] ").map(str::len),
        Some(text.len())
    );
    assert!(answer.content().ends_with(&text), "the text was altered");
}

#[test]
fn a_client_that_sends_all_of_what_is_too_large_gets_its_answer_afterwards() {
    let server = Server::start(&[("AISBREAKER_MAX_BODY_BYTES", "1000")]);

    for size in [5 * MEGABYTE, 20 * MEGABYTE] {
        let body = vec![b' '; size];
        let rows = [
            ("with a length", post(body.clone())),
            (
                "in chunks",
                post(chunked(&body)).header("Transfer-Encoding", "chunked"),
            ),
            ("to mint", Request::mint(&Value::Null).body(body)),
        ];
        for (row, request) in rows {
            let mut connection = server.connect();
            assert!(
                connection.try_write(&request.to_bytes()),
                "{size} {row}: the server did not take it all"
            );
            assert_error(
                &format!("{size} {row}"),
                &connection.answer_to("POST"),
                413,
                "1000",
            );
        }
    }
}
