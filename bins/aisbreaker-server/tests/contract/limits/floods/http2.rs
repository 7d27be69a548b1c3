//! Floods of HTTP/2 frames.

use std::{net::TcpStream, thread};

use super::{MIB, assert_growth_below, with_others_served, write_until_closed};
use crate::support::{
    Connection, Server, dummy_call,
    http2_frames::{
        END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frame, FrameConnection, FrameType, PREFACE,
        REFUSED_STREAM, fields, frame, get, process_request, request_to, streams, string,
    },
};

/// The initial window of the protocol.
const WINDOW: u32 = 65_535;
/// The server's limit on concurrent streams of a connection.
const MOST_STREAMS: u32 = 200;

/// Serializes the frames of a request on a stream.
type RequestFrames<'a> = Box<dyn Fn(u32) -> Vec<u8> + 'a>;

/// Writes all bytes, unless the server closes the connection before.
fn write_once(stream: &TcpStream, bytes: &[u8]) {
    for piece in bytes.chunks(10_000) {
        let was_written = std::cell::Cell::new(false);
        write_until_closed(stream, piece, || was_written.replace(true));
    }
}

#[test]
fn rapid_reset_uses_little_memory() {
    const STREAMS: u32 = 30_000;
    let server = Server::start(&[("AISBREAKER_LOG_MAX_PER_SECOND", "10")]);
    let before = server.peak_memory();
    let cancel = 8_u32.to_be_bytes();
    let body = dummy_call().to_string();
    let head = process_request();
    let rows: [(&str, RequestFrames<'_>); 2] = [
        ("a ping", Box::new(|stream| get(stream, "/api/v1/ping"))),
        (
            "a call",
            Box::new(|stream| {
                let headers = frame(FrameType::HEADERS, END_HEADERS, stream, &head);
                [
                    headers,
                    frame(FrameType::DATA, END_STREAM, stream, body.as_bytes()),
                ]
                .concat()
            }),
        ),
    ];

    for (row, request) in rows {
        with_others_served(row, &server, || {
            let mut client = FrameConnection::open(&server, WINDOW);
            let writer = client.writer();
            let flood = streams(STREAMS).flat_map(|stream| {
                [
                    request(stream),
                    frame(FrameType::RST_STREAM, 0, stream, &cancel),
                ]
                .concat()
            });
            let ping = frame(FrameType::PING, 0, 0, b"the last");
            let flood: Vec<u8> = flood.chain(ping).collect();
            thread::scope(|scope| {
                scope.spawn(move || write_once(&writer, &flood));
                // The server either closes the connection or acknowledges the last frame.
                let is_end = |frame: &Frame| {
                    frame.frame_type == FrameType::GOAWAY || frame.payload == b"the last"
                };
                let end = std::iter::from_fn(|| client.next())
                    .find(is_end)
                    .expect("a frame of the server");
                if end.frame_type == FrameType::GOAWAY {
                    assert_eq!(end.code(), ENHANCE_YOUR_CALM, "{row}: {end:?}");
                }
            });
        });
        assert_growth_below(row, &server, before, 16 * MIB);
    }
    let lines = server.log().lines().count();
    assert!(lines < 1_000, "{lines} lines in the log");
}

#[test]
fn oversized_header_lists_are_refused_in_bounded_memory() {
    let server = Server::start(&[]);
    let before = server.peak_memory();
    let pseudo_fields = request_to("GET", "/api/v1/ping");
    let large = "x".repeat(16_000);
    let field = fields([("x-large", &*large)]);
    let more = |stream| frame(FrameType::CONTINUATION, 0, stream, &field);
    let last = |stream| frame(FrameType::CONTINUATION, END_HEADERS, stream, &field);
    let first = |stream| frame(FrameType::HEADERS, END_STREAM, stream, &pseudo_fields);
    // One field of 4,000 bytes in the dynamic table, and thousands of one-byte references to it.
    let indexed = [&[0x40][..], &string("x"), &string(&large[..3_900])].concat();
    let bomb = [&pseudo_fields[..], &indexed, &[0x80 | 62; 12_000]].concat();
    let rows = [
        (
            "over the limit of the API",
            [first(1), more(1), more(1), last(1)].concat(),
        ),
        (
            "over the limit of the connection",
            [first(1), (0..6).flat_map(|_| more(1)).collect(), last(1)].concat(),
        ),
        (
            "small on the wire",
            frame(FrameType::HEADERS, END_HEADERS | END_STREAM, 1, &bomb),
        ),
    ];

    for (row, list) in rows {
        with_others_served(row, &server, || {
            let mut client = FrameConnection::open(&server, WINDOW);
            client.write(&list);
            client.write(&get(3, "/api/v1/ping"));
            let response = std::iter::from_fn(|| client.next())
                .find(|frame| {
                    frame.stream == 1 && frame.frame_type != FrameType::DATA
                        || frame.frame_type == FrameType::GOAWAY
                })
                .expect("a frame of the server");
            assert!(!response.is_ok(), "{row}: {response:?}");
        });
        assert_growth_below(row, &server, before, 16 * MIB);
    }
}

#[test]
fn endless_header_list_closes_the_connection() {
    let server = Server::start(&[]);
    let before = server.peak_memory();
    let field = fields([("x-more", &*"x".repeat(16_000))]);
    let rows = [
        ("large fragments", &field[..]),
        ("small fragments", &[0x90]),
        ("empty fragments", &[]),
    ];

    for (row, piece) in rows {
        with_others_served(row, &server, || {
            let mut client = FrameConnection::open(&server, WINDOW);
            let writer = client.writer();
            thread::scope(|scope| {
                scope.spawn(move || {
                    let first = frame(
                        FrameType::HEADERS,
                        END_STREAM,
                        1,
                        &request_to("GET", "/api/v1/ping"),
                    );
                    write_once(&writer, &first);
                    let pieces = frame(FrameType::CONTINUATION, 0, 1, piece).repeat(10);
                    write_until_closed(&writer, &pieces, || false);
                });
                let code = client.end();
                // The code can be lost if data arrives after the server has closed the connection.
                assert!(
                    matches!(code, None | Some(ENHANCE_YOUR_CALM)),
                    "{row}: {code:?}"
                );
            });
        });
        assert_growth_below(row, &server, before, 16 * MIB);
    }
}

#[test]
fn streams_over_the_limit_are_refused_and_others_served() {
    let server = Server::start(&[]);
    let body = dummy_call().to_string();
    let head = process_request();
    let mut client = FrameConnection::open(&server, WINDOW);
    for stream in streams(MOST_STREAMS) {
        client.write(&frame(FrameType::HEADERS, END_HEADERS, stream, &head));
    }

    for stream in streams(MOST_STREAMS + 50).skip(MOST_STREAMS as usize) {
        client.write(&get(stream, "/api/v1/ping"));
        let refused = client.next_of(FrameType::RST_STREAM).expect("a refusal");
        assert_eq!(
            (refused.stream, refused.code()),
            (stream, REFUSED_STREAM),
            "{refused:?}"
        );
    }
    for stream in streams(MOST_STREAMS) {
        client.write(&frame(FrameType::DATA, END_STREAM, stream, body.as_bytes()));
        let response = client.next_of(FrameType::HEADERS).expect("an answer");
        assert!(
            response.stream == stream && response.is_ok(),
            "{response:?}"
        );
    }

    // The streams have ended, so there is room for another.
    client.write(&get(2 * MOST_STREAMS + 999, "/api/v1/ping"));
    assert!(
        client
            .next_of(FrameType::HEADERS)
            .expect("an answer")
            .is_ok()
    );
}

/// Frames that a client may send at any time, and that cause little or no work.
#[test]
fn small_frame_floods_do_not_keep_a_connection_open() {
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "200ms")]);
    let before = server.peak_memory();
    let post = frame(
        FrameType::HEADERS,
        END_HEADERS,
        1,
        &request_to("POST", "/api/v1/process"),
    );
    let one = 1_u32.to_be_bytes();
    let setting = [&3_u16.to_be_bytes()[..], &100_u32.to_be_bytes()].concat();
    let rows = [
        (
            "settings",
            vec![],
            frame(FrameType::SETTINGS, 0, 0, &setting),
        ),
        ("pings", vec![], frame(FrameType::PING, 0, 0, b"8 bytes.")),
        (
            "priorities",
            vec![],
            frame(FrameType::PRIORITY, 0, 5, &[0, 0, 0, 0, 1]),
        ),
        (
            "frames of an unknown type",
            vec![],
            frame(FrameType(0xfa), 0, 0, b"whatever"),
        ),
        (
            "window updates",
            vec![],
            frame(FrameType::WINDOW_UPDATE, 0, 0, &one),
        ),
        (
            "resets of an unknown stream",
            vec![],
            frame(FrameType::RST_STREAM, 0, 1, &one),
        ),
        ("empty data", post, frame(FrameType::DATA, 0, 1, &[])),
    ];

    for (row, first, piece) in rows {
        for reads in [true, false] {
            let row = format!("{row} (reads: {reads})");
            with_others_served(&row, &server, || {
                let mut client = FrameConnection::open(&server, WINDOW);
                client.write(&first);
                let writer = client.writer();
                thread::scope(|scope| {
                    scope.spawn(|| write_until_closed(&writer, &piece.repeat(1_000), || false));
                    if reads {
                        client.end();
                    }
                });
            });
            assert_growth_below(&row, &server, before, 16 * MIB);
        }
    }
}

#[test]
fn connection_without_a_complete_request_is_closed() {
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "200ms")]);
    let settings = frame(FrameType::SETTINGS, 0, 0, &[]);
    let request = frame(
        FrameType::HEADERS,
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
    for (row, fragment) in rows {
        let mut connection = Connection::open(server.address());
        connection.write(&fragment);
        let rest = connection.read_to_end();
        assert!(rest.len() < 1_000, "{row}: {rest:?}");
    }
    assert_eq!(server.get("/api/v1/ping").status, 200);
}
