//! Whole answers, however unusual.

use std::time::Duration;

use super::{Case, Outcome::Whole, both};

/// Shorter than every timeout.
const MOMENT: Duration = Duration::from_millis(1);

/// Unusual, but whole.
pub(crate) const UNUSUAL: [Case; 13] = [
    both(
        "as usual",
        |request, wire| request.respond(wire, request.body()),
        Whole,
    ),
    both(
        "slowly",
        |request, wire| {
            let (name, value) = request.content_type();
            let body = request.body();
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
        |request, wire| {
            request.chunked_head(wire);
            for byte in request.body().as_bytes() {
                wire.chunk([*byte]);
            }
            wire.end();
        },
        Whole,
    ),
    both(
        "in chunks with trailers",
        |request, wire| {
            request.chunked_head(wire);
            wire.chunk(request.body());
            wire.write("0\r\nX-Checksum: 1\r\nContent-Length: 7\r\n\r\n");
        },
        Whole,
    ),
    both(
        "until it closes",
        |request, wire| {
            wire.head(200, &[request.content_type()]);
            wire.write(request.body());
            wire.close();
        },
        Whole,
    ),
    both(
        "in HTTP/1.0",
        |request, wire| {
            let (name, value) = request.content_type();
            wire.write(format!(
                "HTTP/1.0 200 OK\r\n{name}: {value}\r\n\r\n{}",
                request.body()
            ));
            wire.close();
        },
        Whole,
    ),
    both(
        "in HTTP/1.0 with a length",
        |request, wire| {
            let ((name, value), body) = (request.content_type(), request.body());
            let length = body.len();
            wire.write(format!(
                "HTTP/1.0 200 OK\r\n{name}: {value}\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
            wire.close();
        },
        Whole,
    ),
    both(
        "after an interim response",
        |request, wire| {
            wire.head(103, &[("Link", "</x>")]);
            request.respond(wire, request.body());
        },
        Whole,
    ),
    both(
        "with more after its end",
        |request, wire| {
            let ((name, value), body) = (request.content_type(), request.body());
            let head = format!(
                "HTTP/1.1 200 OK\r\n{name}: {value}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            // In one write, so that it cannot count as the response to the next request.
            wire.write(format!(
                "{head}{body}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{{}}"
            ));
            wire.wait_until_closed();
        },
        Whole,
    ),
    both(
        "without its last event",
        |request, wire| request.respond(wire, request.body().replace(&request.last(), "")),
        Whole,
    ),
    both(
        "without the blank line after the last event",
        |request, wire| request.respond(wire, request.body().trim_end()),
        Whole,
    ),
    both(
        "with carriage returns",
        |request, wire| request.respond(wire, request.body().replace('\n', "\r\n")),
        Whole,
    ),
    both(
        "with a byte order mark",
        |request, wire| request.respond(wire, format!("\u{feff}{}", request.body())),
        Whole,
    ),
];
