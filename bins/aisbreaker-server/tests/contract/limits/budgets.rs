//! Budgets in tokens and dollars: reserved before a call, settled after it.

mod attacks;
mod kills;
mod leaks;
mod outcomes;
mod priced;
mod restarts;
mod shared;

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{
    Provider, Request, Response, Server, ample_quotas,
    openai::{completion, openai_call},
    provider_api::{CHAT, OPENAI_SECRET, post_with_key},
};

/// Mints a key with these budgets for this provider, whose models are those of OpenAI.
fn key(server: &Server, provider: &Provider, budgets: &Value) -> String {
    let response = mint(server, provider, budgets);
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["access_token"].as_str().unwrap().to_owned()
}

fn mint(server: &Server, provider: &Provider, budgets: &Value) -> Response {
    server.send(&Request::mint(&json!({"requestAuthAndQuotas": {
        "requestQuotas": ample_quotas(),
        "budgets": budgets,
        "serviceSecrets": [
            {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()},
        ],
    }})))
}

fn chat(model: &str, members: &Value) -> Value {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]});
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn send(server: &Server, key: &str, body: &Value) -> Response {
    server.send(&post_with_key(CHAT, key, body.to_string()))
}

/// What remains of a budget.
#[track_caller]
fn remaining(server: &Server, key: &str, budget: [&str; 3]) -> Value {
    remaining_in(
        &server.send(&Request::get("/api/v1/quota").bearer(key)),
        budget,
    )
}

/// What remains of a budget, by the response of the quota endpoint.
#[track_caller]
fn remaining_in(response: &Response, [unit, scope, window]: [&str; 3]) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    let body = response.json();
    let limits = body["limits"].as_array().unwrap();
    let limit = limits
        .iter()
        .find(|limit| limit["unit"] == unit && limit["scope"] == scope && limit["window"] == window)
        .unwrap_or_else(|| panic!("no {unit} {scope} {window} in {body}"));
    limit["remaining"].clone()
}

const TOKENS: [&str; 3] = ["tokens", "global", "day"];
const USD: [&str; 3] = ["usd", "global", "day"];

#[test]
fn tokens_are_settled_to_what_the_provider_told() {
    let provider = Provider::with_response(200, completion("Hello"));
    let server = Server::with_loopback_egress(&[]);
    let key = key(
        &server,
        &provider,
        &json!({"global": {"tokensPerDay": 10_000}, "perClient": {"tokensPerMinute": 9_000}}),
    );
    assert_eq!(remaining(&server, &key, TOKENS), 10_000);
    let response = send(&server, &key, &chat("gpt-4o", &json!({"max_tokens": 500})));
    assert_eq!(response.status, 200, "{response:?}");
    // 9 read and 12 written.
    assert_eq!(remaining(&server, &key, TOKENS), 10_000 - 21);
    let of_client = ["tokens", "client", "minute"];
    assert_eq!(remaining(&server, &key, of_client), 9_000 - 21);
    let limit = response.header("x-ratelimit-limit-tokens");
    assert_eq!(limit, Some("9000"));
    let left: u64 = response
        .header("x-ratelimit-remaining-tokens")
        .unwrap()
        .parse()
        .unwrap();
    assert!(left < 9_000 - 500, "with what is reserved: {left}");
}

#[test]
fn dollars_are_settled_to_the_nano_dollar() {
    let provider = Provider::with_response(200, completion("Hello"));
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider, &json!({"global": {"usdPerDay": "1"}}));
    let request = post_with_key(CHAT, &key, chat("gpt-4o", &json!({})).to_string());
    let response = server.send(&request.header("x-request-id", "priced"));
    assert_eq!(response.status, 200, "{response:?}");
    // 9 tokens at 2.50 and 12 at 10 dollars a million.
    assert_eq!(remaining(&server, &key, USD), "0.9998575");
    let line = server.wait_for_request("priced");
    assert_eq!(line["cost_usd"], 0.000_142_5, "{line}");
    let response = server.process(&key, &openai_call("Hi"));
    assert_eq!(response.status, 200, "{response:?}");
    let body = response.json();
    assert_eq!(body["usage"]["cost"], 0.000_142_5, "{body}");
    assert_eq!(remaining(&server, &key, USD), "0.999715");
}

#[test]
fn five_calls_at_once_stay_within_a_hundred_tokens() {
    let provider = Provider::start(|received, wire| {
        let mut answer = completion("Hello");
        let cap = received.json()["max_tokens"].as_u64().unwrap();
        answer["usage"] =
            json!({"prompt_tokens": 40, "completion_tokens": cap, "total_tokens": 40 + cap});
        wire.json(200, &answer);
    });
    let server = Server::with_loopback_egress(&[]);
    let budgets = json!({"global": {"tokensPerMinute": 100}, "reserve": "strict"});
    let key = key(&server, &provider, &budgets);
    let spent: u64 = std::thread::scope(|scope| {
        let calls: Vec<_> = [1, 20, 50, 80, 110]
            .into_iter()
            .map(|cap| {
                let (server, key) = (&server, &key);
                scope.spawn(move || {
                    let response = send(server, key, &chat("gpt-4o", &json!({"max_tokens": cap})));
                    match response.status {
                        200 => response.json()["usage"]["total_tokens"].as_u64().unwrap(),
                        429 => 0,
                        _ => panic!("{response:?}"),
                    }
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).sum()
    });
    assert!(spent <= 100, "{spent}");
}

#[test]
fn a_budget_that_is_used_up_says_when_and_what_fits() {
    let provider = Provider::with_response(200, completion("Hello"));
    let server = Server::with_loopback_egress(&[]);
    let tokens = key(
        &server,
        &provider,
        &json!({"global": {"tokensPerDay": 2_000}}),
    );
    let response = send(
        &server,
        &tokens,
        &chat("gpt-4o", &json!({"max_tokens": 30_000})),
    );
    assert_eq!(response.status, 429, "{response:?}");
    let error = response.json()["error"].clone();
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("tokens"), &json!("rate_limit_exceeded"))
    );
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("limit 2000 tokens per day, requested"),
        "{message}"
    );
    assert!(
        message.contains("fits now with max_tokens of up to 19"),
        "{message}"
    );
    assert_eq!(response.header("x-should-retry"), Some("false"));
    assert_eq!(provider.requests().len(), 0);

    let dollars = key(
        &server,
        &provider,
        &json!({"global": {"usdPerDay": "0.01"}}),
    );
    let response = send(
        &server,
        &dollars,
        &chat("gpt-4o", &json!({"max_tokens": 30_000})),
    );
    assert_eq!(response.status, 429, "{response:?}");
    let error = response.json()["error"].clone();
    assert_eq!(error["type"], "insufficient_quota", "{error}");
    // The cap of the message is admitted.
    let message = error["message"].as_str().unwrap();
    let cap: u64 = message
        .split("up to ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .unwrap()
        .parse()
        .unwrap();
    let body = chat("gpt-4o", &json!({"max_tokens": cap}));
    assert_eq!(send(&server, &dollars, &body).status, 200);
}

#[test]
fn a_total_that_is_spent_is_402_and_survives_a_restart() {
    let provider = Provider::with_response(200, completion("Hello"));
    let state =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("budgets-{}", std::process::id()));
    let environment = [("AISBREAKER_STATE_FILE", state.to_str().unwrap())];
    let key = {
        let mut server = Server::with_loopback_egress(&environment);
        // One call of 142 500 nano-dollars, and no second one.
        let key = key(
            &server,
            &provider,
            &json!({"global": {"usdTotal": "0.0003"}}),
        );
        let body = chat("gpt-4o", &json!({"max_tokens": 12}));
        assert_eq!(send(&server, &key, &body).status, 200);
        assert_eq!(
            remaining(&server, &key, ["usd", "global", "lifetime"]),
            "0.0001575"
        );
        let response = send(&server, &key, &body);
        assert_eq!(response.status, 402, "{response:?}");
        assert_eq!(response.json()["error"]["type"], "insufficient_quota");
        server.signal("TERM");
        server.wait_for_exit();
        key
    };
    let server = Server::with_loopback_egress(&environment);
    assert_eq!(
        remaining(&server, &key, ["usd", "global", "lifetime"]),
        "0.0001575"
    );
    drop(server);
    for suffix in ["", ".lock"] {
        let _removed = fs::remove_file(format!("{}{suffix}", state.display()));
    }
}

#[test]
fn a_server_that_forgets_takes_no_budget_for_longer_than_a_day() {
    let provider = Provider::with_response(200, completion("Hello"));
    let server = Server::with_loopback_egress(&[]);
    for budgets in [
        json!({"global": {"usdTotal": "1"}}),
        json!({"global": {"usdPerMonth": "1"}}),
    ] {
        let response = mint(&server, &provider, &budgets);
        assert_eq!(response.status, 400, "{response:?}");
        assert!(response.text().contains("state_file"), "{response:?}");
    }
}
