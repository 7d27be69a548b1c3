//! Floods of HTTP/1.1: endless heads and bodies, requests sent byte by byte, and pipelined requests
//! whose responses nobody reads.

use std::{
    sync::atomic::{AtomicU16, Ordering},
    thread,
};

use super::{MIB, assert_growth_below, wait_for_files, with_others_served, write_until_closed};
use crate::support::{Connection, Request, Server, Ticker, dummy_call};

const POST: &str =
    "POST /api/v1/process HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

/// A name, the start of a request, the piece that follows without end, and the expected status.
fn endless_requests() -> Vec<(&'static str, String, String, u16)> {
    let get = "GET /api/v1/ping HTTP/1.1\r\nHost: localhost\r\n";
    let chunked = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
    let text = "x".repeat(10_000);
    let chunk = format!("2710\r\n{text}\r\n");
    vec![
        (
            "header fields",
            get.to_owned(),
            "X-More: 1\r\n".repeat(1_000),
            431,
        ),
        (
            "header fields of one name",
            get.to_owned(),
            "X-A:\r\n".repeat(1_000),
            431,
        ),
        (
            "a header value",
            format!("{get}X-More: "),
            text.clone(),
            431,
        ),
        ("a header name", get.to_owned(), text.clone(), 431),
        ("a path", "GET /".to_owned(), text.clone(), 431),
        ("a method", String::new(), text.clone(), 431),
        ("empty lines", String::new(), "\r\n".repeat(5_000), 431),
        ("a body", chunked.clone(), chunk, 413),
        (
            "a body of single bytes",
            chunked.clone(),
            "1\r\nx\r\n".repeat(2_000),
            413,
        ),
        (
            "a chunk extension",
            format!("{chunked}1;x="),
            text.clone(),
            400,
        ),
        (
            "chunk extensions",
            chunked.clone(),
            format!("1;x={}\r\nx\r\n", "x".repeat(100)).repeat(100),
            400,
        ),
        ("a chunk size", chunked.clone(), "0".repeat(10_000), 408),
        (
            "trailers",
            format!("{chunked}0\r\n"),
            "X-More: 1\r\n".repeat(1_000),
            400,
        ),
        ("a trailer", format!("{chunked}0\r\nX-More: "), text, 400),
    ]
}

#[test]
fn endless_request_parts_are_refused_in_bounded_memory() {
    let server = Server::start(&[
        ("AISBREAKER_MAX_BODY_BYTES", "100000"),
        ("AISBREAKER_BODY_TIMEOUT", "2s"),
    ]);
    let before = server.peak_memory();

    for (row, start, piece, expected) in &endless_requests() {
        with_others_served(row, &server, || {
            let mut client = server.connect();
            let writer = client.writer();
            let status = AtomicU16::new(0);
            client.write(start.as_bytes());
            // The server may keep reading for a while so that its response gets through. The client
            // stops when it has seen it.
            let has_response = || status.load(Ordering::SeqCst) > 0;
            thread::scope(|scope| {
                scope.spawn(|| write_until_closed(&writer, piece.as_bytes(), has_response));
                let response = client.status_or_end().unwrap_or_default();
                status.store(response.max(1), Ordering::SeqCst);
                // A response can be lost if data arrives after the server has closed the
                // connection.
                assert!(response == *expected || response == 0, "{row}: {response}");
            });
        });
        assert_growth_below(row, &server, before, 24 * MIB);
    }
}

#[test]
fn requests_sent_byte_by_byte_time_out() {
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

    with_others_served("slow requests", &server, || {
        let mut ticker = Ticker::start(100);
        let mut clients: Vec<(Connection, &str)> = (0..CLIENTS)
            .flat_map(|_| rows)
            .map(|(start, piece)| {
                let mut client = server.connect();
                client.write(start.as_bytes());
                (client, piece)
            })
            .collect();
        // At most ten seconds, after which the ticker ends.
        while !clients.is_empty() {
            ticker.tick();
            clients.retain_mut(|(client, piece)| client.try_write(piece.as_bytes()));
        }
    });

    assert_growth_below("slow requests", &server, before, 64 * MIB);
    wait_for_files(&server, files);
}

#[test]
fn pipelined_requests_with_unread_responses_are_aborted() {
    let server = Server::start(&[
        ("AISBREAKER_HEADER_TIMEOUT", "200ms"),
        ("AISBREAKER_LOG_MAX_PER_SECOND", "10"),
    ]);
    let files = server.open_files();
    let before = server.peak_memory();
    let rows = [
        ("pings", Request::get("/api/v1/ping")),
        ("calls", Request::process(&dummy_call())),
        ("unknown paths", Request::get("/nowhere")),
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
        assert_growth_below(row, &server, before, 32 * MIB);
    }
    wait_for_files(&server, files);
}
