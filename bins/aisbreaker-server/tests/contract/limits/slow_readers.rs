//! Clients that read their responses slowly, or not at all.

use std::sync::mpsc;

use serde_json::json;

use crate::support::{
    Connection, PATIENCE, Provider, Request, Server, Ticker, call, http2_unread_response,
    openai::{endless_provider, openai_call, openai_key},
    service, service_at, sse, streamed,
};

/// The receive buffer of a slow client.
const SMALL_BUFFER: u32 = 64 << 10;
/// The length of a text. Its answer is four times as long, which is far more than all socket
/// buffers hold.
const TEXT_BYTES: usize = 5 << 20;
/// How much a slow client reads at a time: enough for the system to advertise room again, and far
/// less than the whole.
const READ_BYTES: usize = 512 << 10;

/// Requests a long answer and reads its head. Returns the connection and the length of the body.
fn long_answer(server: &Server) -> (Connection, usize) {
    // Built before there is a connection, which would be idle meanwhile.
    let request = Request::process(&call(service("chat:echo"), &"x".repeat(TEXT_BYTES))).to_bytes();
    let mut connection = Connection::open_with_receive_buffer(server.address(), SMALL_BUFFER);
    connection.write(&request);
    let head = connection.head();
    assert_eq!(head.status, 200, "{head:?}");
    let length = head.header("content-length").unwrap().parse().unwrap();
    assert!(length > 3 * TEXT_BYTES, "{head:?}");
    (connection, length)
}

/// Reads a body in this many slow reads, five per second, and then the rest of it.
fn read_slowly(connection: &mut Connection, length: usize, reads: usize) {
    let mut ticker = Ticker::start(200);
    let mut body = Vec::with_capacity(length);
    for _ in 0..reads {
        ticker.tick();
        body.extend(connection.read_exact(READ_BYTES));
    }
    body.extend(connection.read_exact(length - body.len()));
    let response: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        response["outputs"][0]["text"]["content"]
            .as_str()
            .map(str::len),
        Some("[ECHO] ".len() + TEXT_BYTES)
    );
}

#[test]
fn slowly_read_answer_arrives_complete() {
    // The reads take twelve header timeouts, longer than a client may read nothing.
    let server = Server::start(&[
        ("AISBREAKER_HEADER_TIMEOUT", "300ms"),
        ("AISBREAKER_IDLE_TIMEOUT", "300ms"),
    ]);
    let (mut connection, length) = long_answer(&server);

    read_slowly(&mut connection, length, 18);

    // The connection is closed only after it has been idle since then.
    assert!(connection.read_to_end().is_empty());
}

#[test]
fn slowly_read_answer_arrives_complete_during_a_drain() {
    let mut server = Server::start(&[]);
    let (mut connection, length) = long_answer(&server);

    server.start_draining();
    // This takes three seconds.
    read_slowly(&mut connection, length, 15);

    let (status, log) = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("cut off"), "{log}");
}

#[test]
fn unread_stream_is_aborted() {
    let (provider, closed) = endless_provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_HEADER_TIMEOUT", "100ms")]);
    let words = streamed(call(service("chat:dummy"), &"word ".repeat(1_000_000)));
    let rows = [
        (
            "of-a-provider",
            streamed(openai_call("Hi")),
            openai_key(&server, &provider),
        ),
        (
            "of-the-server",
            words,
            server.mint_with_secrets(&json!([{"serviceId": "chat:", "authSecret": ""}])),
        ),
    ];
    for (row, body, key) in rows {
        let request = Request::process(&body)
            .bearer(&key)
            .header("X-Request-Id", row)
            .to_bytes();
        let mut connection = Connection::open_with_receive_buffer(server.address(), SMALL_BUFFER);
        connection.write(&request);

        assert_eq!(server.wait_for_request(row)["status"], 499, "{row}");
    }

    assert_eq!(
        closed.recv_timeout(PATIENCE),
        Ok(()),
        "the call to the provider continues"
    );
}

/// Over HTTP/2, a client can leave a stream unread although it reads everything that the server
/// writes to the socket.
#[test]
fn unread_http2_stream_is_aborted() {
    let (provider, closed) = endless_provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_HEADER_TIMEOUT", "100ms")]);
    let request = hyper::Request::post("http://localhost/api/v1/process")
        .header(
            "authorization",
            format!("Bearer {}", openai_key(&server, &provider)),
        )
        .header("x-request-id", "unread");

    http2_unread_response(
        &server,
        request
            .body(streamed(openai_call("Hi")).to_string())
            .unwrap(),
        move || {
            assert_eq!(
                closed.recv_timeout(PATIENCE),
                Ok(()),
                "the call to the provider continues"
            );
        },
    );

    assert_eq!(server.wait_for_request("unread")["status"], 499);
}

#[test]
fn unread_stream_applies_backpressure_to_the_provider() {
    // Far more than fits into the buffers of three sockets and one server.
    const EVENTS: usize = 2_000;
    let (report, events_written) = mpsc::channel();

    let provider = Provider::start(move |_, wire| {
        let event =
            sse(&json!({"choices": [{"index": 0, "delta": {"content": "x".repeat(50_000)}}]}));
        wire.stream();
        let accepted = (0..EVENTS)
            .take_while(|_| wire.chunk_in_time(&event))
            .count();
        report.send(accepted).unwrap();
    });
    let server = Server::with_loopback_egress(&[]);
    let body = streamed(call(service_at("chat:openai.com", &provider.url()), "Hi"));
    let mut connection = server.connect();
    connection.write(&Request::process(&body).bearer("sk-own").to_bytes());

    let accepted = events_written.recv().unwrap();

    assert!(
        accepted < EVENTS,
        "the server buffered {accepted} events that nobody reads"
    );
    assert_eq!(connection.head().status, 200);
}
