//! The table of everything that a provider can do wrong, or in an unusual way, and what must become
//! of it.

mod bodies;
mod broken;
mod odd;

use serde_json::{Value, json};

use crate::support::{Provider, Received, Wire, sse};

/// What a provider does with a request, and what its caller gets.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) act: fn(&Asked, &mut Wire),
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
    /// The provider's own error: its status, its message, and how long it says to wait.
    Refusal(u16, &'static str, Option<&'static str>),
    /// Status 502 after as much as is taken of a stream.
    Overflow,
}

/// The answer, and the two pieces that it has in a stream.
pub(crate) const WHOLE: &str = "Hell\u{f6}";
pub(crate) const FIRST: &str = "Hel";
const SECOND: &str = "l\u{f6}";

const JSON: (&str, &str) = ("Content-Type", "application/json");
/// More than what a server that takes 64 MiB and the buffers on the way to it can hold.
const TAKEN: usize = 128 << 20;

/// All cases that end without a timeout, and soon.
pub(crate) fn quick() -> impl Iterator<Item = Case> {
    let groups: [&[Case]; 6] = [
        &broken::CUTS,
        &broken::HEADS,
        &bodies::BODIES,
        &bodies::REFUSALS,
        &odd::ODDITIES,
        &[bodies::TOLD_FLOOD],
    ];
    groups.into_iter().flatten().copied()
}

/// Those that only a timeout ends.
pub(crate) fn stalls() -> impl Iterator<Item = Case> {
    broken::STALLS.into_iter()
}

/// Those that end when too much has come.
pub(crate) fn floods() -> impl Iterator<Item = Case> {
    bodies::FLOODS.into_iter()
}

/// A provider that does what the case says whose name is that of the engine.
pub(crate) fn provider() -> Provider {
    Provider::forgetful(|received, wire| {
        let asked = Asked::of(received);
        let mut cases = quick().chain(stalls()).chain(floods());
        let case = cases
            .find(|case| case.name == asked.case)
            .expect("a case that is in the table");
        (case.act)(&asked, wire);
    })
}

/// What a provider is asked for, and so how its proper answer looks.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The case that the caller wants.
    pub(crate) case: String,
    is_stream: bool,
    /// By another server, as if the provider were one.
    is_hop: bool,
}

impl Asked {
    pub(crate) fn of(received: &Received) -> Self {
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

    /// The body of the proper answer.
    pub(crate) fn body(&self) -> String {
        if self.is_stream {
            format!("{}{}{}", self.piece(FIRST), self.piece(SECOND), self.last())
        } else {
            self.whole()
        }
    }

    /// The first half of the body.
    fn half(&self) -> String {
        let second = if self.is_stream {
            self.piece(SECOND)
        } else {
            self.whole()
        };
        format!("{}{}", self.beginning(), &second[..second.len() / 2])
    }

    /// What comes before whatever goes wrong in the middle of a stream.
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

    /// The end of a stream.
    fn last(&self) -> String {
        if self.is_hop {
            format!("event: final\ndata: {}\n\n", self.whole())
        } else {
            "data: [DONE]\n\n".to_owned()
        }
    }

    /// The head of the proper answer, for a body of this length.
    fn head(&self, wire: &mut Wire, length: u64) {
        wire.head(
            200,
            &[self.content_type(), ("Content-Length", &length.to_string())],
        );
    }

    /// The head of the proper answer in chunks.
    pub(crate) fn head_of_chunks(&self, wire: &mut Wire) {
        wire.head(
            200,
            &[self.content_type(), ("Transfer-Encoding", "chunked")],
        );
    }

    /// An answer with this body that is in order but for what the body says.
    fn answer(&self, wire: &mut Wire, body: impl AsRef<[u8]>) {
        wire.answer(200, &[self.content_type()], body);
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
    act: fn(&Asked, &mut Wire),
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

/// A case that ends alike whether it is streamed or not.
const fn both(name: &'static str, act: fn(&Asked, &mut Wire), outcome: Outcome) -> Case {
    case(name, act, outcome, outcome)
}
