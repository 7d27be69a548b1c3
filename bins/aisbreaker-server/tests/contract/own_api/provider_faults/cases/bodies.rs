//! Valid HTTP with a body that is no answer, or too much of one, and errors of the provider itself.

use serde_json::{Value, json};

use super::{
    Case, CaseRequest, FLOOD_BYTES, JSON,
    Outcome::{Broken, Error, Overflow, Refusal, Whole},
    WHOLE, both, case,
};
use crate::support::{Wire, openai::SECRET};

/// More than the buffers on the way to a server that reads nothing can hold.
const BUFFERED: usize = 16 << 20;
/// The announced length of an endless body.
const TEN_GB: &str = "10000000000";
const SPACES: &[u8] = &[b' '; 0x10000];

/// Bodies that are no answer, in valid framing.
pub(crate) const BODIES: [Case; 20] = [
    both(
        "an empty body",
        |request, wire| request.respond(wire, ""),
        Error(502),
    ),
    both(
        "HTML",
        |_, wire| wire.respond(200, &[("Content-Type", "text/html")], "<p>hello</p>"),
        Error(502),
    ),
    both(
        "invalid JSON",
        |_, wire| wire.respond(200, &[JSON], "{\"choices\": nonsense}"),
        Error(502),
    ),
    case(
        "half the JSON",
        |request, wire| request.respond(wire, request.half()),
        Error(502),
        Broken(502),
    ),
    both(
        "a list",
        |_, wire| wire.respond(200, &[JSON], "[]"),
        Error(502),
    ),
    both(
        "another JSON",
        |_, wire| wire.respond(200, &[JSON], "{\"id\": 7}"),
        Error(502),
    ),
    both(
        "invalid UTF-8",
        |_, wire| wire.respond(200, &[JSON], b"{\"choices\": \"\xff\"}"),
        Error(502),
    ),
    case(
        "invalid UTF-8 in a stream",
        |request, wire| {
            request.respond(
                wire,
                [request.beginning().as_bytes(), b"data: \"\xff\"\n\n"].concat(),
            )
        },
        Error(502),
        Broken(502),
    ),
    case(
        "invalid JSON in a stream",
        |request, wire| request.respond(wire, request.beginning() + "data: nonsense\n\n"),
        Error(502),
        Broken(502),
    ),
    both(
        "status 200 with an error",
        |_, wire| wire.respond(200, &[JSON], r#"{"error": {"message": "no quota"}}"#),
        Refusal(502, "no quota", None),
    ),
    both(
        "status 200 with an error and its status",
        |request, wire| wire.respond(200, &[JSON], error(request, "slow down").to_string()),
        Refusal(429, "slow down", None),
    ),
    case(
        "an error in a stream",
        |request, wire| {
            let error = json!({"error": {"message": format!("no quota for {SECRET}")}});
            request.respond(wire, request.beginning() + &error_event(request, &error));
        },
        Error(502),
        Broken(502),
    ),
    case(
        "an error and its status in a stream",
        |request, wire| {
            request.respond(
                wire,
                request.beginning() + &error_event(request, &error(request, "slow down")),
            )
        },
        Error(502),
        Broken(429),
    ),
    both(
        "a length that is too long",
        |request, wire| {
            let body = request.half();
            request.head(wire, body.len() as u64 + 1);
            wire.write(body);
            wire.close();
        },
        Broken(502),
    ),
    both(
        "a length that is too short",
        |request, wire| {
            request.head(wire, request.half().len() as u64);
            wire.write(request.body());
            wire.wait_until_closed();
        },
        Broken(502),
    ),
    both(
        "a huge line",
        |request, wire| {
            request.chunked_head(wire);
            wire.chunk(request.beginning() + "data: ");
            for _ in 0..40 {
                wire.chunk([b'x'; 32 << 10]);
            }
            wire.end();
        },
        Broken(502),
    ),
    both(
        "a stream without an answer",
        |request, wire| {
            let events = if request.is_hop {
                "event: ping\ndata: {}\n\n"
            } else {
                "data: [DONE]\n\n"
            };
            wire.respond(200, &[("Content-Type", "text/event-stream")], events);
        },
        Error(502),
    ),
    both(
        "a stream of nothing",
        |_, wire| {
            wire.respond(
                200,
                &[("Content-Type", "text/event-stream")],
                ": nothing\n\n",
            )
        },
        Error(502),
    ),
    case(
        "the other kind of answer",
        |request, wire| {
            if request.is_stream {
                wire.respond(200, &[JSON], request.whole());
            } else {
                let events = request.piece(WHOLE) + &request.last();
                wire.respond(200, &[("Content-Type", "text/event-stream")], events);
            }
        },
        Error(502),
        Whole,
    ),
    both(
        "another encoding",
        |request, wire| {
            wire.respond(
                200,
                &[request.content_type(), ("Content-Encoding", "gzip")],
                b"\x1f\x8b\x08\0\0\0\0\0",
            )
        },
        Error(502),
    ),
];

/// An error with status 429 in a response with status 200.
fn error(request: &CaseRequest, message: &str) -> Value {
    json!({"error": {"message": message, (if request.is_hop { "statusCode" } else { "code" }): 429}})
}

fn error_event(request: &CaseRequest, error: &Value) -> String {
    format!(
        "{}data: {error}\n\n",
        if request.is_hop { "event: error\n" } else { "" }
    )
}

/// Errors of the provider itself.
pub(crate) const REFUSALS: [Case; 8] = [
    both(
        "401",
        |_, wire| refuse(wire, 401, "bad secret", &[]),
        Refusal(401, "bad secret", None),
    ),
    both(
        "429",
        |_, wire| refuse(wire, 429, "slow down", &[("Retry-After", "17")]),
        Refusal(429, "slow down", Some("17")),
    ),
    both(
        "500",
        |_, wire| refuse(wire, 500, "it broke", &[]),
        Refusal(500, "it broke", None),
    ),
    both(
        "503",
        |_, wire| refuse(wire, 503, "overloaded", &[("Retry-After", "3")]),
        Refusal(503, "overloaded", Some("3")),
    ),
    both(
        "503 in HTML",
        |_, wire| wire.respond(503, &[("Content-Type", "text/html")], "<p>hello</p>"),
        Refusal(503, "", None),
    ),
    both(
        "500 that is cut short",
        |_, wire| {
            wire.head(500, &[JSON, ("Content-Length", "99")]);
            wire.write("{\"error\": {\"mess");
            wire.close();
        },
        Refusal(500, "", None),
    ),
    both(
        "500 without end",
        |_, wire| {
            wire.head(500, &[JSON]);
            wire.flood([b'x'; 4096], FLOOD_BYTES);
        },
        Refusal(500, "", None),
    ),
    both(
        "429 without body",
        |_, wire| wire.respond(429, &[], ""),
        Refusal(429, "", None),
    ),
];

fn refuse(wire: &mut Wire, status: u16, message: &str, headers: &[(&str, &str)]) {
    let error = json!({"error": {"message": message, "statusCode": status}});
    wire.respond(status, &[&[JSON], headers].concat(), error.to_string());
}

/// An announced length over the limit, which is refused before the body is read.
pub(crate) const ANNOUNCED_FLOOD: Case = both(
    "10 GB as announced",
    |_, wire| {
        wire.head(200, &[JSON, ("Content-Length", TEN_GB)]);
        wire.flood(SPACES, BUFFERED);
    },
    Refusal(502, "longer than", None),
);

/// Endless bodies.
pub(crate) const FLOODS: [Case; 3] = [
    both(
        "10 GB in chunks",
        |_, wire| {
            wire.head(200, &[JSON, ("Transfer-Encoding", "chunked")]);
            wire.flood([b"10000\r\n", SPACES, b"\r\n"].concat(), FLOOD_BYTES);
        },
        Refusal(502, "longer than", None),
    ),
    both(
        "10 GB until it closes",
        |_, wire| {
            wire.head(200, &[JSON]);
            wire.flood(SPACES, FLOOD_BYTES);
        },
        Refusal(502, "longer than", None),
    ),
    case(
        "10 GB of events",
        |request, wire| {
            wire.head(200, &[request.content_type()]);
            wire.flood(request.piece(&"x".repeat(64 << 10)), FLOOD_BYTES);
        },
        Refusal(502, "longer than", None),
        Overflow,
    ),
];
