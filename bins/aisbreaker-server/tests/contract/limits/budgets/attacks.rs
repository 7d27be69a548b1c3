//! Ways to spend more than a budget shows.

use serde_json::{Value, json};

use super::{USD, chat, key, remaining, send};
use crate::support::{
    Provider, Request, Server, ample_quotas, call,
    openai::completion,
    provider_api::{CHAT, post_with_key},
    service,
};

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
    let call = call(service("chat:openai.com/gpt-99"), "Hi");
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
        "requestQuotas": ample_quotas(),
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
    let asked = server.send(&Request::get("/api/v1/quota").bearer(&child));
    let nearest = asked.json()["ancestors"][0].clone();
    assert_eq!(nearest["level"], 1, "{nearest}");
    let limits = nearest["limits"].as_array().unwrap();
    let of_parent = limits.iter().find(|limit| limit["unit"] == "tokens");
    assert_eq!(of_parent.unwrap()["remaining"], 10_000 - 21, "{nearest}");
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

/// Returns the members of a key for this provider, with fallbacks for calls of OpenAI's service.
fn with_fallback(provider: &Provider, budgets: &Value, fallback: &[&str]) -> Value {
    json!({"requestAuthAndQuotas": {
        "requestQuotas": ample_quotas(),
        "budgets": budgets,
        "serviceSecrets": [
            {"serviceId": "chat:openai.com", "authSecret": "sk-x", "url": provider.url(),
             "fallback": fallback},
            {"serviceId": "chat:mistral.ai", "authSecret": "sk-y", "url": provider.url()},
        ],
    }})
}

#[test]
fn a_fallback_behind_a_filter_is_priced_as_well() {
    let provider = Provider::with_response(200, completion("Hello"));
    let server = Server::with_loopback_egress(&[]);
    let budgets = json!({"global": {"usdPerDay": "1"}});
    let key = server.mint(&with_fallback(
        &provider,
        &budgets,
        &["chat:mistral.ai/gpt-99"],
    ));
    let inner = service("chat:openai.com/gpt-4o-mini");
    let mut filtered = inner.clone();
    for _ in 0..3 {
        filtered = json!({"serviceId": "aisbreaker:mirror", "forward2ServiceProps": filtered});
    }
    for service in [inner, filtered] {
        let response = server.process(&key, &call(service.clone(), "Hi"));
        assert_eq!(response.status, 403, "{service}: {response:?}");
        assert!(response.text().contains("mistral.ai"), "{response:?}");
    }
    assert_eq!(provider.requests().len(), 0);
    assert_eq!(remaining(&server, &key, USD), "1");
}

/// Of several services, the dearest one that may have answered is charged for.
#[test]
fn an_answer_of_a_fallback_is_not_at_the_price_of_the_first_service() {
    let provider = Provider::start(|received, wire| {
        if received.json()["model"] == "gpt-4o-mini" {
            wire.json(500, &json!({"error": {"message": "busy"}}));
        } else {
            wire.json(200, &completion("Hello"));
        }
    });
    let server = Server::with_loopback_egress(&[]);
    let budgets = json!({"global": {"usdPerDay": "1"}});
    let fallback = ["chat:openai.com/gpt-4o"];
    let key = server.mint(&with_fallback(&provider, &budgets, &fallback));
    let request = call(service("chat:openai.com/gpt-4o-mini"), "Hi");
    let response = server.process(&key, &request);
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(provider.requests().len(), 2);
    // 9 tokens in and 12 out at 2.50 and 10 dollars a million.
    assert_eq!(remaining(&server, &key, USD), "0.9998575");
}

#[test]
fn options_of_a_call_do_not_choose_dearer_models_or_longer_answers() {
    let provider = Provider::with_response(200, completion("Hello"));
    let server = Server::with_loopback_egress(&[]);
    let budgets = json!({"global": {"usdPerDay": "1", "tokensPerDay": 5_000}});
    let key = key(&server, &provider, &budgets);
    for (options, status) in [
        (json!({"models": ["gpt-99"]}), 400),
        (json!({"Fallbacks": ["gpt-99"]}), 400),
        (json!({"Model": "gpt-99"}), 400),
        (
            json!({"max_tokens": 1, "generationConfig": {"maxOutputTokens": 30_000}}),
            429,
        ),
        (json!({"max_tokens": 1, "n": 6_000}), 429),
        (json!({"max_tokens": 100}), 200),
    ] {
        let mut request = call(service("chat:openai.com/gpt-4o"), "Hi");
        request["request"]["internOptions"] = options.clone();
        let response = server.process(&key, &request);
        assert_eq!(response.status, status, "{options}: {response:?}");
    }
    assert_eq!(provider.requests().len(), 1);
}

/// A provider of OpenAI's responses repeats the schema of the request in its first event.
#[test]
fn a_schema_is_not_mistaken_for_the_usage_of_a_stream() {
    let schema = json!({"usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}});
    let format = json!({"format": {"type": "json_schema", "name": "x", "schema": schema}});
    let created = json!({"type": "response.created",
        "response": {"id": "resp_1", "text": format, "usage": null}});
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        wire.chunk(format!("event: response.created\ndata: {created}\n\n"));
        wire.close();
    });
    let server = Server::with_loopback_egress(&[]);
    let budgets = json!({"global": {"tokensPerDay": 1_000_000}});
    let key = key(&server, &provider, &budgets);
    let body = json!({"model": "gpt-4o", "input": "Hi".repeat(10_000), "text": format,
        "max_output_tokens": 16, "stream": true})
    .to_string();
    let input = u64::try_from(body.len()).unwrap().div_ceil(2);
    let request = post_with_key("/v1/responses", &key, body).header("x-request-id", "schema");
    let mut connection = server.connect();
    connection.write(&request.to_bytes());
    connection.response_to("POST");
    server.wait_for_request("schema");
    let tokens = ["tokens", "global", "day"];
    assert_eq!(remaining(&server, &key, tokens), 1_000_000 - input - 16);
}
