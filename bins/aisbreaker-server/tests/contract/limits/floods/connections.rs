//! Many connections and streams at once: idle ones, and ones that nobody reads.

use super::{MIB, assert_growth_below, wait_for_files, wait_until_files, with_others_served};
use crate::support::{
    Connection, PATIENCE, Request, Server,
    http2_frames::{
        END_HEADERS, END_STREAM, FrameConnection, FrameType, fields, frame, request_to, streams,
    },
    open_files_limit,
    openai::{endless_provider, openai_call, openai_key},
    streamed,
};

/// Somewhat fewer connections than the default limit, so that others can be served.
const IDLE_CONNECTIONS: usize = 9_900;
/// The memory that an idle connection may cost the server.
const IDLE_BYTES: usize = 16 << 10;

/// This many connections, or as many as this process may have open.
fn affordable_connections(count: usize) -> usize {
    let possible = usize::try_from(open_files_limit(std::process::id()))
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
fn ten_thousand_idle_connections_use_little_memory() {
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "10m")]);
    let count = affordable_connections(IDLE_CONNECTIONS);
    // Allocates what serving others needs.
    with_others_served("no attack", &server, || {});
    let (files, before) = (server.open_files(), server.peak_memory());

    let idle: Vec<Connection> = with_others_served("idle connections", &server, || {
        // A served request shows that the connections before it were accepted.
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
fn idle_connections_close_after_their_timeouts() {
    let server = Server::start(&[
        ("AISBREAKER_HEADER_TIMEOUT", "1s"),
        ("AISBREAKER_IDLE_TIMEOUT", "1s"),
    ]);
    let files = server.open_files();
    let count = affordable_connections(1_000);

    let idle: Vec<Connection> = (0..count)
        .map(|i| {
            let mut connection = server.connect();
            // Every other connection has been used before.
            if i % 2 == 0 {
                connection.write(&Request::get("/api/v1/ping").to_bytes());
            }
            connection
        })
        .collect();

    for mut connection in idle {
        connection.read_to_end();
    }
    wait_for_files(&server, files);
}

#[test]
fn unread_streams_apply_backpressure_and_are_aborted() {
    const CLIENTS: usize = 100;
    let (provider, closed) = endless_provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_HEADER_TIMEOUT", "200ms")]);
    let (files, before) = (server.open_files(), server.peak_memory());
    let request = Request::process(&streamed(openai_call("Hi")))
        .bearer(&openai_key(&server, &provider))
        .to_bytes();

    with_others_served("unread streams", &server, || {
        let clients: Vec<Connection> = (0..CLIENTS)
            .map(|_| {
                let mut client = Connection::open_with_receive_buffer(server.address(), 64 << 10);
                client.write(&request);
                client
            })
            .collect();
        for i in 0..CLIENTS {
            assert_eq!(
                closed.recv_timeout(PATIENCE),
                Ok(()),
                "call {i} to the provider continues"
            );
        }
        drop(clients);
    });

    assert_growth_below("unread streams", &server, before, 2 * CLIENTS * MIB);
    wait_for_files(&server, files);
}

#[test]
fn http2_connection_with_closed_windows_is_aborted() {
    const STREAMS: u32 = 200;
    let (provider, closed) = endless_provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_HEADER_TIMEOUT", "300ms")]);
    let key = format!("Bearer {}", openai_key(&server, &provider));
    let (files, before) = (server.open_files(), server.peak_memory());
    let more = fields([
        ("content-type", "application/json"),
        ("authorization", &*key),
    ]);
    let head = [request_to("POST", "/api/v1/process"), more].concat();
    let body = streamed(openai_call("Hi")).to_string();

    with_others_served("closed windows", &server, || {
        let mut client = FrameConnection::open(&server, 0);
        for stream in streams(STREAMS) {
            client.write(&frame(FrameType::HEADERS, END_HEADERS, stream, &head));
            client.write(&frame(FrameType::DATA, END_STREAM, stream, body.as_bytes()));
        }
        // The client reads everything that the server sends, but no stream may send anything.
        client.end();
        for i in 0..provider.requests().len() {
            assert_eq!(
                closed.recv_timeout(PATIENCE),
                Ok(()),
                "call {i} to the provider continues"
            );
        }
    });

    assert_growth_below("closed windows", &server, before, 100 * MIB);
    wait_for_files(&server, files);
}
