//! Floods of HTTP/2 frames.

use std::{net::TcpStream, thread};

use super::{MIB, assert_grown_less, with_others_served, write_until_closed};
use crate::support::{
    Connection, Server, call,
    frames::{
        END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frame, Frames, Kind, PREFACE, REFUSED_STREAM,
        fields, frame, get, request_to, streams, string,
    },
    service,
};

/// The window that clients have who say nothing.
const WINDOW: u32 = 65_535;
/// How many streams one connection may have open.
const MOST_STREAMS: u32 = 200;

/// The frames of a request on a stream.
type Begun<'a> = Box<dyn Fn(u32) -> Vec<u8> + 'a>;

#[test]
fn streams_that_are_opened_and_reset_at_once_cost_little() {
    const STREAMS: u32 = 30_000;
    let server = Server::start(&[("AISBREAKER_LOG_MAX_PER_SECOND", "10")]);
    let before = server.peak_memory();
    let cancel = 8_u32.to_be_bytes();
    let body = call(service("chat:dummy"), "Hi").to_string();
    let post = [
        request_to("POST", "/api/v1/process"),
        fields([("content-type", "application/json")]),
    ]
    .concat();
    let rows: [(&str, Begun<'_>); 2] = [
        ("a greeting", Box::new(|stream| get(stream, "/api/v1/ping"))),
        (
            "a call",
            Box::new(|stream| {
                let head = frame(Kind::HEADERS, END_HEADERS, stream, &post);
                [head, frame(Kind::DATA, END_STREAM, stream, body.as_bytes())].concat()
            }),
        ),
    ];

    for (row, request) in rows {
        with_others_served(row, &server, || {
            let mut client = Frames::open(&server, WINDOW);
            let writer = client.writer();
            let flood = streams(STREAMS).flat_map(|stream| {
                [request(stream), frame(Kind::RST_STREAM, 0, stream, &cancel)].concat()
            });
            let ping = frame(Kind::PING, 0, 0, b"the last");
            let flood: Vec<u8> = flood.chain(ping).collect();
            thread::scope(|scope| {
                scope.spawn(move || write_once(&writer, &flood));
                // Either the server has had enough, or it has seen all of them.
                let enough =
                    |frame: &Frame| frame.kind == Kind::GOAWAY || frame.payload == b"the last";
                let end = std::iter::from_fn(|| client.next())
                    .find(enough)
                    .expect("a word of the server");
                if end.kind == Kind::GOAWAY {
                    assert_eq!(end.code(), ENHANCE_YOUR_CALM, "{row}: {end:?}");
                }
            });
        });
        assert_grown_less(row, &server, before, 16 * MIB);
    }
    let lines = server.log().lines().count();
    assert!(lines < 1_000, "{lines} lines in the log");
}

/// Writes it all unless the server closes the connection before.
fn write_once(stream: &TcpStream, bytes: &[u8]) {
    for piece in bytes.chunks(10_000) {
        let is_taken = std::cell::Cell::new(false);
        write_until_closed(stream, piece, || is_taken.replace(true));
    }
}

#[test]
fn a_header_list_that_is_too_large_is_refused_and_not_kept() {
    let server = Server::start(&[]);
    let before = server.peak_memory();
    let start = request_to("GET", "/api/v1/ping");
    let large = "x".repeat(16_000);
    let field = fields([("x-large", &*large)]);
    let more = |stream| frame(Kind::CONTINUATION, 0, stream, &field);
    let last = |stream| frame(Kind::CONTINUATION, END_HEADERS, stream, &field);
    let beginning = |stream| frame(Kind::HEADERS, END_STREAM, stream, &start);
    // One field of 4,000 bytes that is kept, and thousands of references of a byte to it.
    let kept = [&[0x40][..], &string("x"), &string(&large[..3_900])].concat();
    let bomb = [&start[..], &kept, &[0x80 | 62; 12_000]].concat();
    let rows = [
        (
            "by the API",
            [beginning(1), more(1), more(1), last(1)].concat(),
        ),
        (
            "by the connection",
            [
                beginning(1),
                (0..6).flat_map(|_| more(1)).collect(),
                last(1),
            ]
            .concat(),
        ),
        (
            "small on the wire",
            frame(Kind::HEADERS, END_HEADERS | END_STREAM, 1, &bomb),
        ),
    ];

    for (row, list) in rows {
        with_others_served(row, &server, || {
            let mut client = Frames::open(&server, WINDOW);
            client.write(&list);
            client.write(&get(3, "/api/v1/ping"));
            let answer = std::iter::from_fn(|| client.next()).find(|frame| {
                frame.stream == 1 && frame.kind != Kind::DATA || frame.kind == Kind::GOAWAY
            });
            let answer = answer.expect("a word of the server");
            assert!(!answer.is_ok(), "{row}: {answer:?}");
        });
        assert_grown_less(row, &server, before, 16 * MIB);
    }
}

#[test]
fn a_header_list_without_end_ends_the_connection() {
    let server = Server::start(&[]);
    let before = server.peak_memory();
    let field = fields([("x-more", &*"x".repeat(16_000))]);
    let rows = [
        ("of large pieces", &field[..]),
        ("of small pieces", &[0x90]),
        ("of nothing", &[]),
    ];

    for (row, piece) in rows {
        with_others_served(row, &server, || {
            let mut client = Frames::open(&server, WINDOW);
            let writer = client.writer();
            thread::scope(|scope| {
                scope.spawn(move || {
                    let beginning = frame(
                        Kind::HEADERS,
                        END_STREAM,
                        1,
                        &request_to("GET", "/api/v1/ping"),
                    );
                    write_once(&writer, &beginning);
                    let pieces = frame(Kind::CONTINUATION, 0, 1, piece).repeat(10);
                    write_until_closed(&writer, &pieces, || false);
                });
                let code = client.end();
                // What it says can be lost if more comes when it has closed already.
                assert!(
                    matches!(code, None | Some(ENHANCE_YOUR_CALM)),
                    "{row}: {code:?}"
                );
            });
        });
        assert_grown_less(row, &server, before, 16 * MIB);
    }
}

#[test]
fn streams_beyond_the_allowed_ones_are_refused_and_the_others_are_served() {
    let server = Server::start(&[]);
    let body = call(service("chat:dummy"), "Hi").to_string();
    let post = [
        request_to("POST", "/api/v1/process"),
        fields([("content-type", "application/json")]),
    ]
    .concat();
    let mut client = Frames::open(&server, WINDOW);
    for stream in streams(MOST_STREAMS) {
        client.write(&frame(Kind::HEADERS, END_HEADERS, stream, &post));
    }

    for stream in streams(MOST_STREAMS + 50).skip(MOST_STREAMS as usize) {
        client.write(&get(stream, "/api/v1/ping"));
        let refused = client.next_of(Kind::RST_STREAM).expect("a refusal");
        assert_eq!(
            (refused.stream, refused.code()),
            (stream, REFUSED_STREAM),
            "{refused:?}"
        );
    }
    for stream in streams(MOST_STREAMS) {
        client.write(&frame(Kind::DATA, END_STREAM, stream, body.as_bytes()));
        let answer = client.next_of(Kind::HEADERS).expect("an answer");
        assert!(answer.stream == stream && answer.is_ok(), "{answer:?}");
    }

    // There is room again.
    client.write(&get(2 * MOST_STREAMS + 999, "/api/v1/ping"));
    assert!(client.next_of(Kind::HEADERS).expect("an answer").is_ok());
}

/// Frames that a client may send at any time, and that ask for nothing or little.
#[test]
fn floods_of_small_frames_do_not_keep_a_connection_open() {
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "200ms")]);
    let before = server.peak_memory();
    let post = frame(
        Kind::HEADERS,
        END_HEADERS,
        1,
        &request_to("POST", "/api/v1/process"),
    );
    let one = 1_u32.to_be_bytes();
    let setting = [&3_u16.to_be_bytes()[..], &100_u32.to_be_bytes()].concat();
    let rows = [
        ("settings", vec![], frame(Kind::SETTINGS, 0, 0, &setting)),
        ("pings", vec![], frame(Kind::PING, 0, 0, b"8 bytes.")),
        (
            "priorities",
            vec![],
            frame(Kind::PRIORITY, 0, 5, &[0, 0, 0, 0, 1]),
        ),
        (
            "frames of an unknown kind",
            vec![],
            frame(Kind(0xfa), 0, 0, b"whatever"),
        ),
        ("windows", vec![], frame(Kind::WINDOW_UPDATE, 0, 0, &one)),
        (
            "resets of a stream that is not there",
            vec![],
            frame(Kind::RST_STREAM, 0, 1, &one),
        ),
        ("data of nothing", post, frame(Kind::DATA, 0, 1, &[])),
    ];

    for (row, beginning, piece) in rows {
        for reads in [true, false] {
            let row = format!("{row} (reads: {reads})");
            with_others_served(&row, &server, || {
                let mut client = Frames::open(&server, WINDOW);
                client.write(&beginning);
                let writer = client.writer();
                thread::scope(|scope| {
                    scope.spawn(|| write_until_closed(&writer, &piece.repeat(1_000), || false));
                    if reads {
                        client.end();
                    }
                });
            });
            assert_grown_less(&row, &server, before, 16 * MIB);
        }
    }
}

#[test]
fn a_connection_that_does_not_get_as_far_as_a_request_is_closed() {
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "200ms")]);
    let settings = frame(Kind::SETTINGS, 0, 0, &[]);
    let request = frame(
        Kind::HEADERS,
        END_STREAM,
        1,
        &request_to("GET", "/api/v1/ping"),
    );
    let rows = [
        ("half a preface", PREFACE[..9].to_vec()),
        ("a preface", PREFACE.to_vec()),
        ("settings", [PREFACE, &settings].concat()),
        (
            "half a frame",
            [PREFACE, &settings, &request[..20]].concat(),
        ),
        (
            "half a header list",
            [PREFACE, &settings, &request].concat(),
        ),
    ];
    for (row, beginning) in rows {
        let mut connection = Connection::open(server.address());
        connection.write(&beginning);
        let rest = connection.rest();
        assert!(rest.len() < 1_000, "{row}: {rest:?}");
    }
    assert_eq!(server.get("/api/v1/ping").status, 200);
}
