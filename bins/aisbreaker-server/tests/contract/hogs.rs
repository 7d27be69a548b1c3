//! Callers that take what others need: memory that they never use up, places that they never fill,
//! work that they never wait for. Each is told so or gives way, and everyone else is served.

use std::{io::Write as _, net::Ipv4Addr, sync::mpsc};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::support::{
    Connection, Metronome, Provider, Request, Server, assert_error, call, frames::*, quotas,
    service, service_at, streamed,
};

const MEGABYTE: usize = 1_000_000;
/// What the system receives ahead of a client that does not read.
const NARROW: u32 = 4 << 10;
/// Bounds under which a megabyte is much.
const TIGHT: [(&str, &str); 3] = [
    ("AISBREAKER_MAX_BUFFERED_BYTES", "20000000"),
    ("AISBREAKER_MAX_BODY_BYTES", "1200000"),
    ("AISBREAKER_MAX_ANSWER_BYTES", "1200000"),
];

fn dummy() -> Value {
    call(service("chat:dummy"), "Hi")
}

fn echo(bytes: usize) -> Value {
    call(service("chat:echo"), &"x".repeat(bytes))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Another client than all those at the usual address.
fn other(server: &Server) -> Connection {
    Connection::open_from(Ipv4Addr::new(127, 0, 0, 9), server.address())
}

#[test]
fn answers_that_nobody_takes_are_held_within_the_share_of_their_client() {
    let server = Server::start(&TIGHT);
    let before = server.peak_memory();
    // Of 3.7 MB each; eight megabytes are the share.
    let request = Request::process(&echo(MEGABYTE)).to_bytes();

    let untaken: Vec<(u16, Connection)> = (0..20)
        .map(|_| {
            let mut connection = Connection::open_narrow(server.address(), NARROW);
            connection.write(&request);
            (connection.head().status, connection)
        })
        .collect();

    let served = untaken.iter().filter(|(status, _)| *status == 200).count();
    assert!((1..=2).contains(&served), "{served} answers are held");
    assert!(
        untaken
            .iter()
            .all(|(status, _)| matches!(status, 200 | 503))
    );
    let grown = server.peak_memory() - before;
    assert!(grown < 60 * MEGABYTE, "it took {} MB", grown / MEGABYTE);
    assert_eq!(
        other(&server)
            .send(&Request::process(&echo(MEGABYTE)))
            .status,
        200,
        "another client"
    );
    drop(untaken);
    let mut metronome = Metronome::start(50);
    while server.process("", &echo(MEGABYTE)).status != 200 {
        metronome.wait();
    }
}

#[test]
fn streams_whose_end_is_large_and_that_nobody_takes_are_held_within_the_share() {
    let text = "x".repeat(MEGABYTE);
    let provider = Provider::with_answer(
        200,
        json!({"choices": [{"index": 0, "message": {"content": text}}]}),
    );
    let server = Server::with_egress(&TIGHT);
    let before = server.peak_memory();
    let body = streamed(call(service_at("chat:openai.com", &provider.url()), "Hi"));
    let request = Request::process(&body).bearer("sk-own").to_bytes();

    let mut untaken: Vec<Connection> = (0..20)
        .map(|_| {
            let mut connection = Connection::open_narrow(server.address(), NARROW);
            connection.write(&request);
            assert_eq!(connection.head().status, 200);
            connection
        })
        .collect();

    // Those for whom there is no room are told so; for the others there is.
    let is_refused = |connection: &mut Connection| {
        connection
            .event()
            .is_some_and(|event| event.name == "error")
    };
    let refused = untaken
        .iter_mut()
        .rev()
        .take(10)
        .filter_map(|c| is_refused(c).then_some(()))
        .count();
    assert!(refused > 0, "all of twenty are held");
    let grown = server.peak_memory() - before;
    assert!(grown < 80 * MEGABYTE, "it took {} MB", grown / MEGABYTE);
    assert_eq!(
        other(&server)
            .send(&Request::process(&echo(MEGABYTE)))
            .status,
        200,
        "another client"
    );
}

#[test]
fn work_of_clients_that_have_left_takes_neither_memory_nor_threads() {
    let server = Server::start(&[]);
    let bomb = gzip(
        &[
            br#"{"x":""#.as_slice(),
            &vec![b'x'; 30 * MEGABYTE],
            br#""}"#,
        ]
        .concat(),
    );
    let bomb = Request::process(&dummy())
        .header("Content-Encoding", "gzip")
        .body(bomb)
        .to_bytes();
    let before = (server.peak_memory(), server.threads());

    // Each leaves when its work has begun.
    let mut metronome = Metronome::start(10);
    let mut threads = before.1;
    for _ in 0..90 {
        let mut connection = server.connect();
        connection.write(&bomb);
        metronome.wait();
        drop(connection);
        threads = threads.max(server.threads());
    }

    assert_eq!(server.process("", &dummy()).status, 200);
    let grown = server.peak_memory() - before.0;
    assert!(grown < 250 * MEGABYTE, "it took {} MB", grown / MEGABYTE);
    assert!(
        threads <= before.1 + 8,
        "threads: {} at first, then {threads}",
        before.1
    );
}

#[test]
fn what_is_costly_to_read_is_charged_before_it_is_read() {
    let server = Server::start(&[(
        "AISBREAKER_DEFAULT_QUOTAS",
        &quotas([2; 3], [100; 3]).to_string(),
    )]);
    let coded = |path: &str| {
        Request::new("POST", path)
            .header("Content-Type", "application/json")
            .header("Content-Encoding", "gzip")
            .body("this is not gzip")
    };
    let long = Request::new("POST", "/api/v1/process").body(vec![b'x'; 100_000]);

    for request in [coded("/api/v1/process"), coded("/api/v1/oauth/token")] {
        let answer = server.send(&request);
        assert_error("not gzip", &answer, 400, "Content-Encoding");
        assert!(
            answer.header("ratelimit").is_some(),
            "it was charged: {answer:?}"
        );
    }

    for request in [coded("/api/v1/process"), coded("/api/v1/oauth/token"), long] {
        assert_error(
            "quotas are spent",
            &server.send(&request),
            429,
            "quota exceeded",
        );
    }
    let free = server.send(&Request::new("POST", "/api/v1/process").body("no JSON"));
    assert_error("what is cheap to read is read", &free, 400, "JSON");
}

#[test]
fn requests_that_are_never_sent_whole_leave_room_for_others() {
    let server = Server::start(&[("AISBREAKER_MAX_REQUESTS", "50")]);
    let beginning =
        b"POST /api/v1/process HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{";
    let mut waiting: Vec<Connection> = (0..60).map(|_| server.connect()).collect();
    for connection in &mut waiting {
        connection.write(beginning);
    }

    // Not at once, but after two seconds, and long before the time for a body is over.
    let mut metronome = Metronome::start(100);
    let mut refused = 0;
    while other(&server).send(&Request::process(&dummy())).status != 200 {
        refused += 1;
        assert!(refused < 100, "nobody else is served");
        metronome.wait();
    }
}

#[test]
fn a_client_that_sends_does_not_give_way() {
    let server = Server::start(&[("AISBREAKER_MAX_CONNECTIONS", "3")]);
    let mut body = dummy();
    body["padding"] = json!("x".repeat(40 * (64 << 10)));
    let request = Request::process(&body).to_bytes();
    let mut upload = server.connect();
    let mut metronome = Metronome::start(100);

    // Four seconds long, in the last of which two others do nothing, and one comes.
    let mut pieces = request.chunks(64 << 10);
    (0..28).for_each(|_| {
        metronome.wait();
        upload.write(pieces.next().expect("a piece"));
    });
    let idle = [server.connect(), server.connect()];
    let mut newcomer = None;
    for piece in pieces {
        metronome.wait();
        upload.write(piece);
        if newcomer.is_none() {
            let mut connection = server.connect();
            newcomer = (connection.send(&Request::get("/api/v1/ping")).status == 200)
                .then_some(connection);
        }
    }

    assert!(newcomer.is_some(), "nobody has given way");
    assert_eq!(upload.answer_to("POST").status, 200, "the upload goes on");
    drop(idle);
}

/// While it takes all others: the connection moves, the stream does not.
#[test]
fn a_stream_of_http_2_that_is_never_taken_ends_its_connection() {
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "200ms")]);
    let mut frames = Frames::open(&server, 100);
    // Less than the window that a server has before it says more.
    let body = echo(20_000).to_string();
    let head = [
        request_to("POST", "/api/v1/process"),
        fields([("content-type", "application/json")]),
    ]
    .concat();
    frames.write(&frame(Kind::HEADERS, END_HEADERS, 1, &head));
    for piece in body.as_bytes().chunks(16_000) {
        frames.write(&frame(Kind::DATA, 0, 1, piece));
    }
    frames.write(&frame(Kind::DATA, END_STREAM, 1, &[]));

    let mut writer = frames.writer();
    let (ended, end) = mpsc::channel();
    let asking = std::thread::spawn(move || {
        let mut metronome = Metronome::start(100);
        for stream in streams(90).skip(1) {
            metronome.wait();
            let is_over =
                end.try_recv().is_ok() || writer.write_all(&get(stream, "/api/v1/ping")).is_err();
            if is_over {
                return true;
            }
        }
        false
    });

    // Other streams are answered until then, and so is the server that asks whether the client is
    // there.
    let mut answered = 0;
    while let Some(received) = frames.next() {
        answered += usize::from(received.is_ok());
        if received.kind == Kind::PING {
            frames.write(&frame(Kind::PING, ACK, 0, &received.payload));
        }
    }
    let _told = ended.send(());
    assert!(answered > 10, "{answered} answers");
    assert!(asking.join().unwrap(), "the connection is never ended");
}

/// They may be those of other clients, behind one proxy.
#[test]
fn other_streams_of_that_connection_come_to_their_end() {
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "200ms")]);
    let mut frames = Frames::open(&server, 100);
    let head = [
        request_to("POST", "/api/v1/process"),
        fields([("content-type", "application/json")]),
    ]
    .concat();
    // Three seconds long, where a stream that is not taken has two.
    let slow = json!({"serviceId": "chat:dummy", "delayMillis": 100});
    let lasting = streamed(call(slow, &"word ".repeat(12)));
    for (stream, body) in [(1, echo(10_000)), (3, lasting)] {
        frames.write(&frame(Kind::HEADERS, END_HEADERS, stream, &head));
        frames.write(&frame(
            Kind::DATA,
            END_STREAM,
            stream,
            body.to_string().as_bytes(),
        ));
    }
    let room = 1_000_000_u32.to_be_bytes();
    frames.write(&frame(Kind::WINDOW_UPDATE, 0, 3, &room));
    frames.write(&frame(Kind::WINDOW_UPDATE, 0, 0, &room));

    let (mut is_told, mut taken) = (false, Vec::new());
    while let Some(received) = frames.next() {
        match received.kind {
            Kind::PING => frames.write(&frame(Kind::PING, ACK, 0, &received.payload)),
            Kind::GOAWAY => is_told = true,
            Kind::DATA if received.stream == 3 => taken.extend(received.payload),
            _ => {}
        }
    }

    let taken = String::from_utf8(taken).unwrap();
    assert!(is_told, "the connection ended without a word");
    assert!(taken.contains("event: final\n"), "{taken}");
}
