//! Connections that end too early or too late, and what is no HTTP.

use super::{
    Case, JSON,
    Outcome::{Broken, Error, Refusal},
    TAKEN, both, case,
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
        |asked, wire| {
            asked.head(wire, 9_999);
            wire.write(asked.half());
            wire.reset();
        },
        Error(502),
        Broken(502),
    ),
    case(
        "resets in a chunk",
        |asked, wire| {
            asked.head_of_chunks(wire);
            wire.chunk(asked.half());
            wire.write("ff\r\n{");
            wire.reset();
        },
        Error(502),
        Broken(502),
    ),
    both("closes at once", |_, wire| wire.cut(), Error(502)),
    both(
        "closes in the status line",
        |_, wire| {
            wire.write("HTTP/1.1 2");
            wire.cut();
        },
        Error(502),
    ),
    both(
        "closes in the head",
        |_, wire| {
            wire.write("HTTP/1.1 200 OK\r\nContent-Ty");
            wire.cut();
        },
        Error(502),
    ),
    both(
        "closes after the head",
        |asked, wire| {
            asked.head(wire, 9_999);
            wire.cut();
        },
        Error(502),
    ),
    case(
        "closes in the body",
        |asked, wire| {
            asked.head(wire, 9_999);
            wire.write(asked.half());
            wire.cut();
        },
        Error(502),
        Broken(502),
    ),
    case(
        "closes in a chunk",
        |asked, wire| {
            asked.head_of_chunks(wire);
            wire.chunk(asked.half());
            wire.write("ff\r\n{");
            wire.cut();
        },
        Error(502),
        Broken(502),
    ),
    case(
        "closes between chunks",
        |asked, wire| {
            asked.head_of_chunks(wire);
            wire.chunk(if asked.is_stream {
                asked.beginning()
            } else {
                asked.half()
            });
            wire.cut();
        },
        Error(502),
        Broken(502),
    ),
    case(
        "closes after the last piece, before the last chunk",
        |asked, wire| {
            asked.head_of_chunks(wire);
            wire.chunk(if asked.is_stream {
                asked.beginning()
            } else {
                asked.whole()
            });
            wire.cut();
        },
        Error(502),
        Broken(502),
    ),
    case(
        "closes a body of no told length in the middle",
        |asked, wire| {
            wire.head(200, &[asked.content_type()]);
            wire.write(asked.half());
            wire.cut();
        },
        Error(502),
        Broken(502),
    ),
    case(
        "closes a body of no told length between pieces",
        |asked, wire| {
            wire.head(200, &[asked.content_type()]);
            wire.write(asked.beginning());
            wire.cut();
        },
        Error(502),
        Broken(502),
    ),
];

/// What is not HTTP, or not an answer.
pub(crate) const HEADS: [Case; 12] = [
    both(
        "speaks no HTTP",
        |_, wire| {
            wire.write("SSH-2.0-OpenSSH_9\r\n");
            wire.cut();
        },
        Error(502),
    ),
    both(
        "speaks HTTP/2",
        |_, wire| {
            wire.write(b"\0\0\0\x04\0\0\0\0\0");
            wire.cut();
        },
        Error(502),
    ),
    both(
        "a head without end",
        |_, wire| {
            wire.write("HTTP/1.1 200 OK\r\n");
            wire.flood(
                "X-Filler: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n".repeat(64),
                TAKEN,
            );
        },
        Error(502),
    ),
    both(
        "a header line without end",
        |_, wire| {
            wire.write("HTTP/1.1 200 OK\r\nX-Filler: ");
            wire.flood([b'x'; 4096], TAKEN);
        },
        Error(502),
    ),
    both(
        "two lengths",
        |asked, wire| {
            wire.head(
                200,
                &[
                    asked.content_type(),
                    ("Content-Length", "5"),
                    ("Content-Length", "7"),
                ],
            );
            wire.write(asked.body());
            wire.cut();
        },
        Error(502),
    ),
    both(
        "a length that is none",
        |asked, wire| {
            wire.head(200, &[asked.content_type(), ("Content-Length", "many")]);
            wire.write(asked.body());
            wire.cut();
        },
        Error(502),
    ),
    case(
        "a chunk size that is none",
        |asked, wire| {
            asked.head_of_chunks(wire);
            wire.chunk(asked.half());
            wire.write("many\r\n");
            wire.cut();
        },
        Error(502),
        Broken(502),
    ),
    both("204", |_, wire| wire.head(204, &[]), Error(502)),
    both("304", |_, wire| wire.head(304, &[]), Error(502)),
    both(
        "307",
        |_, wire| wire.answer(307, &[("Location", "http://127.0.0.1:1/")], ""),
        Error(502),
    ),
    both(
        "switches protocols",
        |_, wire| {
            wire.head(101, &[("Upgrade", "h2c"), ("Connection", "upgrade")]);
            wire.cut();
        },
        Error(502),
    ),
    both(
        "status 600",
        |_, wire| wire.answer(600, &[JSON], "{}"),
        Error(502),
    ),
];

/// Those that only a timeout ends; the provider waits for that.
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
        |asked, wire| {
            asked.head(wire, 9_999);
            wire.hold();
        },
        Error(504),
    ),
    case(
        "stalls in the body",
        |asked, wire| {
            asked.head(wire, 9_999);
            wire.write(asked.half());
            wire.hold();
        },
        Error(504),
        Broken(504),
    ),
    case(
        "stalls in a chunk",
        |asked, wire| {
            asked.head_of_chunks(wire);
            wire.chunk(asked.half());
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
