//! Answers that are whole, however unusual.

use std::time::Duration;

use super::{
    Case,
    Outcome::{Error, Whole},
    both, case,
};

/// Short enough for every timeout.
const MOMENT: Duration = Duration::from_millis(1);

/// Unusual, but whole.
pub(crate) const ODDITIES: [Case; 13] = [
    both(
        "as usual",
        |asked, wire| asked.answer(wire, asked.body()),
        Whole,
    ),
    both(
        "slowly",
        |asked, wire| {
            let (name, value) = asked.content_type();
            let body = asked.body();
            wire.pause(MOMENT);
            let head = format!(
                "HTTP/1.1 200 OK\r\n{name}: {value}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            wire.trickle(head + &body, MOMENT);
        },
        Whole,
    ),
    both(
        "in chunks of one byte",
        |asked, wire| {
            asked.head_of_chunks(wire);
            asked
                .body()
                .as_bytes()
                .iter()
                .for_each(|byte| wire.chunk([*byte]));
            wire.end();
        },
        Whole,
    ),
    both(
        "in chunks with trailers",
        |asked, wire| {
            asked.head_of_chunks(wire);
            wire.chunk(asked.body());
            wire.write("0\r\nX-Checksum: 1\r\nContent-Length: 7\r\n\r\n");
        },
        Whole,
    ),
    both(
        "until it closes",
        |asked, wire| {
            wire.head(200, &[asked.content_type()]);
            wire.write(asked.body());
            wire.cut();
        },
        Whole,
    ),
    both(
        "in HTTP/1.0",
        |asked, wire| {
            let (name, value) = asked.content_type();
            wire.write(format!(
                "HTTP/1.0 200 OK\r\n{name}: {value}\r\n\r\n{}",
                asked.body()
            ));
            wire.cut();
        },
        Whole,
    ),
    both(
        "in HTTP/1.0 with a length",
        |asked, wire| {
            let ((name, value), body) = (asked.content_type(), asked.body());
            let length = body.len();
            wire.write(format!(
                "HTTP/1.0 200 OK\r\n{name}: {value}\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
            wire.cut();
        },
        Whole,
    ),
    both(
        "after an interim answer",
        |asked, wire| {
            wire.head(103, &[("Link", "</x>")]);
            asked.answer(wire, asked.body());
        },
        Whole,
    ),
    both(
        "with more after its end",
        |asked, wire| {
            let ((name, value), body) = (asked.content_type(), asked.body());
            let head = format!(
                "HTTP/1.1 200 OK\r\n{name}: {value}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            // In one piece, so that it cannot be taken for the answer to the next request.
            wire.write(format!(
                "{head}{body}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{{}}"
            ));
            wire.wait_until_closed();
        },
        Whole,
    ),
    both(
        "without its last event",
        |asked, wire| asked.answer(wire, asked.body().replace(&asked.last(), "")),
        Whole,
    ),
    both(
        "without the blank line after the last event",
        |asked, wire| asked.answer(wire, asked.body().trim_end()),
        Whole,
    ),
    both(
        "with carriage returns",
        |asked, wire| asked.answer(wire, asked.body().replace('\n', "\r\n")),
        Whole,
    ),
    case(
        "with a byte order mark",
        |asked, wire| asked.answer(wire, format!("\u{feff}{}", asked.body())),
        // JSON has none (RFC 8259 section 8.1), event streams may begin with one (WHATWG HTML
        // section 9.2.6).
        Error(502),
        Whole,
    ),
];
