//! Clients that take their answers slowly, or not at all.

use std::sync::{Mutex, mpsc};

use serde_json::json;

use super::openai::{chat, key_for, piece};
use crate::support::{
    Connection, Metronome, PATIENCE, Provider, Request, Server, call, http2_untaken, service,
    streamed,
};

/// What the system receives ahead of a slow client.
const NARROW: u32 = 64 << 10;
/// The length of a text whose answer, four times as long, is far more than all sockets hold.
const LONG: usize = 5 << 20;
/// What a slow client takes at a time: all in all more than the system takes back at once, and far
/// from the whole.
const SIP: usize = 512 << 10;

/// A connection on which a long answer is to be taken, and how long it is.
fn long_answer(server: &Server) -> (Connection, usize) {
    // Made before there is a connection, which is not to be idle until then.
    let request = Request::process(&call(service("chat:echo"), &"x".repeat(LONG))).to_bytes();
    let mut connection = Connection::open_narrow(server.address(), NARROW);
    connection.write(&request);
    let head = connection.head();
    assert_eq!(head.status, 200, "{head:?}");
    let length = head.header("content-length").unwrap().parse().unwrap();
    assert!(length > 3 * LONG, "{head:?}");
    (connection, length)
}

/// Takes an answer in as many sips as this, five to a second, and then the rest of it.
fn sip(connection: &mut Connection, length: usize, sips: usize) {
    let mut metronome = Metronome::start(200);
    let mut body = Vec::with_capacity(length);
    for _ in 0..sips {
        metronome.wait();
        body.extend(connection.take(SIP));
    }
    body.extend(connection.take(length - body.len()));
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        answer["outputs"][0]["text"]["content"]
            .as_str()
            .map(str::len),
        Some("[ECHO] ".len() + LONG)
    );
}

#[test]
fn an_answer_that_is_still_taken_arrives_whole_however_long_it_takes() {
    // Twelve header timeouts, which is also more than a client may rest that takes nothing.
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "300ms")]);
    let (mut connection, length) = long_answer(&server);

    sip(&mut connection, length, 18);

    // The connection is closed when it has been idle for two header timeouts, and not earlier.
    assert!(connection.rest().is_empty());
}

#[test]
fn an_answer_that_is_still_taken_arrives_whole_though_the_server_ends() {
    let mut server = Server::start(&[]);
    let (mut connection, length) = long_answer(&server);

    server.signal("TERM");
    server.wait_for_log("the drain", |line| line["message"] == "draining");
    // Three seconds.
    sip(&mut connection, length, 15);

    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("cut off"), "{log}");
}

/// A provider that streams until its connection is closed, and tells when it is.
fn endless_provider() -> (Provider, mpsc::Receiver<()>) {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        wire.chunk_until_closed(piece(&"x".repeat(50_000)));
        let _told = tell.lock().unwrap().send(());
    });
    (provider, told)
}

#[test]
fn a_stream_that_nobody_takes_is_given_up() {
    let (endless, told) = endless_provider();
    let server = Server::with_egress(&[("AISBREAKER_HEADER_TIMEOUT", "100ms")]);
    let words = streamed(call(service("chat:dummy"), &"word ".repeat(1_000_000)));
    let rows = [
        (
            "of-a-provider",
            streamed(chat("Hi")),
            key_for(&server, &endless),
        ),
        (
            "of-the-server",
            words,
            server.mint_secrets(&json!([{"serviceId": "chat:", "authSecret": ""}])),
        ),
    ];
    for (row, body, key) in rows {
        let request = Request::process(&body)
            .bearer(&key)
            .header("X-Request-Id", row)
            .to_bytes();
        let mut connection = Connection::open_narrow(server.address(), NARROW);
        connection.write(&request);

        assert_eq!(server.wait_for_request(row)["status"], 499, "{row}");
    }

    assert_eq!(
        told.recv_timeout(PATIENCE),
        Ok(()),
        "the call to the provider goes on"
    );
}

/// There, a client can leave a stream untaken and still take all that the server writes to the
/// socket.
#[test]
fn a_stream_of_http_2_that_nobody_takes_is_given_up() {
    let (endless, told) = endless_provider();
    let server = Server::with_egress(&[("AISBREAKER_HEADER_TIMEOUT", "100ms")]);
    let request = hyper::Request::post("http://localhost/api/v1/process")
        .header(
            "authorization",
            format!("Bearer {}", key_for(&server, &endless)),
        )
        .header("x-request-id", "untaken");

    http2_untaken(
        &server,
        request.body(streamed(chat("Hi")).to_string()).unwrap(),
        move || {
            assert_eq!(
                told.recv_timeout(PATIENCE),
                Ok(()),
                "the call to the provider goes on"
            );
        },
    );

    assert_eq!(server.wait_for_request("untaken")["status"], 499);
}
