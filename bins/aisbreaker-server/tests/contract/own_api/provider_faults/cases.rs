//! Everything that a provider can do wrong or in an unusual way, and the expected outcome.

mod bodies;
mod connections;
mod unusual;

use serde_json::{Value, json};

use crate::support::{Provider, ReceivedRequest, Wire, sse};

/// What a provider does with a request, and what the caller gets.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) act: fn(&CaseRequest, &mut Wire),
    pub(crate) plain: Outcome,
    pub(crate) streamed: Outcome,
}

/// What a caller gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// The [`WHOLE`] answer.
    Whole,
    /// This error, and nothing of the answer.
    Error(u16),
    /// This error, after the [`FIRST`] piece.
    Broken(u16),
    /// The provider's own error: its status, a part of its message, and its `Retry-After`.
    Refusal(u16, &'static str, Option<&'static str>),
    /// Status 502, after as much of a stream as is accepted.
    Overflow,
}

/// The valid answer, and its two pieces in a stream.
pub(crate) const WHOLE: &str = "Hell\u{f6}";
pub(crate) const FIRST: &str = "Hel";
const SECOND: &str = "l\u{f6}";

const JSON: (&str, &str) = ("Content-Type", "application/json");
/// More than a server that accepts 64 MiB, and the buffers on the way to it, can hold.
const FLOOD_BYTES: usize = 128 << 20;

/// All cases that end quickly and without a timeout.
pub(crate) fn quick() -> impl Iterator<Item = Case> {
    let groups: [&[Case]; 6] = [
        &connections::CUTS,
        &connections::HEADS,
        &bodies::BODIES,
        &bodies::REFUSALS,
        &unusual::UNUSUAL,
        &[bodies::ANNOUNCED_FLOOD],
    ];
    groups.into_iter().flatten().copied()
}

/// The cases that only a timeout ends.
pub(crate) fn stalls() -> impl Iterator<Item = Case> {
    connections::STALLS.into_iter()
}

/// The cases that end when the answer exceeds its limit.
pub(crate) fn floods() -> impl Iterator<Item = Case> {
    bodies::FLOODS.into_iter()
}

/// Starts a provider that acts out the case whose name is the engine.
pub(crate) fn provider() -> Provider {
    Provider::without_recording(|received, wire| {
        let request = CaseRequest::of(received);
        let mut cases = quick().chain(stalls()).chain(floods());
        let case = cases
            .find(|case| case.name == request.case)
            .expect("a case that is in the table");
        (case.act)(&request, wire);
    })
}

/// A request for a case, which determines the valid answer.
#[derive(Debug)]
pub(crate) struct CaseRequest {
    /// The name of the case.
    pub(crate) case: String,
    is_stream: bool,
    /// Whether the provider is called as the next server of a hop.
    is_hop: bool,
}

impl CaseRequest {
    /// Parses the request of a server.
    pub(crate) fn of(received: &ReceivedRequest) -> Self {
        let body = received.json();
        let is_hop = received.target == "/api/v1/process";
        let (engine, stream) = if is_hop {
            (&body["service"]["serviceId"], &body["request"]["stream"])
        } else {
            (&body["model"], &body["stream"])
        };
        let engine = engine.as_str().expect("the name of a case");
        let case = engine
            .strip_prefix("chat:openai.com/")
            .unwrap_or(engine)
            .to_owned();
        Self {
            case,
            is_stream: *stream == true,
            is_hop,
        }
    }

    /// Returns the content type of the valid answer.
    pub(crate) fn content_type(&self) -> (&'static str, &'static str) {
        (
            "Content-Type",
            if self.is_stream {
                "text/event-stream"
            } else {
                "application/json"
            },
        )
    }

    /// Returns the body of the valid answer.
    pub(crate) fn body(&self) -> String {
        if self.is_stream {
            format!("{}{}{}", self.piece(FIRST), self.piece(SECOND), self.last())
        } else {
            self.whole()
        }
    }

    /// Returns the first half of the body.
    fn half(&self) -> String {
        let second = if self.is_stream {
            self.piece(SECOND)
        } else {
            self.whole()
        };
        format!("{}{}", self.beginning(), &second[..second.len() / 2])
    }

    /// Returns the part of a stream before a fault in its middle.
    fn beginning(&self) -> String {
        if self.is_stream {
            self.piece(FIRST)
        } else {
            String::new()
        }
    }

    fn whole(&self) -> String {
        let whole = if self.is_hop {
            json!({"outputs": [text(WHOLE, false)], "usage": usage()})
        } else {
            json!({"model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": WHOLE}}]})
        };
        whole.to_string()
    }

    fn piece(&self, content: &str) -> String {
        if self.is_hop {
            format!(
                "event: progress\ndata: {}\n\n",
                json!({"outputs": [text(content, true)]})
            )
        } else {
            sse(&json!({"model": "m", "choices": [{"index": 0, "delta": {"content": content}}]}))
        }
    }

    /// Returns the end of a stream.
    fn last(&self) -> String {
        if self.is_hop {
            format!("event: final\ndata: {}\n\n", self.whole())
        } else {
            "data: [DONE]\n\n".to_owned()
        }
    }

    /// Sends the head of the valid answer, for a body of this length.
    fn head(&self, wire: &mut Wire, length: u64) {
        wire.head(
            200,
            &[self.content_type(), ("Content-Length", &length.to_string())],
        );
    }

    /// Sends the head of the valid answer in chunks.
    pub(crate) fn chunked_head(&self, wire: &mut Wire) {
        wire.head(
            200,
            &[self.content_type(), ("Transfer-Encoding", "chunked")],
        );
    }

    /// Sends an answer with this body.
    fn respond(&self, wire: &mut Wire, body: impl AsRef<[u8]>) {
        wire.respond(200, &[self.content_type()], body);
    }
}

fn text(content: &str, is_piece: bool) -> Value {
    json!({"text": {
        "index": 0, "role": "assistant", "content": content, "isDelta": is_piece, "isProcessing": is_piece,
    }})
}

fn usage() -> Value {
    json!({"service": {"serviceId": "chat:openai.com"}, "totalMilliseconds": 1})
}

const fn case(
    name: &'static str,
    act: fn(&CaseRequest, &mut Wire),
    plain: Outcome,
    streamed: Outcome,
) -> Case {
    Case {
        name,
        act,
        plain,
        streamed,
    }
}

/// A case with the same outcome whether it is streamed or not.
const fn both(name: &'static str, act: fn(&CaseRequest, &mut Wire), outcome: Outcome) -> Case {
    case(name, act, outcome, outcome)
}
