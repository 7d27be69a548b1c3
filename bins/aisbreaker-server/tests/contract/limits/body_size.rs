//! Large bodies: what they may cost, and how they are refused.

use serde_json::Value;

use super::MIB;
use crate::own_api::{DUMMY_ANSWER, dummy_question};
use crate::support::{Request, Server, assert_error, call, chunked, deflate, gzip, service};

#[test]
fn refuses_a_body_with_too_many_values_in_bounded_memory() {
    let list = |value: &str| format!("{{\"x\":[{}0]}}", format!("{value},").repeat(1_000_000));
    let rows = [
        ("numbers", list("0")),
        ("objects", list("{\"\":0}")),
        (
            "members of an object",
            format!("{{\"x\":{{{}\"\":0}}}}", "\"\":0,".repeat(1_000_000)),
        ),
        ("depth", format!("{{\"x\":{}", "[".repeat(1_000_000))),
    ];
    let server = Server::start(&[]);
    let before = server.peak_memory();

    for (row, body) in rows {
        assert_error(
            row,
            &server.send(&Request::post_process(body.clone())),
            400,
            "200000",
        );
        let compressed =
            Request::post_process(gzip(body.as_bytes())).header("Content-Encoding", "gzip");
        assert_error(
            &format!("{row}, compressed"),
            &server.send(&compressed),
            400,
            "200000",
        );
        let minting = Request::post_process(body).path("/api/v1/oauth/token");
        assert_error(
            &format!("{row}, minting"),
            &server.send(&minting),
            400,
            "200000",
        );
    }

    let grown = server.peak_memory() - before;
    assert!(grown < 150 * MIB, "refusing them took {} MB", grown / MIB);
}

#[test]
fn accepts_a_body_of_one_long_string() {
    let server = Server::start(&[]);
    // Inside a string, more brackets, commas and colons are allowed than outside of one.
    let text = "x".repeat(18 * MIB) + &"[{\"\\,:".repeat(2 * MIB / 6);

    let response = server.process("", &call(service("chat:echo"), &text));

    assert_eq!(
        response.content().strip_prefix("[ECHO] ").map(str::len),
        Some(text.len())
    );
    assert!(response.content().ends_with(&text), "the text was altered");
}

#[test]
fn answers_an_oversized_body_that_is_sent_in_full() {
    let server = Server::start(&[("AISBREAKER_MAX_BODY_BYTES", "1000")]);

    for size in [5 * MIB, 20 * MIB] {
        let body = vec![b' '; size];
        let rows = [
            ("with a length", Request::post_process(body.clone())),
            (
                "chunked",
                Request::post_process(chunked(&body, 64 << 10))
                    .header("Transfer-Encoding", "chunked"),
            ),
            ("minting", Request::mint(&Value::Null).body(body)),
        ];
        for (row, request) in rows {
            let mut connection = server.connect();
            assert!(
                connection.try_write(&request.to_bytes()),
                "{size} {row}: the server did not read it all"
            );
            assert_error(
                &format!("{size} {row}"),
                &connection.response_to("POST"),
                413,
                "1000",
            );
        }
    }
}

#[test]
fn limit_counts_decompressed_bytes() {
    let server = Server::start(&[("AISBREAKER_MAX_BODY_BYTES", "1000")]);
    let padded = |length: usize| {
        let body = dummy_question().to_string();
        format!("{body}{}", " ".repeat(length - body.len())).into_bytes()
    };
    let chunked = |body: Vec<u8>| {
        Request::post_process(chunked(&body, 300)).header("Transfer-Encoding", "chunked")
    };
    let rows = [
        ("at the limit", Request::post_process(padded(1000)), 200),
        ("over it", Request::post_process(padded(1001)), 413),
        (
            "far over it",
            Request::post_process(padded(10_000_000)),
            413,
        ),
        ("chunked at the limit", chunked(padded(1000)), 200),
        ("chunked over it", chunked(padded(1001)), 413),
        (
            "gzip at the limit",
            Request::post_process(gzip(&padded(1000))).header("Content-Encoding", "gzip"),
            200,
        ),
        (
            "gzip over it",
            Request::post_process(gzip(&padded(1001))).header("Content-Encoding", "gzip"),
            413,
        ),
        (
            "a gzip bomb",
            Request::post_process(gzip(&vec![b' '; 700_000])).header("Content-Encoding", "gzip"),
            413,
        ),
        (
            "a deflate bomb",
            Request::post_process(deflate(&vec![b' '; 700_000]))
                .header("Content-Encoding", "deflate"),
            413,
        ),
        (
            "a huge announced length",
            Request::post_process(Vec::new()).header("Content-Length", "1000000000000"),
            413,
        ),
    ];

    for (row, request, status) in rows {
        let response = server.send(&request);
        if status == 200 {
            assert_eq!(response.content(), DUMMY_ANSWER, "{row}");
        } else {
            assert_error(row, &response, status, "1000");
        }
    }
}

#[test]
fn refuses_an_oversized_length_instead_of_100_continue() {
    let server = Server::start(&[("AISBREAKER_MAX_BODY_BYTES", "1000")]);
    let mut connection = server.connect();

    let request = Request::post_process(Vec::new())
        .header("Content-Length", "1000000")
        .header("Expect", "100-continue");
    connection.write(&request.to_bytes());

    assert_error("Expect", &connection.response_to("POST"), 413, "");
}
