//! Ways to spend more than a budget shows.

use serde_json::json;

use super::{USD, chat, key, remaining, send};
use crate::support::{Provider, Request, Server, openai::completion, provider_api::CHAT};

/// A body is refused by a budget of 5000 tokens, and no provider is called.
#[test]
fn no_spelling_of_a_cap_hides_what_is_written() {
    let provider = Provider::with_response(200, completion("Hello"));
    let server = Server::with_loopback_egress(&[]);
    let key = key(
        &server,
        &provider,
        &json!({"global": {"tokensPerDay": 5_000}}),
    );
    for members in [
        json!({"max_tokens": 1, "max_completion_tokens": 30_000}),
        json!({"max_tokens": 1, "Max_Completion_Tokens": 30_000}),
        json!({"max_tokens": 1, "max_output_tokens": 30_000}),
        json!({"max_tokens": 100, "n": 128}),
        json!({"n": 128}),
        json!({"max_tokens": "30000"}),
        json!({"max_tokens": 3e4}),
    ] {
        let response = send(&server, &key, &chat("gpt-4o", &members));
        assert_eq!(response.status, 429, "{members}: {response:?}");
    }
    for (member, body) in [
        (
            "max_tokens",
            r#"{"model":"gpt-4o","messages":[],"max_tokens":1,"max_tokens":30000}"#,
        ),
        (
            "n",
            r#"{"model":"gpt-4o","messages":[],"max_tokens":1,"n":1,"N":128}"#,
        ),
        (
            "service_tier",
            r#"{"model":"gpt-4o","service_tier":"flex","service_tier":"priority"}"#,
        ),
    ] {
        let response = server.send(&Request::post(CHAT, body).bearer(&key));
        assert_eq!(response.status, 400, "{body}: {response:?}");
        assert!(response.text().contains(member), "{response:?}");
    }
    assert_eq!(provider.requests().len(), 0);
    let honest = chat("gpt-4o", &json!({"max_tokens": 100}));
    assert_eq!(send(&server, &key, &honest).status, 200);
}

#[test]
fn a_model_without_a_price_is_refused_where_dollars_count() {
    let provider = Provider::with_response(200, completion("Hello"));
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider, &json!({"global": {"usdPerDay": "1"}}));
    for model in ["no-such-model", "gpt-99", "chat:openai.com/no-such-model"] {
        let response = send(&server, &key, &chat(model, &json!({})));
        assert_eq!(response.status, 403, "{model}: {response:?}");
        let error = response.json()["error"].clone();
        assert_eq!(error["code"], "model_price_unknown", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("prices.\"openai.com\""), "{message}");
    }
    let call = crate::support::call(crate::support::service("chat:openai.com/gpt-99"), "Hi");
    let response = server.process(&key, &call);
    assert_eq!(response.status, 403, "{response:?}");
    for members in [
        json!({"models": ["gpt-99"]}),
        json!({"fallbacks": ["gpt-99"]}),
    ] {
        let response = send(&server, &key, &chat("gpt-4o", &members));
        assert_eq!(response.status, 400, "{members}: {response:?}");
    }
    assert_eq!(provider.requests().len(), 0);
    assert_eq!(remaining(&server, &key, USD), "1");
    // A dated name has the price of its model.
    let dated = chat("gpt-4o-2024-08-06", &json!({}));
    assert_eq!(send(&server, &key, &dated).status, 200);
    assert_eq!(remaining(&server, &key, USD), "0.9998575");
}

#[test]
fn a_child_is_charged_to_the_budgets_of_its_parent() {
    let provider = Provider::with_response(200, completion("Hello"));
    let server = Server::with_loopback_egress(&[]);
    let parent = server.mint(&json!({"requestAuthAndQuotas": {
        "requestQuotas": crate::support::ample_quotas(),
        "budgets": {"global": {"tokensPerDay": 10_000}},
        "delegation": 2,
        "serviceSecrets": [
            {"serviceId": "chat:openai.com", "authSecret": "sk-x", "url": provider.url()},
        ],
    }}));
    let exchange = json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": parent,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    });
    let request = Request::post("/api/v1/oauth/token", exchange.to_string());
    let response = server.send(&request);
    assert_eq!(response.status, 200, "{response:?}");
    let child = response.json()["access_token"].as_str().unwrap().to_owned();
    let body = chat("gpt-4o", &json!({"max_tokens": 500}));
    assert_eq!(send(&server, &child, &body).status, 200);
    let tokens = ["tokens", "global", "day"];
    assert_eq!(remaining(&server, &parent, tokens), 10_000 - 21);
    let response = send(
        &server,
        &child,
        &chat("gpt-4o", &json!({"max_tokens": 30_000})),
    );
    assert_eq!(response.status, 429, "{response:?}");
    assert!(
        response
            .text()
            .contains("a key that this one was made from"),
        "{response:?}"
    );
}
