//! Many clients at once: idle ones, and ones that take nothing of their streams.

use std::sync::{Mutex, mpsc};

use super::{MIB, assert_grown_less, wait_for_files, wait_until_files, with_others_served};
use crate::{
    openai::{chat, key_for, piece},
    support::{
        Connection, PATIENCE, Provider, Request, Server, files_limit,
        frames::{END_HEADERS, END_STREAM, Frames, Kind, fields, frame, request_to, streams},
        streamed,
    },
};

/// How many connections there may be, unless set, but for some for others.
const CROWD: usize = 9_900;
/// What an idle connection may cost the server, in bytes.
const IDLE_BYTES: usize = 16 << 10;

/// As many connections as this, or as this process may have open.
fn crowd(count: usize) -> usize {
    let possible = usize::try_from(files_limit(std::process::id()))
        .unwrap()
        .saturating_sub(1_000);
    if possible < count {
        println!(
            "ONLY {possible} CONNECTIONS INSTEAD OF {count}: the limit on open files (ulimit -n) is low"
        );
    }
    possible.min(count)
}

#[test]
fn ten_thousand_idle_connections_cost_little() {
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "10m")]);
    let count = crowd(CROWD);
    // Whatever others need is there before.
    with_others_served("nobody", &server, || {});
    let (files, before) = (server.open_files(), server.peak_memory());

    let idle: Vec<Connection> = with_others_served("a crowd", &server, || {
        // The others are served in between, and so those that came before them are accepted.
        let open = |i| {
            if i % 500 == 0 {
                assert_eq!(server.get("/api/v1/ping").status, 200);
            }
            server.connect()
        };
        (0..count).map(open).collect()
    });

    wait_until_files(&server, |open| open >= files + count);
    let each = server.peak_memory().saturating_sub(before) / count;
    println!("an idle connection costs {each} bytes");
    assert!(each < IDLE_BYTES, "{each} bytes for an idle connection");
    drop(idle);
    wait_for_files(&server, files);
}

#[test]
fn a_thousand_idle_connections_are_closed_after_the_header_timeout() {
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "1s")]);
    let files = server.open_files();
    let count = crowd(1_000);

    let idle: Vec<Connection> = (0..count)
        .map(|i| {
            let mut connection = server.connect();
            // Every other one has been of use before.
            if i % 2 == 0 {
                connection.write(&Request::get("/api/v1/ping").to_bytes());
            }
            connection
        })
        .collect();

    for mut connection in idle {
        connection.rest();
    }
    wait_for_files(&server, files);
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
fn a_hundred_streams_that_nobody_takes_are_held_back_and_given_up() {
    const CLIENTS: usize = 100;
    let (endless, told) = endless_provider();
    let server = Server::with_egress(&[("AISBREAKER_HEADER_TIMEOUT", "200ms")]);
    let (files, before) = (server.open_files(), server.peak_memory());
    let request = Request::process(&streamed(chat("Hi")))
        .bearer(&key_for(&server, &endless))
        .to_bytes();

    with_others_served("a hundred", &server, || {
        let clients: Vec<Connection> = (0..CLIENTS)
            .map(|_| {
                let mut client = Connection::open_narrow(server.address(), 64 << 10);
                client.write(&request);
                client
            })
            .collect();
        for i in 0..CLIENTS {
            assert_eq!(
                told.recv_timeout(PATIENCE),
                Ok(()),
                "call {i} to the provider goes on"
            );
        }
        drop(clients);
    });

    assert_grown_less("a hundred streams", &server, before, 2 * CLIENTS * MIB);
    wait_for_files(&server, files);
}

#[test]
fn a_connection_of_http_2_whose_streams_nobody_takes_is_held_back_and_given_up() {
    const STREAMS: u32 = 200;
    let (endless, told) = endless_provider();
    let server = Server::with_egress(&[("AISBREAKER_HEADER_TIMEOUT", "300ms")]);
    let key = format!("Bearer {}", key_for(&server, &endless));
    let (files, before) = (server.open_files(), server.peak_memory());
    let more = fields([
        ("content-type", "application/json"),
        ("authorization", &*key),
    ]);
    let head = [request_to("POST", "/api/v1/process"), more].concat();
    let of_a_provider = streamed(chat("Hi")).to_string();

    with_others_served("a closed window", &server, || {
        let mut client = Frames::open(&server, 0);
        for stream in streams(STREAMS) {
            client.write(&frame(Kind::HEADERS, END_HEADERS, stream, &head));
            client.write(&frame(
                Kind::DATA,
                END_STREAM,
                stream,
                of_a_provider.as_bytes(),
            ));
        }
        // All that is sent is taken; but no stream may send anything.
        client.end();
        for i in 0..endless.requests().len() {
            assert_eq!(
                told.recv_timeout(PATIENCE),
                Ok(()),
                "call {i} to the provider goes on"
            );
        }
    });

    assert_grown_less("a closed window", &server, before, 100 * MIB);
    wait_for_files(&server, files);
}
