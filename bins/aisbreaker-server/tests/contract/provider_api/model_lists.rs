//! `GET /v1/models`: lists of all services of a key, including providers that are hostile or silent,
//! since anybody may seal a key that names one.

use serde_json::{Value, json};

use crate::support::{Provider, Request, Response, Server, ample_quotas, grant};

/// Starts a provider with models in both dialects.
fn model_provider() -> Provider {
    Provider::start(|request, wire| {
        let target = request.target.clone();
        let body = match target.split('?').next().unwrap() {
            "/v1/models" if request.header("x-api-key").is_some() => json!({"data": [
                {"type": "model", "id": "claude-x", "display_name": "Claude X", "created_at": "2025-02-19T00:00:00Z"},
            ], "has_more": false, "first_id": "claude-x", "last_id": "claude-x"}),
            "/v1/models" => json!({"object": "list", "data": [
                {"id": "gpt-4o", "object": "model", "created": 1_700_000_000, "owned_by": "system", "extra": [1]},
                {"id": "openai.com/odd", "object": "model", "created": 1, "owned_by": "system"},
            ]}),
            "/openai/v1/models" => {
                json!({"object": "list", "data": [{"id": "llama", "object": "model"}]})
            }
            "/v1/models/gpt-4o" | "/v1/models/a/b" => {
                json!({"id": "one", "object": "model", "zz": 1.50})
            }
            _ => return wire.json(404, &json!({"error": {"message": "no"}})),
        };
        wire.json(200, &body);
    })
}

/// The names of the models of a list, without those of the dummy, which every list ends with.
#[track_caller]
pub(super) fn ids(list: &Value) -> Vec<&str> {
    let models = list["data"].as_array().unwrap().iter();
    let mut ids: Vec<&str> = models.map(|model| model["id"].as_str().unwrap()).collect();
    let dummies = ids.split_off(ids.len() - 2);
    assert_eq!(dummies, ["dummy", "dummy/echo"]);
    ids
}

fn assert_openai_list(list: &Value) {
    assert_eq!(list["object"], "list");
    assert_eq!(
        ids(list),
        [
            "gpt-4o",
            "openai.com/openai.com/odd",
            "groq.com/llama",
            "fast"
        ]
    );
    assert_eq!(
        list["data"][0],
        json!({"id": "gpt-4o", "object": "model", "created": 1_700_000_000, "owned_by": "system", "extra": [1]})
    );
    let llama = &list["data"][2];
    assert_eq!(
        (&llama["object"], &llama["created"], &llama["owned_by"]),
        (&json!("model"), &json!(0), &json!("groq.com"))
    );
}

fn assert_anthropic_list(list: &Value) {
    assert_eq!(ids(list), ["claude-x", "clever"]);
    assert_eq!(
        (&list["has_more"], &list["first_id"], &list["last_id"]),
        (&json!(false), &json!("claude-x"), &json!("dummy/echo"))
    );
    let (claude, alias) = (&list["data"][0], &list["data"][1]);
    assert_eq!(claude["created_at"], "2025-02-19T00:00:00Z");
    assert_eq!(
        (&claude["display_name"], &alias["type"]),
        (&json!("Claude X"), &json!("model"))
    );
    assert_eq!(
        (&claude["lifecycle"], &alias["lifecycle"]),
        (&json!("active"), &json!("active"))
    );
}

#[test]
fn models_of_all_services_have_callable_names() {
    let provider = model_provider();
    let server = Server::with_loopback_egress(&[]);
    let mut grant_body = grant(
        &ample_quotas(),
        &json!([
            {"serviceId": "chat:openai.com", "authSecret": "o", "url": provider.url()},
            {"serviceId": "chat:groq.com", "authSecret": "g", "url": provider.url()},
            {"serviceId": "chat:anthropic.com", "authSecret": "a", "url": provider.url()},
            {"serviceId": "chat:mistral.ai/only", "authSecret": "m", "url": "http://127.0.0.1:1"},
            {"serviceId": "", "authSecret": "INVALID"},
        ]),
    );
    grant_body["requestAuthAndQuotas"]["modelAliases"] = json!({
        "fast": "chat:groq.com/llama",
        "clever": "chat:anthropic.com/claude-x",
        "..": "chat:groq.com/llama",
        "gone": "chat:cohere.com/command",
    });
    let key = server.mint(&grant_body);

    let openai_response = server.send(&Request::get("/v1/models").bearer(&key));
    assert_eq!(openai_response.status, 200, "{}", openai_response.text());
    assert_openai_list(&openai_response.json());

    let anthropic_response = server.send(
        &Request::get("/v1/models?limit=5")
            .header("x-api-key", &key)
            .header("anthropic-version", "2023-06-01"),
    );
    assert_anthropic_list(&anthropic_response.json());
}

#[test]
fn models_of_the_other_dialect_are_not_listed() {
    let provider = model_provider();
    let server = Server::with_loopback_egress(&[]);
    let services = [("chat:openai.com", false), ("chat:anthropic.com", true)];
    for (service, is_anthropic) in services {
        let secrets = json!([{"serviceId": service, "authSecret": "s", "url": provider.url()}]);
        let key = server.mint_with_secrets(&secrets);
        let openai = Request::get("/v1/models").bearer(&key);
        let anthropic = Request::get("/v1/models").header("x-api-key", &key);
        let bearer_anthropic = openai.clone().header("anthropic-version", "2023-06-01");
        let rows = [
            (openai, false),
            (anthropic, true),
            (bearer_anthropic, true),
            (Request::get("/openai/v1/models").bearer(&key), false),
            (Request::get("/anthropic/v1/models").bearer(&key), true),
        ];
        for (request, asks_anthropic) in rows {
            let response = server.send(&request);
            assert_eq!(response.status, 200, "{service}: {request:?}");
            let list = response.json();
            assert_eq!(
                ids(&list).is_empty(),
                asks_anthropic != is_anthropic,
                "{service}: {request:?}"
            );
        }
    }
}

#[test]
fn provider_is_asked_with_the_fields_of_the_caller() {
    let provider = model_provider();
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(
        &json!([{"serviceId": "chat:openai.com", "authSecret": "o", "url": provider.url()}]),
    );
    let kept = [
        ("openai-project", "project"),
        ("user-agent", "sdk/1"),
        ("x-stainless-lang", "js"),
    ];
    let dropped = [
        ("cookie", "canary"),
        ("x-forwarded-for", "192.0.2.1"),
        ("if-none-match", "\"a\""),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("range", "bytes=0-1"),
        ("accept", "text/html"),
        ("content-type", "application/json"),
    ];
    let list = |organization: &str| {
        let mut request = Request::get("/v1/models").bearer(&key);
        for (name, value) in kept.iter().chain(&dropped) {
            request = request.header(name, value);
        }
        let request = request.header("OpenAI-Organization", organization);
        assert_eq!(server.send(&request).status, 200);
        provider.requests()
    };

    assert_eq!(list("one").len(), 1);
    // The list depends on the account.
    assert_eq!(list("two").len(), 2);
    let received = list("two");
    assert_eq!(received.len(), 2, "the second list is cached");
    for (request, organization) in received.iter().zip(["one", "two"]) {
        assert_eq!(request.header("openai-organization"), Some(organization));
        assert_eq!(request.header("authorization"), Some("Bearer o"));
        for (name, value) in kept {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        for (name, value) in dropped {
            assert_ne!(request.header(name), Some(value), "{name}");
        }
    }
}

#[test]
fn list_is_cached_per_key() {
    let provider = model_provider();
    let server = Server::with_loopback_egress(&[]);
    let secrets =
        json!([{"serviceId": "chat:openai.com", "authSecret": "o", "url": provider.url()}]);
    let [one, other] = [(); 2].map(|()| server.mint_with_secrets(&secrets));
    let list = |key: &str| server.send(&Request::get("/v1/models").bearer(key));
    let first = list(&one);
    assert_eq!(
        (first.status, list(&one).text(), provider.requests().len()),
        (200, first.text(), 1)
    );
    assert_eq!((list(&other).status, provider.requests().len()), (200, 2));
    let head = server.send(&Request::new("HEAD", "/v1/models").bearer(&one));
    assert_eq!(
        (head.status, head.body.len(), provider.requests().len()),
        (200, 0, 2)
    );
}

#[test]
fn model_is_looked_up_at_the_service_it_names() {
    let provider = model_provider();
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(
        &json!([{"serviceId": "chat:openai.com", "authSecret": "o", "url": provider.url()}]),
    );
    for (name, target) in [
        ("gpt-4o", "/v1/models/gpt-4o"),
        ("openai.com/gpt-4o", "/v1/models/gpt-4o"),
        ("chat%3Aopenai.com%2Fa%2Fb", "/v1/models/a/b"),
    ] {
        let found = server.send(&Request::get(&format!("/v1/models/{name}")).bearer(&key));
        assert_eq!(
            (found.status, found.json()),
            (200, json!({"id": "one", "object": "model", "zz": 1.5})),
            "{name}"
        );
        assert_eq!(provider.requests().pop().unwrap().target, target);
    }
    let response = server.send(&Request::get("/v1/models/nothing").bearer(&key));
    assert_eq!(
        (response.status, response.text()),
        (404, r#"{"error":{"message":"no"}}"#)
    );
}

#[test]
fn reason_is_reported_when_no_list_is_available() {
    let provider = Provider::with_response(401, json!({"error": {}}));
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(
        &json!([{"serviceId": "chat:openai.com", "authSecret": "sk-canary", "url": provider.url()}]),
    );
    let response = server.send(&Request::get("/v1/models").bearer(&key));
    assert_eq!(response.status, 401);
    assert_eq!(
        response.message(),
        "chat:openai.com: the provider answered with status 401 Unauthorized"
    );
}

/// Starts a provider with this list.
fn provider_with_list(list: String) -> Provider {
    Provider::without_recording(move |_, wire| {
        wire.respond(200, &[("Content-Type", "application/json")], &list)
    })
}

/// Lists the models of these services, all of which are at this provider.
fn listed(server: &Server, names: &[&str], provider: &Provider) -> Response {
    let secret = |name: &&str| json!({"serviceId": format!("chat:{name}"), "authSecret": "o", "url": provider.url()});
    let key = server.mint_with_secrets(&Value::from(names.iter().map(secret).collect::<Vec<_>>()));
    server.send(&Request::get("/v1/models").bearer(&key))
}

fn count(list: &Response) -> usize {
    ids(&list.json()).len()
}

#[test]
fn long_lists_use_bounded_memory() {
    let short = r#"{"id":"a"},"#;
    let long = |model: &str| {
        format!(
            r#"{{"data":[{}{{"id":"z"}}]}}"#,
            model.repeat((4 << 20) / model.len() - 20)
        )
    };
    let rows = [
        ("many models", long(short), 200, 1_000),
        ("many models without a name", long("{},"), 200, 0),
        (
            "a deep model",
            long(&format!(r#"{{"id":"a","x":[{}0]}},"#, "[],".repeat(30_000))),
            200,
            1,
        ),
        (
            "longer than any",
            format!(r#"{{"data":[{}{{"id":"z"}}]}}"#, short.repeat(500_000)),
            502,
            0,
        ),
    ];
    let server = Server::with_loopback_egress(&[]);
    let names = [
        "openai.com",
        "mistral",
        "vllm",
        "ollama",
        "together",
        "together.xyz",
        "xai",
        "qwen",
    ];
    for (row, list, status, models) in rows {
        let provider = provider_with_list(list);
        let response = listed(&server, &names, &provider);
        assert_eq!(response.status, status, "{row}: {}", response.text());
        if status == 200 {
            assert_eq!(count(&response), models * names.len(), "{row}");
        }
    }
    // Without bounds, it would be over 2 GB.
    let peak = server.peak_memory();
    assert!(peak < 500 << 20, "{} MB", peak >> 20);
}

#[test]
fn at_most_twenty_services_are_listed() {
    let provider = Provider::with_response(200, json!({"data": [{"id": "m"}]}));
    let server = Server::with_loopback_egress(&[]);
    let names = [
        "openai.com",
        "gemini",
        "mistral",
        "groq",
        "deepseek",
        "xai",
        "together",
        "together.xyz",
        "fireworks",
        "perplexity",
        "openrouter",
        "cohere",
        "cohere.ai",
        "huggingface",
        "azure",
        "cerebras",
        "deepinfra",
        "moonshot",
        "kimi",
        "nvidia",
        "sambanova",
        "zai",
        "dashscope",
        "qwen",
    ];

    assert_eq!(count(&listed(&server, &names, &provider)), 20);

    assert_eq!(provider.requests().len(), 20);
}

#[test]
fn other_shapes_of_lists_are_accepted() {
    let server = Server::with_loopback_egress(&[]);
    let rows = [
        (
            "a list alone",
            r#" [{"id":"a"},{"id":"b","x":1.50}]"#,
            200,
            2,
        ),
        (
            "null, which Ollama sends for an empty list",
            r#"{"object":"list","data":null}"#,
            200,
            0,
        ),
        (
            "members that are no models",
            r#"{"data":[1,null,[],{"id":2},{"id":"a"}]}"#,
            200,
            1,
        ),
        ("no list", "{}", 200, 0),
        ("no JSON", "<html>", 502, 0),
    ];
    for (row, list, status, models) in rows {
        let response = listed(
            &server,
            &["openai.com"],
            &provider_with_list(list.to_owned()),
        );
        assert_eq!(response.status, status, "{row}: {}", response.text());
        if status == 200 {
            assert_eq!(count(&response), models, "{row}");
        }
    }
}

#[test]
fn silent_service_does_not_block_the_list() {
    let provider = Provider::start(|received, wire| match received.header("authorization") {
        Some("Bearer silent") => wire.hold(),
        _ => wire.json(200, &json!({"data": [{"id": "m"}]})),
    });
    let server = Server::with_loopback_egress(&[]);
    let secret = |name: &str, secret: &str| json!({"serviceId": name, "authSecret": secret, "url": provider.url()});
    let key = server.mint_with_secrets(&json!([
        secret("chat:groq.com", "silent"),
        secret("chat:openai.com", "o")
    ]));

    let response = server.send(&Request::get("/v1/models").bearer(&key));

    assert_eq!(
        (response.status, count(&response)),
        (200, 1),
        "{}",
        response.text()
    );
    assert_eq!(response.json()["data"][0]["id"], "openai.com/m");
}
