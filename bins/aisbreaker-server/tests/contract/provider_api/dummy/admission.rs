//! What holds for every service holds for the dummy: quotas, budgets, restrictions, metrics, and a
//! server that requires keys.

use serde_json::{Value, json};

use super::{ask, bodies, content, with};
use crate::support::{
    Connection, Request, Server, ample_quotas, grant,
    provider_api::{CHAT, MESSAGES},
    quotas,
};

fn chat() -> Value {
    json!({"messages": [{"role": "user", "content": "Hi there"}]})
}

/// Mints a key without secrets, with these further members.
fn key_with(server: &Server, members: &Value) -> String {
    let grant = with(json!({"requestQuotas": ample_quotas()}), members);
    server.mint(&json!({"requestAuthAndQuotas": grant}))
}

/// What remains of the budgets in a unit.
fn remaining(server: &Server, key: &str, unit: &str) -> Vec<Value> {
    let quota = server
        .send(&Request::get("/api/v1/quota").bearer(key))
        .json();
    let limits = quota["limits"].as_array().unwrap().iter();
    let of_unit = limits.filter(|limit| limit["unit"] == unit);
    of_unit.map(|limit| limit["remaining"].clone()).collect()
}

#[test]
fn a_server_that_requires_keys_requires_one_for_the_dummy() {
    let server = Server::start(&[("AISBREAKER_REQUIRE_KEY", "true")]);
    for (path, body) in bodies() {
        assert_eq!(server.send(&ask(path, "dummy", body)).status, 401, "{path}");
    }
    let key = key_with(&server, &json!({}));
    let response = server.send(&ask(CHAT, "dummy/echo", chat()).bearer(&key));
    assert_eq!(content(&response), "Hi there");
}

#[test]
fn calls_are_counted_by_quotas() {
    let server = Server::start(&[]);
    let key = server.mint(&grant(&quotas([1, 100, 100], [100, 100, 100]), &json!([])));
    let request = ask(CHAT, "dummy", chat()).bearer(&key);
    assert_eq!(server.send(&request).status, 200);
    assert_eq!(server.send(&request).status, 429);
}

#[test]
fn tokens_are_charged_and_dollars_are_not() {
    let server = Server::start(&[("AISBREAKER_VOLATILE_BUDGETS", "true")]);
    let budgets = json!({"budgets": {
        "global": {"tokensPerDay": 100_000, "usdPerDay": "0.000001"}, "reserve": "strict",
    }});
    let mut left = 100_000;
    let key = key_with(&server, &budgets);
    for (path, body) in bodies() {
        for is_stream in [false, true] {
            let id = format!("{}-{is_stream}", path.replace('/', "-"));
            let body = with(body.clone(), &json!({"stream": is_stream}));
            let request = ask(path, "dummy", body)
                .bearer(&key)
                .header("x-request-id", &id);
            let response = server.send(&request);
            assert_eq!(response.status, 200, "{path}: {response:?}");
            if path == CHAT && is_stream {
                assert!(
                    !response.text().contains("usage\":{"),
                    "{}",
                    response.text()
                );
                assert!(response.text().ends_with("data: [DONE]\n\n"));
            }
            let line = server.wait_for_request(&id);
            if !path.ends_with("tokens") {
                let tokens = |name: &str| line[name].as_u64().unwrap_or(0);
                left -= tokens("input_tokens") + tokens("output_tokens");
            }
            assert_eq!(remaining(&server, &key, "tokens"), [left], "{path} {line}");
            assert_eq!(remaining(&server, &key, "usd"), ["0.000001"], "{path}");
        }
    }
    assert!(left < 99_900, "{left}");
    let failed = ask(CHAT, "dummy/error-500", chat()).bearer(&key);
    assert_eq!(server.send(&failed).status, 500);
    assert_eq!(
        remaining(&server, &key, "tokens"),
        [left],
        "an error costs nothing"
    );
}

#[test]
fn answers_stay_below_the_cap_that_is_reserved() {
    let server = Server::start(&[("AISBREAKER_VOLATILE_BUDGETS", "true")]);
    let budgets = json!({"budgets": {"global": {"tokensPerDay": 1_000}, "reserve": "strict"}});
    let key = key_with(&server, &budgets);
    let text = "word ".repeat(50);
    let body = json!({"messages": [{"role": "user", "content": text}], "max_tokens": 3, "n": 2});
    let response = server.send(&ask(CHAT, "dummy/echo", body).bearer(&key));
    assert_eq!(
        response.json()["usage"]["completion_tokens"],
        6,
        "{response:?}"
    );
    assert_eq!(content(&response), "word word wo");
    let without_cap = json!({"messages": [{"role": "user", "content": text}]});
    let refused = server.send(&ask(CHAT, "dummy/echo", without_cap).bearer(&key));
    assert_eq!(refused.status, 429, "16384 tokens do not fit: {refused:?}");
}

#[test]
fn restrictions_hold_for_the_dummy() {
    let server = Server::start(&[]);
    // The restriction, the model, and whether it may be called.
    let rows = [
        (json!({"services": ["chat:openai.com"]}), "dummy", false),
        (
            json!({"services": ["chat:openai.com"]}),
            "chat:dummy/echo",
            false,
        ),
        (json!({"services": ["chat:dummy"]}), "dummy", true),
        (json!({"services": ["chat:dummy"]}), "dummy/echo", true),
        (json!({"services": ["chat:dummy/echo"]}), "dummy/echo", true),
        (json!({"services": ["chat:dummy/echo"]}), "dummy", false),
        (json!({"operations": ["chat/completions"]}), "dummy", true),
        (json!({"operations": ["embeddings"]}), "dummy", false),
    ];
    for (restrict, model, is_allowed) in rows {
        let key = key_with(&server, &json!({"restrict": restrict}));
        let response = server.send(&ask(CHAT, model, chat()).bearer(&key));
        let expected = if is_allowed { 200 } else { 403 };
        assert_eq!(
            response.status, expected,
            "{restrict} {model}: {response:?}"
        );
        let list = server.send(&Request::get("/v1/models").bearer(&key));
        if restrict.get("services").is_some() {
            let is_listed = list.text().contains(&format!(r#""id":"{model}""#));
            assert_eq!(is_listed, is_allowed, "{restrict} {model}: {}", list.text());
        }
    }
}

#[test]
fn calls_and_tokens_are_in_the_metrics() {
    let server = Server::start(&[("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0")]);
    let message = json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9});
    for (id, path, model, body) in [
        ("good", CHAT, "dummy", chat()),
        ("bad", CHAT, "dummy/error-429", chat()),
        ("message", MESSAGES, "dummy", message),
    ] {
        server.send(&ask(path, model, body).header("x-request-id", id));
        server.wait_for_request(id);
    }
    let mut metrics = Connection::open(server.metrics_address());
    let text = metrics.send(&Request::get("/metrics")).text().to_owned();
    for series in [
        r#"aisbreaker_provider_calls_total{provider="dummy",operation="chat/completions",outcome="ok"} 1"#,
        r#"aisbreaker_provider_calls_total{provider="dummy",operation="chat/completions",outcome="rate_limited"} 1"#,
        r#"aisbreaker_provider_calls_total{provider="dummy",operation="messages",outcome="ok"} 1"#,
        r#"aisbreaker_tokens_total{provider="dummy",kind="output"}"#,
    ] {
        assert!(text.contains(series), "no {series} in {text}");
    }
}
