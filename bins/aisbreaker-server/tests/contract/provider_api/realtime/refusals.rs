//! Keys that open no WebSocket: refused before the handshake is answered, and before anything is
//! charged.

use serde_json::{Value, json};

use super::{PATH, echoing_provider, key, key_with, open};
use crate::support::{
    Provider, Response, Server, ample_quotas, grant, provider_api::OPENAI_SECRET, quotas,
    websocket::handshake,
};

/// The ways round what a key may do: each key is asked for a model that it has.
#[test]
fn a_key_that_messages_could_get_round_opens_none() {
    let provider = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let entry =
        |id: &str| json!({"serviceId": id, "authSecret": OPENAI_SECRET, "url": provider.url()});
    let mint = |entries: &[&str], more: Value| {
        let entries: Vec<_> = entries.iter().map(|id| entry(id)).collect();
        let mut grant = json!({"requestQuotas": ample_quotas(), "serviceSecrets": entries});
        for (name, value) in more.as_object().unwrap() {
            grant[name] = value.clone();
        }
        server.mint(&json!({"requestAuthAndQuotas": grant, "expirationTimeSpan": "1h"}))
    };
    let whole = ["chat:openai.com"];
    let restricted = |restrict: Value| mint(&whole, json!({"restrict": restrict}));
    let rows = [
        (
            "budgets",
            mint(
                &whole,
                json!({"budgets": {"global": {"tokensPerDay": 1_000_000}}}),
            ),
            "budgets",
        ),
        (
            "an entry that names a model",
            mint(&["chat:openai.com/gpt-realtime"], json!({})),
            "single models",
        ),
        (
            "one of two entries names a model",
            mint(
                &["chat:openai.com/gpt-realtime", "chat:openai.com"],
                json!({}),
            ),
            "single models",
        ),
        (
            "an alias for a model that an entry names",
            mint(
                &["chat:openai.com/gpt-realtime"],
                json!({"modelAliases": {"gpt-realtime": "chat:openai.com/gpt-realtime"}}),
            ),
            "single models",
        ),
        (
            "a restriction to a model",
            restricted(json!({"services": ["chat:openai.com/gpt-realtime"]})),
            "`services`",
        ),
        (
            "a restriction to another service",
            restricted(json!({"services": ["chat:anthropic.com"]})),
            "`services`",
        ),
        (
            "a restriction to no service",
            restricted(json!({"services": []})),
            "`services`",
        ),
        (
            "a restriction to other operations",
            restricted(json!({"operations": ["responses", "chat/completions"]})),
            "`operations`",
        ),
        (
            "a limit of the size of bodies",
            restricted(json!({"maxBodyBytes": 1_000_000})),
            "`maxBodyBytes`",
        ),
        (
            "other clients",
            restricted(json!({"clients": ["192.0.2.0/24"]})),
            "`clients`",
        ),
    ];
    for (row, key, message) in rows {
        let paths = [PATH, "/openai/v1/realtime?model=openai.com/gpt-realtime"];
        for path in paths {
            let response = server.send(&handshake(path).bearer(&key));
            assert_openai_error(row, &response, 403, message);
            assert_eq!(response.header("ratelimit"), None, "{row}: it is charged");
        }
    }
    assert_eq!(provider.connections(), 0);
}

#[track_caller]
fn assert_openai_error(row: &str, response: &Response, status: u16, message: &str) {
    assert_eq!(response.status, status, "{row}: {response:?}");
    let error = &response.json()["error"];
    assert!(error["type"].is_string(), "{row}: {response:?}");
    let text = error["message"].as_str().unwrap_or_default();
    assert!(text.contains(message), "{row}: {text}");
}

#[test]
fn a_key_with_the_whole_service_opens_one() {
    let provider = echoing_provider();
    let server = Server::with_loopback_egress(&[]);
    for restrict in [
        json!({"services": ["chat:openai.com"]}),
        json!({"services": ["chat:"], "operations": ["realtime"]}),
    ] {
        let key = key_with(&server, &provider, &json!({"restrict": restrict}));
        let (_, websocket) = server.open_websocket(&open(&key));
        drop(websocket);
    }
}

#[test]
fn a_caller_who_is_not_known_or_has_no_service_opens_none() {
    let provider = Provider::trap();
    let server = Server::with_loopback_egress(&[("AISBREAKER_REQUIRE_KEY", "true")]);
    let valid = key(&server, &provider);
    let anthropic = server.mint_with_secrets(&json!([
        {"serviceId": "chat:anthropic.com", "authSecret": "sk", "url": provider.url()},
    ]));
    for (row, request, status) in [
        ("altered", open(&format!("{valid}x")), 401),
        ("no key", handshake(PATH), 401),
        (
            "no bearer",
            handshake(PATH).header("Authorization", "Basic eA=="),
            401,
        ),
        (
            "no service",
            handshake("/v1/realtime?model=chat:groq.com/x").bearer(&valid),
            404,
        ),
        ("another dialect", open(&anthropic), 404),
    ] {
        assert_openai_error(row, &server.send(&request), status, "");
    }
    assert_eq!(provider.connections(), 0);
}

#[test]
fn a_handshake_is_charged_once_whatever_is_said() {
    let provider = echoing_provider();
    let server = Server::with_loopback_egress(&[]);
    let secrets = json!([
        {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()},
    ]);
    let key = server.mint(&grant(&quotas([2; 3], [2; 3]), &secrets));

    let (first, mut websocket) = server.open_websocket(&open(&key));
    for _ in 0..5 {
        websocket.send("{}".into()).unwrap();
        websocket.read().unwrap();
    }
    let (second, _websocket) = server.open_websocket(&open(&key));
    let third = server.send(&open(&key));

    let remaining = "x-ratelimit-remaining-requests";
    assert_eq!(first.header(remaining), Some("1"));
    assert_eq!(second.header(remaining), Some("0"));
    assert_openai_error("third", &third, 429, "");
    assert!(third.header("retry-after").is_some());
    websocket.send("{}".into()).unwrap();
    assert!(websocket.read().is_ok(), "the first goes on");
}
