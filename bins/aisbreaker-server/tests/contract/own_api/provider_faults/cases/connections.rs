//! Connections that end too early or stall, and bytes that are no HTTP.

use super::{
    Case, FLOOD_BYTES, JSON,
    Outcome::{Broken, Error, Refusal},
    both, case,
};

/// The connection ends before the answer does.
pub(crate) const CUTS: [Case; 14] = [
    both("resets at once", |_, wire| wire.reset(), Error(502)),
    both(
        "resets in the head",
        |_, wire| {
            wire.write("HTTP/1.1 200 OK\r\nContent-Ty");
            wire.reset();
        },
        Error(502),
    ),
    case(
        "resets in the body",
        |request, wire| {
            request.head(wire, 9_999);
            wire.write(request.half());
            wire.reset();
        },
        Error(502),
        Broken(502),
    ),
    case(
        "resets in a chunk",
        |request, wire| {
            request.chunked_head(wire);
            wire.chunk(request.half());
            wire.write("ff\r\n{");
            wire.reset();
        },
        Error(502),
        Broken(502),
    ),
    both("closes at once", |_, wire| wire.close(), Error(502)),
    both(
        "closes in the status line",
        |_, wire| {
            wire.write("HTTP/1.1 2");
            wire.close();
        },
        Error(502),
    ),
    both(
        "closes in the head",
        |_, wire| {
            wire.write("HTTP/1.1 200 OK\r\nContent-Ty");
            wire.close();
        },
        Error(502),
    ),
    both(
        "closes after the head",
        |request, wire| {
            request.head(wire, 9_999);
            wire.close();
        },
        Error(502),
    ),
    case(
        "closes in the body",
        |request, wire| {
            request.head(wire, 9_999);
            wire.write(request.half());
            wire.close();
        },
        Error(502),
        Broken(502),
    ),
    case(
        "closes in a chunk",
        |request, wire| {
            request.chunked_head(wire);
            wire.chunk(request.half());
            wire.write("ff\r\n{");
            wire.close();
        },
        Error(502),
        Broken(502),
    ),
    case(
        "closes between chunks",
        |request, wire| {
            request.chunked_head(wire);
            wire.chunk(if request.is_stream {
                request.beginning()
            } else {
                request.half()
            });
            wire.close();
        },
        Error(502),
        Broken(502),
    ),
    case(
        "closes after the last piece, before the last chunk",
        |request, wire| {
            request.chunked_head(wire);
            wire.chunk(if request.is_stream {
                request.beginning()
            } else {
                request.whole()
            });
            wire.close();
        },
        Error(502),
        Broken(502),
    ),
    case(
        "closes a body of unknown length in the middle",
        |request, wire| {
            wire.head(200, &[request.content_type()]);
            wire.write(request.half());
            wire.close();
        },
        Error(502),
        Broken(502),
    ),
    case(
        "closes a body of unknown length between pieces",
        |request, wire| {
            wire.head(200, &[request.content_type()]);
            wire.write(request.beginning());
            wire.close();
        },
        Error(502),
        Broken(502),
    ),
];

/// Bytes that are no HTTP, and heads that are no answer.
pub(crate) const HEADS: [Case; 12] = [
    both(
        "speaks no HTTP",
        |_, wire| {
            wire.write("SSH-2.0-OpenSSH_9\r\n");
            wire.close();
        },
        Error(502),
    ),
    both(
        "speaks HTTP/2",
        |_, wire| {
            wire.write(b"\0\0\0\x04\0\0\0\0\0");
            wire.close();
        },
        Error(502),
    ),
    both(
        "a head without end",
        |_, wire| {
            wire.write("HTTP/1.1 200 OK\r\n");
            wire.flood(
                "X-Filler: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n".repeat(64),
                FLOOD_BYTES,
            );
        },
        Error(502),
    ),
    both(
        "a header line without end",
        |_, wire| {
            wire.write("HTTP/1.1 200 OK\r\nX-Filler: ");
            wire.flood([b'x'; 4096], FLOOD_BYTES);
        },
        Error(502),
    ),
    both(
        "two lengths",
        |request, wire| {
            wire.head(
                200,
                &[
                    request.content_type(),
                    ("Content-Length", "5"),
                    ("Content-Length", "7"),
                ],
            );
            wire.write(request.body());
            wire.close();
        },
        Error(502),
    ),
    both(
        "an invalid length",
        |request, wire| {
            wire.head(200, &[request.content_type(), ("Content-Length", "many")]);
            wire.write(request.body());
            wire.close();
        },
        Error(502),
    ),
    case(
        "an invalid chunk size",
        |request, wire| {
            request.chunked_head(wire);
            wire.chunk(request.half());
            wire.write("many\r\n");
            wire.close();
        },
        Error(502),
        Broken(502),
    ),
    both("204", |_, wire| wire.head(204, &[]), Error(502)),
    both("304", |_, wire| wire.head(304, &[]), Error(502)),
    both(
        "307",
        |_, wire| wire.respond(307, &[("Location", "http://127.0.0.1:1/")], ""),
        Error(502),
    ),
    both(
        "switches protocols",
        |_, wire| {
            wire.head(101, &[("Upgrade", "h2c"), ("Connection", "upgrade")]);
            wire.close();
        },
        Error(502),
    ),
    both(
        "status 600",
        |_, wire| wire.respond(600, &[JSON], "{}"),
        Error(502),
    ),
];

/// Cases that only a timeout ends. The provider waits until the server closes the connection.
pub(crate) const STALLS: [Case; 6] = [
    both(
        "stalls before the head",
        |_, wire| {
            wire.hold();
        },
        Error(504),
    ),
    both(
        "stalls in the head",
        |_, wire| {
            wire.write("HTTP/1.1 200 OK\r\nContent-Ty");
            wire.hold();
        },
        Error(504),
    ),
    both(
        "stalls after the head",
        |request, wire| {
            request.head(wire, 9_999);
            wire.hold();
        },
        Error(504),
    ),
    case(
        "stalls in the body",
        |request, wire| {
            request.head(wire, 9_999);
            wire.write(request.half());
            wire.hold();
        },
        Error(504),
        Broken(504),
    ),
    case(
        "stalls in a chunk",
        |request, wire| {
            request.chunked_head(wire);
            wire.chunk(request.half());
            wire.write("ff\r\n{");
            wire.hold();
        },
        Error(504),
        Broken(504),
    ),
    both(
        "stalls in the body of an error",
        |_, wire| {
            wire.head(500, &[JSON, ("Content-Length", "99")]);
            wire.write("{\"error\"");
            wire.hold();
        },
        Refusal(500, "", None),
    ),
];
