//! Refusals that are sent while the client still sends its request (RFC 9112 section 9.6).

use crate::support::{Request, Server};

/// Refusals that do not need the content, with the status of each.
fn refusals(body: &[u8]) -> Vec<(&'static str, Request, u16)> {
    let post = |path: &str| Request::post(path, body).header("Content-Type", "application/json");
    let process = || Request::post_process(body);
    vec![
        ("unknown path", post("/v1/v1/chat/completions"), 404),
        ("wrong method", post("/api/v1/ping"), 405),
        (
            "content type",
            process().set("Content-Type", "application/xml"),
            400,
        ),
        ("hops", process().header("X-AIsBreaker-Hops", "many"), 400),
        ("coding", process().header("Content-Encoding", "br"), 415),
        ("host", process().set("Host", "elsewhere.example"), 421),
    ]
}

/// A client that sends everything before it looks for a response, as most HTTP libraries do.
#[test]
fn refusal_reaches_a_client_that_sends_its_whole_request_first() {
    let server = Server::start(&[
        ("AISBREAKER_PUBLIC_HOSTS", "localhost,127.0.0.1"),
        ("AISBREAKER_MAX_BODY_BYTES", "1000000"),
    ]);
    for size in [300, 300_000, 3_000_000, 8_000_000] {
        let body = vec![b' '; size];
        let mut rows = refusals(&body);
        if size > 1_000_000 {
            rows.push(("size", Request::post_process(body.clone()), 413));
        }
        for (row, request, status) in rows {
            let mut connection = server.connect();
            assert!(
                connection.try_write(&request.to_bytes()),
                "{row}, {size}: the connection was reset"
            );
            assert_eq!(
                connection.response_to("POST").status,
                status,
                "{row}, {size}"
            );
        }
    }
}

#[test]
fn refusal_does_not_wait_for_content_that_never_comes() {
    let server = Server::start(&[("AISBREAKER_MAX_BODY_BYTES", "1000")]);
    let head = "POST /api/v1/process HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n";
    let mut connection = server.connect();
    connection.write(head.as_bytes());

    let response = connection.head();

    assert_eq!(response.status, 413);
    assert_eq!(response.header("connection"), Some("close"));
}

#[test]
fn connection_ends_after_a_long_unread_body() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let request = Request::post("/api/v1/nothing", vec![b' '; 100_000]);
    assert!(connection.try_write(&request.to_bytes()));

    let response = connection.response_to("POST");

    assert_eq!(response.status, 404);
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(connection.read_to_end(), b"");
}
