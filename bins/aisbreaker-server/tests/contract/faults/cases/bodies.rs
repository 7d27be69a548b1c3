//! Proper HTTP with a body that is no answer, or too much of one, and what the provider says
//! itself.

use serde_json::{Value, json};

use super::{
    Asked, Case, JSON,
    Outcome::{Broken, Error, Overflow, Refusal, Whole},
    TAKEN, WHOLE, both, case,
};
use crate::{openai::SECRET, support::Wire};

/// More than what the buffers on the way to a server that takes nothing can hold.
const BUFFERED: usize = 16 << 20;
/// So much is announced of a body without end.
const TEN_GB: &str = "10000000000";
const SPACES: &[u8] = &[b' '; 0x10000];

/// Bodies that are no answer, in a proper frame.
pub(crate) const BODIES: [Case; 20] = [
    both("nothing", |asked, wire| asked.answer(wire, ""), Error(502)),
    both(
        "HTML",
        |_, wire| wire.answer(200, &[("Content-Type", "text/html")], "<p>hello</p>"),
        Error(502),
    ),
    both(
        "invalid JSON",
        |_, wire| wire.answer(200, &[JSON], "{\"choices\": nonsense}"),
        Error(502),
    ),
    case(
        "half the JSON",
        |asked, wire| asked.answer(wire, asked.half()),
        Error(502),
        Broken(502),
    ),
    both(
        "a list",
        |_, wire| wire.answer(200, &[JSON], "[]"),
        Error(502),
    ),
    both(
        "another JSON",
        |_, wire| wire.answer(200, &[JSON], "{\"id\": 7}"),
        Error(502),
    ),
    both(
        "invalid UTF-8",
        |_, wire| wire.answer(200, &[JSON], b"{\"choices\": \"\xff\"}"),
        Error(502),
    ),
    case(
        "invalid UTF-8 in a stream",
        |asked, wire| {
            asked.answer(
                wire,
                [asked.beginning().as_bytes(), b"data: \"\xff\"\n\n"].concat(),
            )
        },
        Error(502),
        Broken(502),
    ),
    case(
        "invalid JSON in a stream",
        |asked, wire| asked.answer(wire, asked.beginning() + "data: nonsense\n\n"),
        Error(502),
        Broken(502),
    ),
    both(
        "status 200 with an error",
        |_, wire| wire.answer(200, &[JSON], r#"{"error": {"message": "no quota"}}"#),
        Refusal(502, "no quota", None),
    ),
    both(
        "status 200 with an error and its status",
        |asked, wire| wire.answer(200, &[JSON], error(asked, "slow down").to_string()),
        Refusal(429, "slow down", None),
    ),
    case(
        "an error in a stream",
        |asked, wire| {
            let error = json!({"error": {"message": format!("no quota for {SECRET}")}});
            asked.answer(wire, asked.beginning() + &error_event(asked, &error));
        },
        Error(502),
        Broken(502),
    ),
    case(
        "an error and its status in a stream",
        |asked, wire| {
            asked.answer(
                wire,
                asked.beginning() + &error_event(asked, &error(asked, "slow down")),
            )
        },
        Error(502),
        Broken(429),
    ),
    both(
        "a length that is too long",
        |asked, wire| {
            let body = asked.half();
            asked.head(wire, body.len() as u64 + 1);
            wire.write(body);
            wire.cut();
        },
        Broken(502),
    ),
    both(
        "a length that is too short",
        |asked, wire| {
            asked.head(wire, asked.half().len() as u64);
            wire.write(asked.body());
            wire.wait_until_closed();
        },
        Broken(502),
    ),
    both(
        "a huge line",
        |asked, wire| {
            asked.head_of_chunks(wire);
            wire.chunk(asked.beginning() + "data: ");
            (0..40).for_each(|_| wire.chunk([b'x'; 32 << 10]));
            wire.end();
        },
        Broken(502),
    ),
    both(
        "a stream without an answer",
        |asked, wire| {
            let no_news = if asked.is_hop {
                "event: ping\ndata: {}\n\n"
            } else {
                "data: [DONE]\n\n"
            };
            wire.answer(200, &[("Content-Type", "text/event-stream")], no_news);
        },
        Error(502),
    ),
    both(
        "a stream of nothing",
        |_, wire| {
            wire.answer(
                200,
                &[("Content-Type", "text/event-stream")],
                ": nothing\n\n",
            )
        },
        Error(502),
    ),
    case(
        "the other kind of answer",
        |asked, wire| {
            if asked.is_stream {
                wire.answer(200, &[JSON], asked.whole());
            } else {
                let events = asked.piece(WHOLE) + &asked.last();
                wire.answer(200, &[("Content-Type", "text/event-stream")], events);
            }
        },
        Error(502),
        Whole,
    ),
    both(
        "another coding",
        |asked, wire| {
            wire.answer(
                200,
                &[asked.content_type(), ("Content-Encoding", "gzip")],
                b"\x1f\x8b\x08\0\0\0\0\0",
            )
        },
        Error(502),
    ),
];

/// An error with status 429, as it is written in an answer that seemed to be a success.
fn error(asked: &Asked, message: &str) -> Value {
    json!({"error": {"message": message, (if asked.is_hop { "statusCode" } else { "code" }): 429}})
}

fn error_event(asked: &Asked, error: &Value) -> String {
    format!(
        "{}data: {error}\n\n",
        if asked.is_hop { "event: error\n" } else { "" }
    )
}

/// What the provider says itself.
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
        |_, wire| wire.answer(503, &[("Content-Type", "text/html")], "<p>hello</p>"),
        Refusal(503, "", None),
    ),
    both(
        "500 that is cut short",
        |_, wire| {
            wire.head(500, &[JSON, ("Content-Length", "99")]);
            wire.write("{\"error\": {\"mess");
            wire.cut();
        },
        Refusal(500, "", None),
    ),
    both(
        "500 without end",
        |_, wire| {
            wire.head(500, &[JSON]);
            wire.flood([b'x'; 4096], TAKEN);
        },
        Refusal(500, "", None),
    ),
    both(
        "429 without body",
        |_, wire| wire.answer(429, &[], ""),
        Refusal(429, "", None),
    ),
];

fn refuse(wire: &mut Wire, status: u16, message: &str, headers: &[(&str, &str)]) {
    let error = json!({"error": {"message": message, "statusCode": status}});
    wire.answer(status, &[&[JSON], headers].concat(), error.to_string());
}

/// A provider of as much as anybody takes, as long as that is not much.
pub(crate) const TOLD_FLOOD: Case = both(
    "10 GB as told",
    |_, wire| {
        wire.head(200, &[JSON, ("Content-Length", TEN_GB)]);
        wire.flood(SPACES, BUFFERED);
    },
    Refusal(502, "longer than", None),
);

/// More than anybody takes.
pub(crate) const FLOODS: [Case; 3] = [
    both(
        "10 GB in chunks",
        |_, wire| {
            wire.head(200, &[JSON, ("Transfer-Encoding", "chunked")]);
            wire.flood([b"10000\r\n", SPACES, b"\r\n"].concat(), TAKEN);
        },
        Refusal(502, "longer than", None),
    ),
    both(
        "10 GB until it closes",
        |_, wire| {
            wire.head(200, &[JSON]);
            wire.flood(SPACES, TAKEN);
        },
        Refusal(502, "longer than", None),
    ),
    case(
        "10 GB of events",
        |asked, wire| {
            wire.head(200, &[asked.content_type()]);
            wire.flood(asked.piece(&"x".repeat(64 << 10)), TAKEN);
        },
        Refusal(502, "longer than", None),
        Overflow,
    ),
];
