//! Timeouts of requests that arrive slowly.

use crate::shutdown::{begin_stream, two_part_provider};
use crate::support::{Request, Server, assert_error, dummy_call, output_text};

/// Waits for this time on the server's own clock: until it closes a connection that sends nothing.
fn wait_for_head_timeout(server: &Server) {
    server.connect().read_to_end();
}

#[test]
fn incomplete_head_times_out() {
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "200ms")]);

    for fragment in [
        "",
        "G",
        "POST /api/v1/process HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        "PRI * HTTP/2.0\r\n\r\n",
    ] {
        let mut connection = server.connect();
        connection.write(fragment.as_bytes());
        let response = connection.read_to_end();
        assert!(
            response.is_empty() || response.starts_with(b"HTTP/1.1 4"),
            "{}",
            String::from_utf8_lossy(&response)
        );
    }
    assert_eq!(server.get("/api/v1/ping").status, 200);
}

#[test]
fn paused_body_times_out() {
    let server = Server::start(&[("AISBREAKER_BODY_TIMEOUT", "200ms")]);
    let mut connection = server.connect();
    let body = dummy_call().to_string();

    connection.write(&Request::process(&dummy_call()).to_bytes());
    assert_eq!(connection.response_to("POST").status, 200);
    let partial = Request::new("POST", "/api/v1/process")
        .header("Content-Length", "1000")
        .body(body);
    connection.write(&partial.to_bytes());

    let response = connection.response_to("POST");
    assert!((400..500).contains(&response.status), "{response:?}");
    assert_error("paused body", &response, response.status, "");
    assert!(connection.read_to_end().is_empty());
}

#[test]
fn header_timeout_does_not_end_a_running_stream() {
    let (provider, gate) = two_part_provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_HEADER_TIMEOUT", "100ms")]);
    let mut stream = begin_stream(&server, &provider);
    // Three header timeouts, by the server's own clock.
    for _ in 0..3 {
        let mut idle = server.connect();
        idle.read_to_end();
    }

    gate.open();

    assert_eq!(output_text(&stream.event().unwrap().data), "two");
    assert_eq!(stream.event().unwrap().name, "final");
}

#[test]
fn kept_connection_outlives_the_head_timeout_and_ends_after_the_idle_timeout() {
    let server = Server::start(&[
        ("AISBREAKER_HEADER_TIMEOUT", "500ms"),
        ("AISBREAKER_IDLE_TIMEOUT", "5s"),
    ]);
    let mut connection = server.connect();
    assert_eq!(connection.send(&Request::get("/healthz")).status, 200);
    for _ in 0..3 {
        wait_for_head_timeout(&server);
    }

    assert_eq!(connection.send(&Request::get("/healthz")).status, 200);

    assert_eq!(connection.read_to_end(), b"");
}

#[test]
fn incomplete_head_on_a_kept_connection_times_out() {
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "500ms")]);
    for (row, request) in [
        ("without content", Request::get("/healthz")),
        ("with content", Request::process(&dummy_call())),
    ] {
        let mut connection = server.connect();
        connection.send(&request);

        connection.write(b"GET /healthz HTTP/1.1\r\nX-Slow: ");

        assert_eq!(connection.read_to_end(), b"", "{row}");
    }
}
