//! `GET /v1/models` with a restricted key: what the key may call, and nothing else.

use serde_json::{Value, json};

use super::{assert_restricted, mint};
use crate::support::{Provider, Request, Server, ample_quotas};

/// Starts a provider with these models.
fn provider(models: &'static [&'static str]) -> Provider {
    Provider::start(move |request, wire| {
        let all: Vec<Value> = models.iter().map(|id| json!({"id": id})).collect();
        let is_list = request.target.ends_with("/models") || request.target.contains("/models?");
        let body = if is_list {
            json!({"data": all})
        } else {
            json!({"id": "one"})
        };
        wire.json(200, &body);
    })
}

fn ids(list: &Value) -> Vec<&str> {
    let models = list["data"].as_array().expect("a list");
    models
        .iter()
        .map(|model| model["id"].as_str().expect("an id"))
        .collect()
}

#[test]
fn a_list_has_what_the_key_may_call_and_nothing_else() {
    let openai = provider(&["gpt-a", "gpt-b", "gpt-a/sub"]);
    let groq = provider(&["llama", "gpt-a"]);
    let anthropic = provider(&["claude-a", "claude-b"]);
    let server = Server::with_loopback_egress(&[]);
    let entry = |id: &str, provider: &Provider| json!({"serviceId": id, "authSecret": "sk", "url": provider.url()});
    let grant = json!({
        "serviceSecrets": [
            entry("chat:openai.com", &openai),
            entry("chat:groq.com", &groq),
            entry("chat:anthropic.com", &anthropic),
        ],
        "modelAliases": {
            "fast": "chat:groq.com/llama", "good": "chat:openai.com/gpt-b", "clever": "chat:anthropic.com/claude-a",
        },
    });
    let everything = [
        "gpt-a",
        "gpt-b",
        "gpt-a/sub",
        "groq.com/llama",
        "groq.com/gpt-a",
        "fast",
        "good",
    ];
    let rows: [(Value, &[&str], &[&str]); 9] = [
        (json!([]), &everything, &["claude-a", "claude-b", "clever"]),
        (json!({"services": []}), &[], &[]),
        (json!({"services": ["aisbreaker:"]}), &[], &[]),
        (
            json!({"services": ["chat:"]}),
            &everything,
            &["claude-a", "claude-b", "clever"],
        ),
        (
            json!({"services": ["chat:groq.com"]}),
            &["llama", "gpt-a", "fast"],
            &[],
        ),
        (
            json!({"services": ["chat:openai.com/gpt-a"]}),
            &["gpt-a", "gpt-a/sub"],
            &[],
        ),
        (
            json!({"services": ["chat:openai.com/gpt-b"]}),
            &["gpt-b", "good"],
            &[],
        ),
        (
            json!([{"services": ["chat:anthropic.com", "chat:openai.com"]}, {"services": ["chat:anthropic.com/claude-a"]}]),
            &[],
            &["claude-a", "clever"],
        ),
        (
            json!({"services": ["chat:openai.com/gpt-b", "chat:groq.com/llama"]}),
            &["gpt-b", "llama", "fast", "good"],
            &[],
        ),
    ];
    for (restrict, expected_openai, expected_anthropic) in rows {
        let key = mint(&server, &ample_quotas(), grant.clone(), &restrict);
        let list = |request: Request| {
            let response = server.send(&request);
            assert_eq!(response.status, 200, "{restrict}: {response:?}");
            response.json()
        };
        // Those of the dummy are allowed where every chat is.
        let dummies: &[&str] = match expected_openai == everything {
            true => &["dummy", "dummy/echo"],
            false => &[],
        };
        for path in ["/v1/models", "/openai/v1/models", "/v1/models/"] {
            let found = list(Request::get(path).bearer(&key));
            assert_eq!(
                ids(&found),
                [expected_openai, dummies].concat(),
                "{restrict} {path}"
            );
        }
        let found = list(Request::get("/anthropic/v1/models").header("x-api-key", &key));
        assert_eq!(
            ids(&found),
            [expected_anthropic, dummies].concat(),
            "{restrict}"
        );
    }
}

#[test]
fn providers_that_are_not_allowed_are_not_even_asked() {
    let openai = provider(&["gpt-a"]);
    let groq = provider(&["llama"]);
    let server = Server::with_loopback_egress(&[]);
    let grant = json!({"serviceSecrets": [
        {"serviceId": "chat:openai.com", "authSecret": "sk", "url": openai.url()},
        {"serviceId": "chat:groq.com", "authSecret": "sk", "url": groq.url()},
    ]});
    let restrict = json!({"services": ["chat:groq.com/llama"]});
    let key = mint(&server, &ample_quotas(), grant, &restrict);

    let listed = server.send(&Request::get("/v1/models").bearer(&key));
    let found = server.send(&Request::get("/v1/models/llama").bearer(&key));
    let named = server.send(&Request::get("/v1/models/groq.com/llama").bearer(&key));

    assert_eq!(ids(&listed.json()), ["llama"]);
    assert_eq!((found.status, named.status), (200, 200));
    for model in [
        "gpt-a",
        "openai.com/gpt-a",
        "groq.com/other",
        "chat:openai.com",
    ] {
        for method in ["GET", "HEAD"] {
            let path = format!("/v1/models/{model}");
            let response = server.send(&Request::new(method, &path).bearer(&key));
            assert_eq!(response.status, 403, "{model}: {response:?}");
            if method == "GET" {
                assert_restricted(model, &response, 403, "services");
            }
        }
    }
    assert_eq!(openai.connections(), 0);
    assert_eq!(groq.requests().len(), 3);
}
