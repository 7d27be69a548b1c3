//! What a request is settled to, by how it ends.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{TOKENS, chat, key, remaining, send};
use crate::support::{
    Provider, Server, UnreachableAddresses, call,
    openai::{completion, completion_stream, content_event},
    provider_api::{CHAT, post_with_key},
    service, streamed,
};

const LIMIT: u64 = 1_000_000;
/// The cap of all requests.
const CAP: u64 = 500;

/// A provider whose answer depends on the model.
fn provider() -> Provider {
    Provider::start(|received, wire| {
        let request = received.json();
        let model = request["model"].as_str().unwrap_or_default().to_owned();
        match &*model {
            "refused" => wire.json(400, &json!({"error": {"message": "no"}})),
            "broken" => wire.json(500, &json!({"error": {"message": "no"}})),
            "silent" => wire.hold(),
            "untold" => {
                let mut answer = completion("Hello");
                answer.as_object_mut().unwrap().remove("usage");
                wire.json(200, &answer);
            }
            "left" => {
                wire.stream();
                wire.chunk(content_event("a"));
                wire.hold();
            }
            "cut" => {
                wire.stream();
                wire.chunk(content_event("a"));
                wire.close();
            }
            _ if request["stream"] == true => wire.whole_stream(completion_stream(&["a", "b"])),
            _ => wire.json(200, &completion("a")),
        }
    })
}

/// The tokens that a request with this body is reserved as.
fn reserved(body: &Value) -> u64 {
    let bytes = u64::try_from(body.to_string().len()).unwrap();
    bytes.div_ceil(2) + CAP
}

#[test]
fn every_end_of_a_request_is_settled_by_the_table() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_PROVIDER_TIMEOUT", "300ms")]);
    let key = key(
        &server,
        &provider,
        &json!({"global": {"tokensPerDay": LIMIT}}),
    );
    let mut spent = 0;
    let mut check = |model: &str, stream: bool, cost: &dyn Fn(u64) -> u64| {
        let body = chat(model, &json!({"max_tokens": CAP, "stream": stream}));
        let id = format!("{model}-{stream}");
        let request = post_with_key(CHAT, &key, body.to_string()).header("x-request-id", &id);
        let mut connection = server.connect();
        connection.write(&request.to_bytes());
        if model == "left" {
            connection.head();
            assert!(connection.try_chunk().is_some());
            drop(connection);
        } else {
            connection.response_to("POST");
        }
        server.wait_for_request(&id);
        spent += cost(reserved(&body));
        let left = LIMIT - spent;
        assert_eq!(
            remaining(&server, &key, TOKENS),
            left,
            "{model}, stream: {stream}"
        );
    };
    check("refused", false, &|_| 0);
    check("broken", false, &|_| 0);
    check("silent", false, &|reserved| reserved);
    check("untold", false, &|reserved| reserved);
    check("whole", false, &|_| 21);
    // The stream was cut: what was read is estimated, and of what was written the time has room for
    // more than the cap.
    check("cut", true, &|reserved| reserved);
    check("left", true, &|reserved| reserved);
}

#[test]
fn a_stream_tells_its_usage_though_the_client_did_not_ask() {
    let provider = Provider::start(|received, wire| {
        assert_eq!(received.json()["stream_options"]["include_usage"], true);
        let mut events = completion_stream(&["a", "b"]);
        let usage = json!({"id": "chatcmpl-1", "model": "gpt-4o", "choices": [],
            "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}});
        let done = events.find("data: [DONE]").unwrap();
        events.insert_str(done, &crate::support::sse(&usage));
        wire.whole_stream(events);
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(
        &server,
        &provider,
        &json!({"global": {"tokensPerDay": LIMIT}}),
    );
    let body = chat("gpt-4o", &json!({"max_tokens": CAP, "stream": true}));
    let request = post_with_key(CHAT, &key, body.to_string()).header("x-request-id", "told");
    let response = server.send(&request);
    assert_eq!(response.status, 200, "{response:?}");
    assert!(!response.text().contains("\"choices\":[]"), "{response:?}");
    server.wait_for_request("told");
    assert_eq!(remaining(&server, &key, TOKENS), LIMIT - 21);
}

#[test]
fn a_provider_that_is_not_reached_costs_nothing() {
    let unreachable = UnreachableAddresses::new();
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint(&json!({"requestAuthAndQuotas": {
        "requestQuotas": crate::support::ample_quotas(),
        "budgets": {"global": {"tokensPerDay": LIMIT}},
        "serviceSecrets": [
            {"serviceId": "chat:openai.com", "authSecret": "x", "url": unreachable.refusing_url()},
        ],
    }}));
    let response = send(&server, &key, &chat("gpt-4o", &json!({})));
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(remaining(&server, &key, TOKENS), LIMIT);
}

/// Streams that are cut at every byte in turn leave nothing reserved: what is settled is never below
/// what was told, nor above what was reserved.
#[test]
fn streams_cut_anywhere_leave_nothing_reserved() {
    static CUT: AtomicUsize = AtomicUsize::new(0);
    let events = completion_stream(&["a", "b"]);
    let length = events.len();
    let provider = Provider::start(move |_, wire| {
        let end = CUT.fetch_add(1, Ordering::Relaxed) % length;
        wire.stream();
        wire.chunk(&events.as_bytes()[..=end]);
        wire.close();
    });
    let server = Server::with_loopback_egress(&[]);
    let budgets = json!({"global": {"tokensPerDay": u64::from(u32::MAX)}});
    let key = key(&server, &provider, &budgets);
    let body = chat("gpt-4o", &json!({"max_tokens": CAP, "stream": true}));
    let calls = 300;
    for call in 0..calls {
        let id = format!("cut-{call}");
        let request = post_with_key(CHAT, &key, body.to_string()).header("x-request-id", &id);
        let mut connection = server.connect();
        connection.write(&request.to_bytes());
        connection.response_to("POST");
        server.wait_for_request(&id);
    }
    let left = remaining(&server, &key, TOKENS).as_u64().unwrap();
    let spent = u64::from(u32::MAX) - left;
    assert!(spent <= calls * reserved(&body), "{spent}");
    assert!(spent >= calls * 9, "{spent}");
}

/// A stream of `process` begins before its provider is called.
#[test]
fn a_stream_that_fails_before_its_first_event_is_settled_like_any_other_call() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_PROVIDER_TIMEOUT", "300ms")]);
    let budgets = json!({"global": {"tokensPerDay": LIMIT}});
    for (model, costs) in [("refused", false), ("broken", false), ("silent", true)] {
        let key = key(&server, &provider, &budgets);
        let mut request = call(service(&format!("chat:openai.com/{model}")), "Hi");
        request["request"]["internOptions"] = json!({"max_tokens": CAP});
        let response = server.process(&key, &streamed(request));
        assert!(response.text().contains("event: error"), "{response:?}");
        let left = remaining(&server, &key, TOKENS).as_u64().unwrap();
        assert_eq!(left < LIMIT - CAP, costs, "{model}: {left}");
        assert!(costs || left == LIMIT, "{model}: {left}");
    }
}
