//! Clients that hold resources: memory that they never release, places that they never fill, and
//! work whose result they never read. Each is refused or evicted, and all others are served.

use std::{io::Write as _, net::Ipv4Addr, sync::mpsc};

use serde_json::{Value, json};

use crate::support::{
    Connection, Provider, Request, Server, Ticker, assert_error, call, dummy_call, gzip,
    http2_frames::*, quotas, service, service_at, streamed,
};

const MEGABYTE: usize = 1_000_000;
/// The receive buffer of a client that does not read.
const SMALL_BUFFER: u32 = 4 << 10;
/// A budget in which a megabyte is much.
const TIGHT: [(&str, &str); 3] = [
    ("AISBREAKER_MAX_BUFFERED_BYTES", "20000000"),
    ("AISBREAKER_MAX_BODY_BYTES", "1200000"),
    ("AISBREAKER_MAX_ANSWER_BYTES", "1200000"),
];

fn echo(bytes: usize) -> Value {
    call(service("chat:echo"), &"x".repeat(bytes))
}

/// A connection of another client than all those at the usual address.
fn other_client(server: &Server) -> Connection {
    Connection::open_from(Ipv4Addr::new(127, 0, 0, 9), server.address())
}

/// Sends a request on twenty connections, and reads only the heads of the responses. Returns the
/// statuses with the connections.
fn unread_responses(server: &Server, request: &[u8]) -> Vec<(u16, Connection)> {
    (0..20)
        .map(|_| {
            let mut connection =
                Connection::open_with_receive_buffer(server.address(), SMALL_BUFFER);
            connection.write(request);
            (connection.head().status, connection)
        })
        .collect()
}

#[test]
fn unread_answers_stay_within_the_share_of_their_client() {
    let server = Server::start(&TIGHT);
    let before = server.peak_memory();
    // The answers have 3.7 MB each, and the share is eight megabytes.
    let request = Request::process(&echo(MEGABYTE)).to_bytes();

    let unread = unread_responses(&server, &request);

    let served = unread.iter().filter(|(status, _)| *status == 200).count();
    assert!((1..=2).contains(&served), "{served} answers are held");
    assert!(unread.iter().all(|(status, _)| matches!(status, 200 | 503)));
    let grown = server.peak_memory() - before;
    assert!(grown < 60 * MEGABYTE, "it took {} MB", grown / MEGABYTE);
    assert_eq!(
        other_client(&server)
            .send(&Request::process(&echo(MEGABYTE)))
            .status,
        200,
        "another client"
    );
    drop(unread);
    let mut ticker = Ticker::start(50);
    while server.process("", &echo(MEGABYTE)).status != 200 {
        ticker.tick();
    }
}

#[test]
fn unread_stream_ends_stay_within_the_share_of_their_client() {
    let text = "x".repeat(MEGABYTE);
    let provider = Provider::with_response(
        200,
        json!({"choices": [{"index": 0, "message": {"content": text}}]}),
    );
    let server = Server::with_loopback_egress(&TIGHT);
    let before = server.peak_memory();
    let body = streamed(call(service_at("chat:openai.com", &provider.url()), "Hi"));
    let request = Request::process(&body).bearer("sk-own").to_bytes();

    let mut unread = unread_responses(&server, &request);
    assert!(unread.iter().all(|(status, _)| *status == 200));

    // Streams for which there is no room end with an error.
    let is_refused = |connection: &mut Connection| {
        connection
            .event()
            .is_some_and(|event| event.name == "error")
    };
    let refused = unread
        .iter_mut()
        .rev()
        .take(10)
        .filter_map(|(_, connection)| is_refused(connection).then_some(()))
        .count();
    assert!(refused > 0, "all twenty are held");
    let grown = server.peak_memory() - before;
    assert!(grown < 80 * MEGABYTE, "it took {} MB", grown / MEGABYTE);
    assert_eq!(
        other_client(&server)
            .send(&Request::process(&echo(MEGABYTE)))
            .status,
        200,
        "another client"
    );
}

#[test]
fn abandoned_decompression_uses_bounded_memory_and_threads() {
    let server = Server::start(&[]);
    let bomb = gzip(
        &[
            br#"{"x":""#.as_slice(),
            &vec![b'x'; 30 * MEGABYTE],
            br#""}"#,
        ]
        .concat(),
    );
    let bomb = Request::process(&dummy_call())
        .header("Content-Encoding", "gzip")
        .body(bomb)
        .to_bytes();
    let (memory_before, threads_before) = (server.peak_memory(), server.threads());

    // Each client disconnects when its work has begun.
    let mut ticker = Ticker::start(10);
    let mut most_threads = threads_before;
    for _ in 0..90 {
        let mut connection = server.connect();
        connection.write(&bomb);
        ticker.tick();
        drop(connection);
        most_threads = most_threads.max(server.threads());
    }

    assert_eq!(server.process("", &dummy_call()).status, 200);
    let grown = server.peak_memory() - memory_before;
    assert!(grown < 250 * MEGABYTE, "it took {} MB", grown / MEGABYTE);
    assert!(
        most_threads <= threads_before + 8,
        "threads: {threads_before} at first, then {most_threads}"
    );
}

#[test]
fn costly_bodies_are_charged_before_they_are_parsed() {
    let once = quotas([1; 3], [100; 3]).to_string();
    let server = Server::start(&[
        ("AISBREAKER_DEFAULT_QUOTAS", &once),
        ("AISBREAKER_MINT_QUOTAS", &once),
    ]);
    let not_gzip = |path: &str| {
        Request::new("POST", path)
            .header("Content-Type", "application/json")
            .header("Content-Encoding", "gzip")
            .body("this is not gzip")
    };
    let long = Request::new("POST", "/api/v1/process").body(vec![b'x'; 100_000]);

    for request in [not_gzip("/api/v1/process"), not_gzip("/api/v1/oauth/token")] {
        let response = server.send(&request);
        assert_error("not gzip", &response, 400, "Content-Encoding");
        assert!(
            response.header("ratelimit").is_some(),
            "not charged: {response:?}"
        );
    }

    for request in [
        not_gzip("/api/v1/process"),
        not_gzip("/api/v1/oauth/token"),
        long,
    ] {
        assert_error(
            "spent quotas",
            &server.send(&request),
            429,
            "quota exceeded",
        );
    }
    let cheap = server.send(&Request::new("POST", "/api/v1/process").body("no JSON"));
    assert_error("a cheap body is parsed", &cheap, 400, "JSON");
}

#[test]
fn incomplete_requests_leave_room_for_others() {
    let server = Server::start(&[("AISBREAKER_MAX_REQUESTS", "50")]);
    let fragment =
        b"POST /api/v1/process HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{";
    let mut waiting: Vec<Connection> = (0..60).map(|_| server.connect()).collect();
    for connection in &mut waiting {
        connection.write(fragment);
    }

    // They are evicted after two seconds, long before the timeout of a body.
    let mut ticker = Ticker::start(100);
    let mut refused = 0;
    while other_client(&server)
        .send(&Request::process(&dummy_call()))
        .status
        != 200
    {
        refused += 1;
        assert!(refused < 100, "no other client is served");
        ticker.tick();
    }
}

#[test]
fn active_upload_is_not_evicted() {
    let server = Server::start(&[("AISBREAKER_MAX_CONNECTIONS", "3")]);
    let mut body = dummy_call();
    body["padding"] = json!("x".repeat(40 * (64 << 10)));
    let request = Request::process(&body).to_bytes();
    let mut upload = server.connect();
    let mut ticker = Ticker::start(100);

    // The upload takes four seconds. In the last one, two other connections are idle, and a third
    // arrives.
    let mut pieces = request.chunks(64 << 10);
    for piece in pieces.by_ref().take(28) {
        ticker.tick();
        upload.write(piece);
    }
    let idle = [server.connect(), server.connect()];
    let mut newcomer = None;
    for piece in pieces {
        ticker.tick();
        upload.write(piece);
        if newcomer.is_none() {
            let mut connection = server.connect();
            newcomer = (connection.send(&Request::get("/api/v1/ping")).status == 200)
                .then_some(connection);
        }
    }

    assert!(newcomer.is_some(), "no connection was evicted");
    assert_eq!(
        upload.response_to("POST").status,
        200,
        "the upload continues"
    );
    drop(idle);
}

/// The client reads all other streams, so that the connection makes progress and the stream does
/// not.
#[test]
fn unread_http2_stream_closes_its_connection() {
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "200ms")]);
    let mut client = FrameConnection::open(&server, 100);
    // Smaller than the initial window of the server.
    let body = echo(20_000).to_string();
    let head = process_request();
    client.write(&frame(FrameType::HEADERS, END_HEADERS, 1, &head));
    for piece in body.as_bytes().chunks(16_000) {
        client.write(&frame(FrameType::DATA, 0, 1, piece));
    }
    client.write(&frame(FrameType::DATA, END_STREAM, 1, &[]));

    let mut writer = client.writer();
    let (report_end, end) = mpsc::channel();
    let other_streams = std::thread::spawn(move || {
        let mut ticker = Ticker::start(100);
        for stream in streams(90).skip(1) {
            ticker.tick();
            let has_ended =
                end.try_recv().is_ok() || writer.write_all(&get(stream, "/api/v1/ping")).is_err();
            if has_ended {
                return true;
            }
        }
        false
    });

    // Until then, other streams are answered, and the client acknowledges the pings of the server.
    let mut responses = 0;
    while let Some(received) = client.next() {
        responses += usize::from(received.is_ok());
        if received.frame_type == FrameType::PING {
            client.write(&frame(FrameType::PING, ACK, 0, &received.payload));
        }
    }
    let _reported = report_end.send(());
    assert!(responses > 10, "{responses} responses");
    assert!(
        other_streams.join().unwrap(),
        "the connection is never closed"
    );
}

/// They may belong to other clients behind the same proxy.
#[test]
fn other_streams_of_a_closing_connection_complete() {
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "200ms")]);
    let mut client = FrameConnection::open(&server, 100);
    let head = process_request();
    // Takes three seconds, whereas an unread stream is aborted after two.
    let slow = json!({"serviceId": "chat:dummy", "delayMillis": 100});
    let lasting = streamed(call(slow, &"word ".repeat(12)));
    for (stream, body) in [(1, echo(10_000)), (3, lasting)] {
        client.write(&frame(FrameType::HEADERS, END_HEADERS, stream, &head));
        client.write(&frame(
            FrameType::DATA,
            END_STREAM,
            stream,
            body.to_string().as_bytes(),
        ));
    }
    let room = 1_000_000_u32.to_be_bytes();
    client.write(&frame(FrameType::WINDOW_UPDATE, 0, 3, &room));
    client.write(&frame(FrameType::WINDOW_UPDATE, 0, 0, &room));

    let (mut has_goaway, mut body) = (false, Vec::new());
    while let Some(received) = client.next() {
        match received.frame_type {
            FrameType::PING => client.write(&frame(FrameType::PING, ACK, 0, &received.payload)),
            FrameType::GOAWAY => has_goaway = true,
            FrameType::DATA if received.stream == 3 => body.extend(received.payload),
            _ => {}
        }
    }

    let text = String::from_utf8(body).unwrap();
    assert!(has_goaway, "the connection ended without GOAWAY");
    assert!(text.contains("event: final\n"), "{text}");
}

/// Thirty clients hold more than a hundred megabytes, and then they are gone.
#[test]
#[cfg_attr(
    not(feature = "jemalloc"),
    ignore = "the system's allocator keeps it: --features aisbreaker-server/jemalloc"
)]
fn memory_of_a_burst_is_given_back() {
    let server = Server::start(&[]);
    let request = Request::process(&echo(2 * MEGABYTE)).to_bytes();
    server.process("", &dummy_call());
    let before = server.resident_memory();

    let unread: Vec<_> = (10..40)
        .map(|client| {
            let mut connection =
                Connection::open_from(Ipv4Addr::new(127, 0, 0, client), server.address());
            connection.write(&request);
            (connection.head().status, connection)
        })
        .collect();

    let held = server.resident_memory() - before;
    assert!(
        held > 100 * MEGABYTE,
        "only {} MB were held",
        held / MEGABYTE
    );
    drop(unread);
    // The allocator returns what is free after ten seconds.
    let mut ticker = Ticker::start(600);
    while server.resident_memory() > before + 25 * MEGABYTE {
        ticker.tick();
    }
}
