//! Streams that are cut at random bytes, from the first of the head to the last of the body.

use std::thread;

use serde_json::{Value, json};

use super::{
    CAP, Cost, GPT_4O, Rates, check_sums, input_of, note_in, noted_chat, post, priced_key,
    wait_for_requests,
};
use crate::support::{
    Connection, Provider, Server,
    openai::completion_stream,
    provider_api::{CHAT, MESSAGES},
    sse,
};

const STREAMS: u64 = 10_000;
const CONNECTIONS: u64 = 8;
/// Where the positions begin. Each stream has its own, whatever the order in which they end.
const SEED: u64 = 0x00b5_06e7;
/// What Claude Sonnet 4.5 costs in nano-dollars.
const SONNET: Rates = Rates {
    input: 3_000,
    output: 15_000,
};

/// A response as its bytes, and what it costs when it is cut after one of them.
struct Script {
    bytes: Vec<u8>,
    /// Where the body begins.
    body: usize,
    /// The ends of the events from which on it costs something else than what is reserved, with that.
    steps: Vec<(usize, Cost)>,
}

impl Script {
    /// `steps` has the first bytes of events, and the cost once that event has come.
    fn new(events: &str, steps: &[(&str, Cost)]) -> Self {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let size = format!("{:x}\r\n", events.len());
        let body = head.len() + size.len();
        let steps = steps.iter().map(|(beginning, cost)| {
            let start = events.find(beginning).unwrap();
            let end = start + events[start..].find("\n\n").unwrap() + 2;
            (body + end, *cost)
        });
        Self {
            steps: steps.collect(),
            bytes: [head, &size, events, "\r\n0\r\n\r\n"].concat().into_bytes(),
            body,
        }
    }

    /// What it costs if only the first `sent` bytes come.
    fn cost(&self, sent: usize, reserved: Cost) -> Cost {
        let come = self.steps.iter().rev().find(|(end, _)| *end <= sent);
        come.map_or(reserved, |(_, cost)| *cost)
    }
}

/// A stream of OpenAI's that tells 9 tokens read and 12 written before its last event.
fn chat_script() -> Script {
    let mut events = completion_stream(&["a", "b\u{f6}", "c"]);
    let usage = json!({"id": "chatcmpl-1", "model": "gpt-4o-2024-08-06", "choices": [],
        "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}});
    let usage = sse(&usage);
    events.insert_str(events.find("data: [DONE]").unwrap(), &usage);
    let steps = [
        (&*usage, Cost::of(9, CAP, GPT_4O)),
        ("data: [DONE]", Cost::of(9, 12, GPT_4O)),
    ];
    Script::new(&events, &steps)
}

/// A stream of Anthropic's that tells in its first event that 25 tokens were read, 100 written to a
/// cache and 50 read from one, and before its last event that 12 were written.
fn message_script() -> Script {
    let event = |data: &Value| {
        let name = data["type"].as_str().unwrap();
        format!("event: {name}\n{}", sse(data))
    };
    let usage = json!({"input_tokens": 25, "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 50, "output_tokens": 1});
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "content": [],
        "model": "claude-sonnet-4-5", "stop_reason": null, "usage": usage});
    let events: String = [
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 12}}),
        json!({"type": "message_stop"}),
    ]
    .iter()
    .map(event)
    .collect();
    let told = |output: u64| Cost {
        tokens: 175 + output,
        nanos: 25 * 3_000 + 100 * 3_750 + 50 * 300 + output * 15_000,
    };
    let steps = [
        ("event: message_start", told(CAP)),
        ("event: message_stop", told(12)),
    ];
    Script::new(&events, &steps)
}

/// A number that looks random, the same for every run (SplitMix64).
fn random(index: u64) -> u64 {
    let mut bits = SEED.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// One stream: its path and body, and what it is reserved as and costs.
fn stream(index: u64, [chat, message]: &[Script; 2]) -> (&'static str, String, [Cost; 2]) {
    let sent = |script: &Script| {
        let length = u64::try_from(script.bytes.len()).unwrap();
        usize::try_from(random(index) % (length + 1)).unwrap()
    };
    if index.is_multiple_of(2) {
        let sent = sent(chat);
        let body = noted_chat(&sent.to_string(), true);
        let reserved = Cost::reserved(&body, GPT_4O);
        return (CHAT, body, [reserved, chat.cost(sent, reserved)]);
    }
    let sent = sent(message);
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let body = json!({"model": "claude-sonnet-4-5", "messages": messages, "max_tokens": CAP,
        "stream": true, "metadata": {"user_id": sent.to_string()}});
    let body = body.to_string();
    let reserved = Cost::of(input_of(&body), CAP, SONNET);
    (MESSAGES, body, [reserved, message.cost(sent, reserved)])
}

/// Starts a provider that sends as many bytes of the response as the request notes.
fn cutting_provider() -> Provider {
    let scripts = [chat_script(), message_script()];
    Provider::without_recording(move |received, wire| {
        let [chat, message] = &scripts;
        let is_chat = received.target.ends_with("/chat/completions");
        let script = if is_chat { chat } else { message };
        let sent: usize = note_in(&received.json()).parse().unwrap();
        wire.write(&script.bytes[..sent]);
        wire.close();
    })
}

/// Sends every eighth stream on one connection, and returns what they are reserved as and cost.
fn send_all(server: &Server, key: &str, first: u64) -> [Cost; 2] {
    let scripts = [chat_script(), message_script()];
    let mut connection: Option<Connection> = None;
    let mut sums = [Cost::default(); 2];
    for index in (first..STREAMS).step_by(usize::try_from(CONNECTIONS).unwrap()) {
        let (path, body, costs) = stream(index, &scripts);
        let request = post(path, key, &body, &format!("cut-{index}"));
        let used = connection.get_or_insert_with(|| server.connect());
        let response = used.send(&request);
        if response.is_truncated || response.header("connection") == Some("close") {
            connection = None;
        }
        assert!(matches!(response.status, 200 | 502), "{response:?}");
        sums = [sums[0].plus(costs[0]), sums[1].plus(costs[1])];
    }
    sums
}

#[test]
fn streams_cut_at_random_bytes_are_settled_by_the_table() {
    let provider = cutting_provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0")]);
    let key = &priced_key(&server, &provider);
    let sums = thread::scope(|scope| {
        let server = &server;
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|first| scope.spawn(move || send_all(server, key, first)))
            .collect();
        let sums = senders.into_iter().map(|sender| sender.join().unwrap());
        sums.reduce(|sum, one| [sum[0].plus(one[0]), sum[1].plus(one[1])])
    });
    let [reserved, cost] = sums.unwrap();
    wait_for_requests(&server, "cut-", usize::try_from(STREAMS).unwrap());
    assert_eq!(provider.panics(), 0, "scripts of the provider panicked");
    check_sums(&server, key, (reserved, cost));
}

/// Who leaves before the chunk with the usage pays for what was reserved, whatever the provider
/// would have told.
#[test]
fn no_thousand_streams_cut_before_their_usage_cost_less_than_what_was_read_and_written() {
    const CALLS: u64 = 1_000;
    let script = chat_script();
    let (usage_end, _) = script.steps[0];
    let positions = u64::try_from(usage_end - script.body).unwrap();
    let provider = cutting_provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0")]);
    let key = priced_key(&server, &provider);
    let mut connection = server.connect();
    let mut reserved = Cost::default();
    for call in 0..CALLS {
        // The last byte of the chunk never comes.
        let sent = script.body + usize::try_from(call % positions).unwrap();
        let body = noted_chat(&sent.to_string(), true);
        let response = connection.send(&post(CHAT, &key, &body, &format!("cut-{call}")));
        assert_eq!(response.status, 200, "{response:?}");
        assert!(!response.is_truncated, "{response:?}");
        reserved = reserved.plus(Cost::reserved(&body, GPT_4O));
    }
    wait_for_requests(&server, "cut-", usize::try_from(CALLS).unwrap());
    check_sums(&server, &key, (reserved, reserved));
    // What the provider has written at most, and asks for.
    assert!(reserved.tokens >= CALLS * 21, "{reserved:?}");
}
