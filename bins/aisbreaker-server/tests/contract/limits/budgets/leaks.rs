//! Nothing stays reserved, however a request ends: what is used is the sum of the table of outcomes,
//! to the token and to the nano-dollar.
//!
//! Of an answer that is cut, the table counts a thousand tokens for each second that began. The cap
//! of all requests is lower than that, so that the sums do not depend on time.

mod cuts;
mod departures;
mod faults;

use serde_json::{Value, json};

use super::shared::{metric, remaining_nanos};
use crate::support::{Provider, Request, Server, ample_quotas, provider_api::OPENAI_SECRET};

/// The cap of all requests.
const CAP: u64 = 500;
const TOKEN_LIMIT: u64 = 1_000_000_000;
/// In nano-dollars.
const USD_LIMIT: u64 = 100_000_000_000_000;
/// What gpt-4o costs in nano-dollars.
const GPT_4O: Rates = Rates {
    input: 2_500,
    output: 10_000,
};

/// Nano-dollars per token.
#[derive(Clone, Copy)]
struct Rates {
    input: u64,
    output: u64,
}

/// Tokens and nano-dollars.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Cost {
    tokens: u64,
    nanos: u64,
}

impl Cost {
    fn of(input: u64, output: u64, rates: Rates) -> Self {
        Self {
            tokens: input + output,
            nanos: input * rates.input + output * rates.output,
        }
    }

    /// What a request with this body and the cap is reserved as.
    fn reserved(body: &str, rates: Rates) -> Self {
        Self::of(input_of(body), CAP, rates)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens + other.tokens,
            nanos: self.nanos + other.nanos,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens - other.tokens,
            nanos: self.nanos - other.nanos,
        }
    }
}

/// The tokens that are estimated for a body without media.
fn input_of(body: &str) -> u64 {
    u64::try_from(body.len()).unwrap().div_ceil(2)
}

/// Mints a key with budgets in tokens and dollars, for both dialects.
fn priced_key(server: &Server, provider: &Provider) -> String {
    let dollars = USD_LIMIT / 1_000_000_000;
    server.mint(&json!({"requestAuthAndQuotas": {
        "requestQuotas": ample_quotas(),
        "budgets": {"global": {"tokensPerDay": TOKEN_LIMIT, "usdPerDay": dollars}},
        "serviceSecrets": [
            {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()},
            {"serviceId": "chat:anthropic.com", "authSecret": "sk-ant-x", "url": provider.url()},
        ],
    }}))
}

/// What is used of the budgets of such a key.
fn used(server: &Server, key: &str) -> Cost {
    let left = super::remaining(server, key, super::TOKENS);
    Cost {
        tokens: TOKEN_LIMIT - left.as_u64().unwrap(),
        nanos: USD_LIMIT - remaining_nanos(server, key, super::USD),
    }
}

/// What a metric of budgets counts.
fn counted(server: &Server, name: &str) -> Cost {
    Cost {
        tokens: metric(server, &format!("{name}_total{{unit=\"tokens\"}}")),
        nanos: metric(server, &format!("{name}_total{{unit=\"usd\"}}")),
    }
}

/// Checks that all that was reserved is settled, and that the metrics say so.
#[track_caller]
fn check_sums(server: &Server, key: &str, (reserved, expected): (Cost, Cost)) {
    assert_eq!(used(server, key), expected, "what is used");
    let settled = counted(server, "aisbreaker_budget_settled");
    assert_eq!(settled, expected, "what is settled");
    let counted = counted(server, "aisbreaker_budget_reserved");
    assert_eq!(counted, reserved, "what was reserved");
}

/// Waits until so many requests with ids that begin like this are over.
fn wait_for_requests(server: &Server, prefix: &str, count: usize) {
    let mut over = 0;
    server.wait_for_log("the end of the requests", |line| {
        let id = line["request_id"].as_str().unwrap_or_default();
        over += usize::from(line["message"] == "request" && id.starts_with(prefix));
        over == count
    });
}

/// A chat with gpt-4o, for the provider to read `note` in.
fn noted_chat(note: &str, stream: bool) -> String {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    json!({"model": "gpt-4o", "messages": messages, "max_tokens": CAP, "stream": stream, "user": note})
        .to_string()
}

/// The note of such a chat, or of its like in the dialect of Anthropic.
fn note_in(body: &Value) -> &str {
    let note = body["user"].as_str();
    note.or(body["metadata"]["user_id"].as_str()).unwrap()
}

fn post(path: &str, key: &str, body: &str, id: &str) -> Request {
    Request::post(path, body)
        .bearer(key)
        .header("anthropic-version", "2023-06-01")
        .header("x-request-id", id)
}
