//! The table of ways round a limit of a key by resources: batches, fine-tunes and stored objects name
//! models where nobody looks, and spend when nobody counts.

use serde_json::{Value, json};

use super::mint;
use crate::support::{
    Provider, Request, Response, Server, ample_quotas,
    families::ResourceRequest,
    offline_key,
    provider_api::{CHAT, post_with_key},
    quotas,
};

/// The families that spend.
const SPENDING: [&str; 8] = [
    "batches",
    "messages/batches",
    "vector_stores",
    "containers",
    "conversations",
    "fine_tuning",
    "evals",
    "videos",
];
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What a key may do at a family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expected {
    Allowed,
    /// Refused with a message that has this text.
    Refused(&'static str),
    /// Refused where the family spends.
    RefusedIfSpending(&'static str),
}

const SERVICES: Expected = Expected::Refused("the key's restriction `services` does not allow");
const OPERATIONS: Expected = Expected::Refused("the key's restriction `operations` does not allow");
const ENGINE: Expected = Expected::Refused("the secret in the key is for one model only");
const BUDGETS: Expected = Expected::RefusedIfSpending("the key has budgets");

/// Returns a grant for both dialects, whose entries have this behind the name of the service.
fn services(provider: &Provider, engine: &str) -> Value {
    let entry = |vendor: &str| json!({"serviceId": format!("chat:{vendor}{engine}"), "authSecret": "sk", "url": provider.url()});
    json!({"serviceSecrets": [entry("openai.com"), entry("anthropic.com")]})
}

/// Exchanges a key for one with these restrictions more.
fn child(server: &Server, parent: &str, restrict: &Value) -> String {
    let body = json!({
        "grant_type": EXCHANGE,
        "subject_token": parent,
        "subject_token_type": ACCESS_TOKEN,
        "restrict": restrict,
    });
    let response = server.send(&Request::post("/api/v1/oauth/token", body.to_string()));
    let key = response.json()["access_token"].as_str().map(str::to_owned);
    key.unwrap_or_else(|| panic!("{response:?}"))
}

/// Sends every request of every family with a key that `key_for` makes for the family.
#[track_caller]
fn assert_families(
    (row, server, provider): (&str, &Server, &Provider),
    key_for: impl Fn(&str) -> String,
    expected: Expected,
) {
    let mut key = (String::new(), String::new());
    let mut connection = server.connect();
    for resource in ResourceRequest::all() {
        let family = resource.family;
        if key.0 != family {
            key = (family.to_owned(), key_for(family));
        }
        let arrived = provider.requests().len();
        let content = br#"{"model": "other", "endpoint": "/v1/chat/completions"}"#;
        let response = connection.send(&resource.request(&key.1, content));
        let reason = match expected {
            Expected::Allowed => None,
            Expected::RefusedIfSpending(_) if !SPENDING.contains(&family) => None,
            Expected::RefusedIfSpending(reason) | Expected::Refused(reason) => Some(reason),
        };
        let row = format!("{row}: {resource:?}");
        match reason {
            None => assert_eq!(response.status, 200, "{row}: {response:?}"),
            Some(reason) => assert_refused(&row, &response, (reason, family)),
        }
        let has_arrived = provider.requests().len() > arrived;
        assert_eq!(has_arrived, reason.is_none(), "{row}");
    }
}

#[track_caller]
fn assert_refused(row: &str, response: &Response, (reason, family): (&str, &str)) {
    assert_eq!(response.status, 403, "{row}: {response:?}");
    let message = response.message();
    assert!(message.contains(reason), "{row}: {message}");
    let names_service = reason.ends_with("chat:");
    assert!(
        names_service || message.contains(family),
        "{row}: {message}"
    );
}

#[test]
fn no_limit_of_a_key_is_got_round_by_resources() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let whole = services(&provider, "");
    let engine = services(&provider, "/gpt-4o");
    let mut budgeted = whole.clone();
    budgeted["budgets"] = json!({"global": {"tokensPerDay": 1_000_000}});
    let mut in_dollars = whole.clone();
    in_dollars["budgets"] = json!({"perClient": {"usdPerDay": 10}});
    let model = json!(["chat:openai.com/gpt-4o", "chat:anthropic.com/gpt-4o"]);
    let service = json!(["chat:openai.com", "chat:anthropic.com"]);
    let named = json!(["chat/completions", "{family}"]);
    let rows = [
        ("no limit", &whole, json!([]), Expected::Allowed),
        (
            "clients",
            &whole,
            json!([{"clients": ["127.0.0.0/8", "::1"]}]),
            Expected::Allowed,
        ),
        (
            "other operations",
            &whole,
            json!([{"operations": ["chat/completions"]}]),
            OPERATIONS,
        ),
        (
            "this operation",
            &whole,
            json!([{"operations": named}]),
            Expected::Allowed,
        ),
        (
            "this and others",
            &whole,
            json!([{"operations": named}, {"operations": ["chat/completions"]}]),
            OPERATIONS,
        ),
        ("one model", &whole, json!([{"services": model}]), SERVICES),
        (
            "whole services",
            &whole,
            json!([{"services": service}]),
            SERVICES,
        ),
        (
            "one model, and this operation",
            &whole,
            json!([{"services": model, "operations": named}]),
            Expected::Allowed,
        ),
        (
            "one model, and this operation beside it",
            &whole,
            json!([{"services": model}, {"operations": named}]),
            SERVICES,
        ),
        (
            "one model, and another operation",
            &whole,
            json!([{"services": model, "operations": ["chat/completions"]}]),
            OPERATIONS,
        ),
        (
            "no service, and this operation",
            &whole,
            json!([{"services": [], "operations": named}]),
            Expected::Refused("the key's restriction `services` does not allow chat:"),
        ),
        ("a secret for one model", &engine, json!([]), ENGINE),
        (
            "a secret for one model, and other limits",
            &engine,
            json!([{"maxBodyBytes": 1000}]),
            ENGINE,
        ),
        (
            "a secret for one model, and this operation",
            &engine,
            json!([{"operations": named}]),
            Expected::Allowed,
        ),
        ("a budget in tokens", &budgeted, json!([]), BUDGETS),
        ("a budget in dollars", &in_dollars, json!([]), BUDGETS),
        (
            "a budget, and this operation",
            &budgeted,
            json!([{"operations": named}]),
            BUDGETS,
        ),
    ];
    for (row, grant, restrict, expected) in rows {
        let key_for = |family: &str| {
            let restrict = restrict.to_string().replace("{family}", family);
            let restrict = serde_json::from_str(&restrict).unwrap();
            mint(&server, &ample_quotas(), grant.clone(), &restrict)
        };
        assert_families((row, &server, &provider), key_for, expected);
    }
}

#[test]
fn the_holder_of_a_key_cannot_name_more_operations() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let whole = services(&provider, "");
    let mut budgeted = whole.clone();
    budgeted["budgets"] = json!({"global": {"tokensPerDay": 1_000_000}});
    let model = json!(["chat:openai.com/gpt-4o", "chat:anthropic.com/gpt-4o"]);
    let rows = [
        ("no limit", &whole, json!([]), Expected::Allowed),
        ("one model", &whole, json!([{"services": model}]), SERVICES),
        (
            "a secret for one model",
            &services(&provider, "/gpt-4o"),
            json!([]),
            ENGINE,
        ),
        ("a budget", &budgeted, json!([]), BUDGETS),
    ];
    for (row, grant, restrict, expected) in rows {
        let parent = mint(&server, &ample_quotas(), grant.clone(), &restrict);
        let exchanged = |family: &str| {
            let more = json!({"operations": [family, "chat/completions"]});
            child(&server, &parent, &more)
        };
        assert_families((row, &server, &provider), exchanged, expected);
        let nested = |family: &str| {
            let more = json!([{"operations": [family, "chat/completions"]}]);
            let mut claims = offline_key::claims(&json!({"restrict": more}));
            claims["parent"] = json!(parent);
            offline_key::seal(&server, &claims)
        };
        assert_families((row, &server, &provider), nested, expected);
    }
}

#[test]
fn an_entry_for_a_whole_service_is_used_before_one_for_a_model() {
    let (limited, whole) = (
        Provider::with_response(200, json!({})),
        Provider::with_response(200, json!({})),
    );
    let server = Server::with_loopback_egress(&[]);
    let grant = json!({"serviceSecrets": [
        {"serviceId": "chat:openai.com/gpt-4o", "authSecret": "one", "url": limited.url()},
        {"serviceId": "chat:groq.com", "authSecret": "all", "url": whole.url()},
    ]});
    let key = mint(&server, &ample_quotas(), grant, &json!([]));

    let response = server.send(&Request::get("/v1/files").bearer(&key));

    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(
        whole.only_request().header("authorization"),
        Some("Bearer all")
    );
    assert!(limited.requests().is_empty());
}

#[test]
fn a_key_for_one_model_does_not_delete_it() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let (whole, engine) = (services(&provider, ""), services(&provider, "/ft:a"));
    let model = json!(["chat:openai.com/ft:a"]);
    let fine_tuning = json!(["fine_tuning"]);
    let rows = [
        (&engine, json!([]), 403),
        (&engine, json!([{"operations": fine_tuning}]), 200),
        (&whole, json!([{"services": model}]), 403),
        (&whole, json!([{"operations": ["models/{id}"]}]), 403),
        (
            &whole,
            json!([{"services": model, "operations": fine_tuning}]),
            200,
        ),
        (&whole, json!([]), 200),
    ];
    for (grant, restrict, status) in rows {
        let key = mint(&server, &ample_quotas(), grant.clone(), &restrict);
        for path in [
            "/v1/models/ft:a",
            "/v1/models/openai.com/ft:a",
            "/v1/models/chat:openai.com/ft:a",
        ] {
            let arrived = provider.requests().len();
            let response = server.send(&Request::new("DELETE", path).bearer(&key));
            assert_eq!(response.status, status, "{path} {restrict}: {response:?}");
            assert_eq!(
                provider.requests().len() - arrived,
                usize::from(status == 200)
            );

            let read = server.send(&Request::get(path).bearer(&key));
            assert_eq!(read.status, 200, "{path} {restrict}: {read:?}");
        }
    }
}

#[test]
fn nobody_reaches_the_resources_of_the_default_key_unless_it_names_them() {
    let provider = Provider::with_response(200, json!({}));
    let minting = Server::with_loopback_egress(&[]);
    let default = Expected::Refused("needs a key of the caller's own");
    let operations = json!(["chat/completions", "files", "skills", "uploads"]);
    for (restrict, is_named) in [
        (json!([]), false),
        (json!([{"operations": operations}]), true),
    ] {
        let key = mint(
            &minting,
            &ample_quotas(),
            services(&provider, ""),
            &restrict,
        );
        let server = Server::with_loopback_egress(&[("DEFAULT_AISBREAKER_API_KEY", &key)]);
        if !is_named {
            assert_families(("default", &server, &provider), |_| String::new(), default);
        }
        for path in ["/v1/files", "/v1/skills/pptx"] {
            let response = server.send(&Request::get(path));
            let status = if is_named { 200 } else { 403 };
            assert_eq!(response.status, status, "{path}: {response:?}");
        }
        let response = server.send(&post_with_key(CHAT, "", r#"{"model":"m"}"#));
        assert_eq!(response.status, 200, "{response:?}");
        // The same key, sent by its holder.
        let response = server.send(&Request::get("/v1/files").bearer(&key));
        assert_eq!(response.status, 200, "{response:?}");
    }
}

#[test]
fn a_refused_request_is_not_charged() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let quotas = quotas([1; 3], [1; 3]);
    let restrict = json!([{"services": ["chat:openai.com"]}]);
    let key = mint(&server, &quotas, services(&provider, ""), &restrict);
    for _ in 0..3 {
        let response = server.send(&Request::get("/v1/files").bearer(&key));
        assert_eq!(response.status, 403, "{response:?}");
    }

    let response = server.send(&post_with_key(CHAT, &key, r#"{"model":"m"}"#));

    assert_eq!(response.status, 200, "{response:?}");
}
