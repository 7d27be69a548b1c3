//! Floods of HTTP/1: heads and bodies without end, or byte by byte, and requests whose answers
//! nobody reads.

use std::{
    sync::atomic::{AtomicU16, Ordering},
    thread,
};

use super::{MIB, assert_grown_less, with_others_served, write_until_closed};
use crate::support::{Connection, Metronome, Request, Server, call, service};

const POST: &str =
    "POST /api/v1/process HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

#[test]
fn what_has_no_end_is_refused_and_not_kept() {
    let server = Server::start(&[
        ("AISBREAKER_MAX_BODY_BYTES", "100000"),
        ("AISBREAKER_BODY_TIMEOUT", "2s"),
    ]);
    let before = server.peak_memory();
    let get = "GET /api/v1/ping HTTP/1.1\r\nHost: localhost\r\n";
    let chunked = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
    let text = "x".repeat(10_000);
    let chunk = format!("2710\r\n{text}\r\n");
    let rows = [
        ("fields", get, "X-More: 1\r\n".repeat(1_000), 431),
        (
            "fields of the same name",
            get,
            "X-A:\r\n".repeat(1_000),
            431,
        ),
        ("a field", &format!("{get}X-More: "), text.clone(), 431),
        ("a name of a field", get, text.clone(), 431),
        ("a path", "GET /", text.clone(), 431),
        ("a method", "", text.clone(), 431),
        ("empty lines", "", "\r\n".repeat(5_000), 431),
        ("a body", &chunked, chunk, 413),
        (
            "a body of single bytes",
            &chunked,
            "1\r\nx\r\n".repeat(2_000),
            413,
        ),
        (
            "an extension of a chunk",
            &format!("{chunked}1;x="),
            text.clone(),
            400,
        ),
        (
            "extensions of chunks",
            &chunked,
            format!("1;x={}\r\nx\r\n", "x".repeat(100)).repeat(100),
            400,
        ),
        ("a size of a chunk", &chunked, "0".repeat(10_000), 408),
        (
            "trailers",
            &format!("{chunked}0\r\n"),
            "X-More: 1\r\n".repeat(1_000),
            400,
        ),
        ("a trailer", &format!("{chunked}0\r\nX-More: "), text, 400),
    ];

    for (row, beginning, piece, expected) in &rows {
        with_others_served(row, &server, || {
            let mut client = server.connect();
            let writer = client.writer();
            let status = AtomicU16::new(0);
            client.write(beginning.as_bytes());
            // The server may read on for a while, so that its answer is seen; a client that has
            // seen it stops.
            let is_told = || status.load(Ordering::SeqCst) > 0;
            thread::scope(|scope| {
                scope.spawn(|| write_until_closed(&writer, piece.as_bytes(), is_told));
                let answer = client.status_or_end().unwrap_or_default();
                status.store(answer.max(1), Ordering::SeqCst);
                // An answer can be lost if more comes when the server has closed already.
                assert!(answer == *expected || answer == 0, "{row}: {answer}");
            });
        });
        assert_grown_less(row, &server, before, 24 * MIB);
    }
}

#[test]
fn hundreds_of_requests_that_come_byte_by_byte_are_given_up_in_time() {
    const CLIENTS: usize = 150;
    let server = Server::start(&[
        ("AISBREAKER_HEADER_TIMEOUT", "500ms"),
        ("AISBREAKER_BODY_TIMEOUT", "500ms"),
    ]);
    let files = server.open_files();
    let before = server.peak_memory();
    let sized = format!("{POST}Content-Length: 100000\r\n\r\n{{");
    let chunked = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
    let rows = [("GET /", "x"), (&sized, " "), (&chunked, "1\r\n \r\n")];

    with_others_served("trickles", &server, || {
        let mut metronome = Metronome::start(100);
        let mut clients: Vec<(Connection, &str)> = (0..CLIENTS)
            .flat_map(|_| rows)
            .map(|(beginning, piece)| {
                let mut client = server.connect();
                client.write(beginning.as_bytes());
                (client, piece)
            })
            .collect();
        // At most ten seconds, which is how long the metronome beats.
        while !clients.is_empty() {
            metronome.wait();
            clients.retain_mut(|(client, piece)| client.try_write(piece.as_bytes()));
        }
    });

    assert_grown_less("trickles", &server, before, 64 * MIB);
    super::wait_for_files(&server, files);
}

#[test]
fn requests_whose_answers_nobody_reads_are_held_back_and_given_up() {
    let server = Server::start(&[
        ("AISBREAKER_HEADER_TIMEOUT", "200ms"),
        ("AISBREAKER_LOG_MAX_PER_SECOND", "10"),
    ]);
    let files = server.open_files();
    let before = server.peak_memory();
    let rows = [
        ("greetings", Request::get("/api/v1/ping")),
        (
            "calls",
            Request::process(&call(service("chat:dummy"), "Hi")),
        ),
        ("refusals", Request::get("/nowhere")),
    ];

    for (row, request) in rows {
        with_others_served(row, &server, || {
            let clients: Vec<Connection> = (0..10).map(|_| server.connect()).collect();
            let requests = request.to_bytes().repeat(1_000);
            thread::scope(|scope| {
                for client in &clients {
                    scope.spawn(|| write_until_closed(&client.writer(), &requests, || false));
                }
            });
        });
        assert_grown_less(row, &server, before, 32 * MIB);
    }
    super::wait_for_files(&server, files);
}
