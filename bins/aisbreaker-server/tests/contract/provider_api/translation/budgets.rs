//! Budgets: reserved by what the client sends, settled to what the provider tells.

use serde_json::{Value, json};

use super::{
    anthropic_answer, anthropic_start, anthropic_text, chat, chat_stream, directions, key_at,
    provider, request,
};
use crate::support::{
    Provider, Request, Server,
    openai::{completion, content_event},
    provider_api::{CHAT, MESSAGES},
};

const LIMIT: u64 = 1_000_000;
/// A dollar in nano-dollars.
const DOLLAR: u64 = 1_000_000_000;

fn key(server: &Server, provider: &Provider) -> String {
    let budgets = json!({"budgets": {"global": {"tokensPerDay": LIMIT, "usdPerDay": "1"}},
    "modelAliases": {
        "claude": {"model": "chat:anthropic.com/claude-sonnet-4-5", "translate": true},
        "gpt": {"model": "chat:openai.com/gpt-4o", "translate": true},
    }});
    key_at(server, &provider.url(), &budgets)
}

/// The tokens that were spent, and the nano-dollars.
fn spent(server: &Server, key: &str) -> (u64, u64) {
    let response = server.send(&Request::get("/api/v1/quota").bearer(key));
    let body = response.json();
    let remaining = |unit: &str| {
        let mut limits = body["limits"].as_array().expect("limits").iter();
        let limit = limits.find(|limit| limit["unit"] == unit && limit["window"] == "day");
        limit.expect("a limit of this unit")["remaining"].clone()
    };
    let dollars = remaining("usd").as_str().expect("dollars").to_owned();
    let (whole, fraction) = dollars.split_once('.').unwrap_or((&dollars, ""));
    let nanos: u64 = format!("{whole}{fraction:0<9}").parse().unwrap();
    let tokens = remaining("tokens").as_u64().expect("a number");
    (LIMIT - tokens, DOLLAR - nanos)
}

#[test]
fn answers_are_settled_by_the_rule_of_the_provider() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    // Anthropic's rule counts tokens from the cache beside `input_tokens`, at another price: 3 dollars
    // for a million, 0.3 from the cache, and 15 for those written.
    let of_chat = (14 + 12, 9 * 3_000 + 5 * 300 + 12 * 15_000);
    let of_message = (9 + 12, 9 * 2_500 + 12 * 10_000);
    for is_stream in [false, true] {
        let key = key(&server, &provider);
        let mut expected = (0, 0);
        let requests = directions(&json!({"stream": is_stream, "max_tokens": 100}));
        for ((path, body), cost) in requests.into_iter().zip([of_chat, of_message]) {
            let id = format!("{is_stream}{}", path.replace('/', "-"));
            let response = server.send(&request(path, &key, &body).header("x-request-id", &id));
            assert_eq!(response.status, 200, "{response:?}");
            assert!(
                response.header("x-ratelimit-remaining-tokens").is_some(),
                "{response:?}"
            );
            let line = server.wait_for_request(&id);
            expected = (expected.0 + cost.0, expected.1 + cost.1);
            assert_eq!(spent(&server, &key), expected, "{id} {line}");
            assert!(!line["cost_usd"].is_null(), "{line}");
        }
    }
}

/// A client that did not ask for the usage of its stream sees none, though the server needs it.
#[test]
fn the_usage_of_a_stream_is_for_the_server() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let body = chat(&json!({"stream": true}));
    let response = server.send(&request(CHAT, &key, &body).header("x-request-id", "a"));
    assert_eq!(response.status, 200, "{response:?}");
    assert!(
        !response.text().contains("prompt_tokens\":14"),
        "{response:?}"
    );
    assert_eq!(server.wait_for_request("a")["output_tokens"], 12);
}

#[test]
fn what_the_provider_refuses_or_nobody_can_translate_costs_nothing() {
    let server = Server::with_loopback_egress(&[]);
    let provider = Provider::with_response(400, json!({"error": {"message": "no", "type": "x"}}));
    let key = key(&server, &provider);
    for members in [
        json!({}),
        json!({"stream": true}),
        json!({"messages": "none"}),
    ] {
        for (path, body) in directions(&members) {
            let response = server.send(&request(path, &key, &body));
            assert_eq!(response.status, 400, "{response:?}");
            assert_eq!(spent(&server, &key), (0, 0), "{path} {members}");
        }
    }
}

#[test]
fn an_answer_that_cannot_be_translated_is_settled_to_its_usage() {
    let server = Server::with_loopback_egress(&[]);
    let provider = Provider::start(|received, wire| {
        let mut answer = match received.target.as_str() {
            "/v1/messages" => anthropic_answer("Hello"),
            _ => completion("Hello"),
        };
        answer["content"] = json!(7);
        answer["choices"] = json!(7);
        wire.json(200, &answer);
    });
    let key = key(&server, &provider);
    let mut expected = 0;
    for ((path, body), tokens) in directions(&json!({})).into_iter().zip([26, 21]) {
        let response = server.send(&request(path, &key, &body));
        assert_eq!(response.status, 502, "{response:?}");
        expected += tokens;
        assert_eq!(spent(&server, &key).0, expected, "{path}");
    }
}

/// What was written of a stream that is cut is not known: at most as much as the time has room for.
#[test]
fn a_stream_that_is_cut_or_left_costs_what_it_can_have_written() {
    let provider = Provider::start(|received, wire| {
        wire.stream();
        match received.target.as_str() {
            "/v1/messages" => wire.chunk([anthropic_start(), anthropic_text("first")].concat()),
            _ => wire.chunk(content_event("first")),
        }
        if received.json().to_string().contains("leave") {
            wire.hold();
        }
        wire.close();
    });
    let server = Server::with_loopback_egress(&[]);
    for text in ["cut", "leave"] {
        let messages = json!([{"role": "user", "content": text}]);
        let members = json!({"stream": true, "max_tokens": 500, "messages": messages});
        for (path, body) in directions(&members) {
            let key = key(&server, &provider);
            let id = format!("{text}{}", path.replace('/', "-"));
            let mut connection = server.connect();
            let request = request(path, &key, &body).header("x-request-id", &id);
            connection.write(&request.to_bytes());
            connection.head();
            assert!(connection.try_chunk().is_some());
            drop(connection);
            server.wait_for_request(&id);
            let input = match path {
                CHAT => 14,
                _ => u64::try_from(body.to_string().len()).unwrap().div_ceil(2),
            };
            assert_eq!(spent(&server, &key).0, input + 500, "{id}");
        }
    }
}

/// The tokens of streams at a provider that tells them without being asked.
#[test]
fn a_provider_that_may_refuse_stream_options_gets_none() {
    let provider = Provider::start(|received, wire| {
        let body = received.json();
        if body.get("stream_options").is_some() {
            return wire.json(400, &json!({"error": {"message": "unknown member"}}));
        }
        wire.whole_stream(chat_stream(&["Hello"]));
    });
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint(&json!({"requestAuthAndQuotas": {
        "requestQuotas": crate::support::ample_quotas(),
        "budgets": {"global": {"tokensPerDay": LIMIT}},
        "serviceSecrets": [
            {"serviceId": "chat:groq.com", "authSecret": "one", "url": provider.url()},
        ],
        "modelAliases": {"gpt": {"model": "chat:groq.com/llama", "translate": true}},
    }}));
    let body = super::message(&json!({"stream": true}));
    let response = server.send(&request(MESSAGES, &key, &body).header("x-request-id", "a"));
    assert_eq!(super::message_text(&response), "Hello");
    let line: Value = server.wait_for_request("a");
    assert_eq!(line["output_tokens"], 12, "{line}");
    let sent = provider.only_request();
    assert_eq!(sent.json()["stream"], true);
    assert_eq!(sent.target, "/openai/v1/chat/completions");
}
