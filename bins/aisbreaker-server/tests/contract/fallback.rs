//! Services that stand in for others, aliases in keys, and lists of models.

use serde_json::{Value, json};

use super::{
    openai::{completion, stream_of},
    surface::post,
};
use crate::support::{
    Answer, Deaf, Provider, Request, Server, call, grant, roomy, service, streamed,
};

const CHAT: &str = "/v1/chat/completions";

/// A provider whose answer depends on the model that is asked for: a status, or a good answer.
fn provider() -> Provider {
    Provider::start(
        |received, wire| match received.json()["model"].as_str().unwrap() {
            "cut" => wire.cut(),
            model => match model.parse() {
                Ok(status) => wire.answer(
                    status,
                    &[("Retry-After", "7"), ("Content-Type", "application/json")],
                    "{}",
                ),
                Err(_) if received.json()["stream"] == true => {
                    wire.whole_stream(stream_of(&["a", "b"]))
                }
                Err(_) => wire.json(200, &completion(model)),
            },
        },
    )
}

/// A key for services of this provider, of which the first one has these to stand in.
fn key(server: &Server, url: &str, provider: &Provider, fallback: &Value) -> String {
    server.mint_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "one", "url": url, "fallback": fallback},
        {"serviceId": "chat:groq.com", "authSecret": "two", "url": provider.url()},
        {"serviceId": "chat:mistral.ai", "authSecret": "three", "url": provider.url()},
        {"serviceId": "chat:x.ai", "authSecret": "INVALID"},
    ]))
}

fn ask(server: &Server, key: &str, model: &str, id: &str) -> Answer {
    server.send(
        &post(CHAT, key, json!({"model": model, "n": 1.50}).to_string()).header("x-request-id", id),
    )
}

#[test]
fn another_service_is_called_when_the_first_one_fails() {
    let provider = provider();
    let deaf = Deaf::new();
    let server = Server::with_egress(&[("AISBREAKER_CONNECT_TIMEOUT", "300ms")]);
    let others = json!([
        "chat:x.ai/blocked",
        "chat:anthropic.com/other",
        "chat:groq.com/503",
        "chat:mistral.ai/good"
    ]);
    for (row, url, model, status) in [
        ("408", &provider.url(), "408", 408),
        ("429", &provider.url(), "429", 429),
        ("500", &provider.url(), "500", 500),
        ("529", &provider.url(), "529", 529),
        ("refused", &deaf.refusing_url(), "any", 503),
        ("never taken", &deaf.full_url(), "any", 504),
    ] {
        let key = key(&server, url, &provider, &others);
        let id = row.replace(' ', "-");
        let answered = ask(&server, &key, model, &id);

        assert_eq!(
            (answered.status, answered.content_of_openai()),
            (200, "good".to_owned()),
            "{row}"
        );
        let tried = format!(
            "\"chat:openai.com/{model}\";status={status}, \"chat:groq.com/503\";status=503, \
             \"chat:mistral.ai/good\";status=200"
        );
        assert_eq!(
            answered.header("x-aisbreaker-attempts"),
            Some(&*tried),
            "{row}"
        );
        let line = server.wait_for_request(&id);
        assert_eq!(
            (&line["attempts"], &line["service"]),
            (&json!(tried), &json!("chat:mistral.ai/good")),
            "{row}"
        );
        let received = provider.requests().pop().unwrap();
        assert_eq!(received.body, br#"{"model":"good","n":1.5}"#, "{row}");
        assert_eq!(
            received.header("authorization"),
            Some("Bearer three"),
            "{row}"
        );

        let processed = server.send(
            &Request::process(&call(service(&format!("chat:openai.com/{model}")), "Hi"))
                .bearer(&key)
                .header("x-request-id", format!("{id}-process")),
        );
        assert_eq!(processed.content(), "good", "{row}");
        assert_eq!(
            processed.json()["usage"]["service"]["serviceId"],
            "chat:mistral.ai/good",
            "{row}"
        );
        assert_eq!(
            processed.header("x-aisbreaker-attempts"),
            Some(&*tried),
            "{row}"
        );
        assert_eq!(
            server.wait_for_request(&format!("{id}-process"))["attempts"],
            tried,
            "{row}"
        );
    }
}

impl Answer {
    fn content_of_openai(&self) -> String {
        self.json()["choices"][0]["message"]["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

#[test]
fn what_another_service_would_not_do_better_is_answered_at_once() {
    let provider = provider();
    let server = Server::with_egress(&[]);
    let key = key(
        &server,
        &provider.url(),
        &provider,
        &json!("chat:groq.com/good"),
    );
    for (model, status) in [
        ("400", 400),
        ("401", 401),
        ("404", 404),
        ("422", 422),
        ("cut", 502),
    ] {
        let answered = ask(&server, &key, model, model);
        assert_eq!(answered.status, status, "{model}");
        let tried = format!("\"chat:openai.com/{model}\";status={status}");
        assert_eq!(
            answered.header("x-aisbreaker-attempts"),
            Some(&*tried),
            "{model}"
        );
        let processed = server.process(
            &key,
            &call(service(&format!("chat:openai.com/{model}")), "Hi"),
        );
        assert_eq!(processed.status, status, "{model}");
    }
    assert!(
        provider
            .requests()
            .iter()
            .all(|received| received.json()["model"] != "good")
    );
}

#[test]
fn no_other_service_is_called_that_cannot_know_what_is_meant() {
    let provider = Provider::with_answer(503, json!({"error": {"message": "later"}}));
    let server = Server::with_egress(&[]);
    let key = key(
        &server,
        &provider.url(),
        &provider,
        &json!(["chat:groq.com/good", "chat:mistral.ai"]),
    );
    let rows = [
        ("one response", Request::get("/v1/responses/resp_1"), 1),
        (
            "its input",
            Request::get("/v1/responses/resp_1/input_items"),
            1,
        ),
        ("its end", Request::new("DELETE", "/v1/responses/resp_1"), 1),
        (
            "its cancel",
            Request::new("POST", "/v1/responses/resp_1/cancel"),
            1,
        ),
        ("one model", Request::get("/v1/models/gpt-4o"), 1),
        // The model of the other service could not be written into it.
        (
            "no model",
            Request::new("POST", "/v1/responses").json(&json!({"prompt": {"id": "p"}})),
            2,
        ),
        (
            "a model",
            Request::new("POST", "/v1/responses").json(&json!({"model": "m"})),
            3,
        ),
    ];
    for (row, request, calls) in rows {
        let before = provider.requests().len();

        let answered = server.send(&request.bearer(&key));

        assert_eq!(
            (answered.status, answered.message().as_str()),
            (503, "later"),
            "{row}"
        );
        assert_eq!(provider.requests().len() - before, calls, "{row}");
    }
}

#[test]
fn the_last_failure_is_the_answer() {
    let provider = provider();
    let server = Server::with_egress(&[]);
    let key = key(
        &server,
        &provider.url(),
        &provider,
        &json!(["chat:groq.com/500", "chat:mistral.ai/429"]),
    );
    let answered = ask(&server, &key, "503", "a");
    assert_eq!(
        (
            answered.status,
            answered.header("retry-after"),
            answered.text()
        ),
        (429, Some("7"), "{}")
    );
    let processed = server.process(&key, &call(service("chat:openai.com/503"), "Hi"));
    assert_eq!(
        (processed.status, processed.header("retry-after")),
        (429, Some("7"))
    );
    let tried = processed.header("x-aisbreaker-attempts").unwrap();
    assert!(
        tried.ends_with("\"chat:mistral.ai/429\";status=429"),
        "{tried}"
    );
}

#[test]
fn a_service_that_cannot_be_called_does_not_hide_why_the_one_before_failed() {
    let provider = provider();
    let server = Server::with_egress(&[]);
    let key = server.mint_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "one", "url": provider.url(),
         "fallback": ["chat:azure.com/nowhere", "chat:groq.com", "chat:mistral.ai/429"]},
        {"serviceId": "chat:azure.com", "authSecret": "two"},
        {"serviceId": "chat:groq.com", "authSecret": "three", "url": "https://10.0.0.1"},
        {"serviceId": "chat:mistral.ai", "authSecret": "four", "url": provider.url()},
    ]));
    let tried = "\"chat:openai.com/503\";status=503, \"chat:mistral.ai/429\";status=429";
    let answered = ask(&server, &key, "503", "a");
    assert_eq!(
        (answered.status, answered.header("x-aisbreaker-attempts")),
        (429, Some(tried))
    );
    let processed = server.process(&key, &call(service("chat:openai.com/503"), "Hi"));
    assert_eq!(
        (processed.status, processed.header("x-aisbreaker-attempts")),
        (429, Some(tried))
    );
}

#[test]
fn a_stream_of_another_service_stands_in_before_the_first_byte_only() {
    let provider = provider();
    let server = Server::with_egress(&[]);
    let fallback = key(
        &server,
        &provider.url(),
        &provider,
        &json!("chat:groq.com/good"),
    );
    let request = post(CHAT, &fallback, r#"{"model":"503","stream":true}"#);
    let answered = server.send(&request);
    assert_eq!(
        (answered.status, answered.text()),
        (200, &*stream_of(&["a", "b"]))
    );

    let processed = server.process(
        &fallback,
        &streamed(call(service("chat:openai.com/503"), "Hi")),
    );
    let (progress, last) = processed.stream();
    assert_eq!(
        (progress.len(), &last["outputs"][0]["text"]["content"]),
        (2, &json!("ab"))
    );
    assert_eq!(last["usage"]["service"]["serviceId"], "chat:groq.com/good");

    let cut = Provider::start(|_, wire| {
        wire.stream();
        wire.chunk(super::openai::piece("a"));
        wire.cut();
    });
    let key = key(&server, &cut.url(), &provider, &json!("chat:groq.com/good"));
    let before = provider.requests().len();
    let answered = server.send(&post(CHAT, &key, r#"{"model":"m","stream":true}"#));
    assert!(answered.text().contains("\"error\""), "{}", answered.text());
    server
        .process(&key, &streamed(call(service("chat:openai.com/m"), "Hi")))
        .stream_error();
    assert_eq!(
        provider.requests().len(),
        before,
        "something was said already"
    );
}

#[test]
fn no_more_is_tried_when_the_time_of_the_request_is_over() {
    let silent = Provider::start(|_, wire| wire.hold());
    let provider = provider();
    let server = Server::with_egress(&[("AISBREAKER_PROVIDER_TIMEOUT", "200ms")]);
    let key = key(
        &server,
        &silent.url(),
        &provider,
        &json!("chat:groq.com/good"),
    );
    assert_eq!(ask(&server, &key, "m", "a").status, 504);
    assert_eq!(
        server
            .process(&key, &call(service("chat:openai.com/m"), "Hi"))
            .status,
        504
    );
    assert_eq!(provider.requests().len(), 0);
}

#[test]
fn a_key_with_a_member_that_cannot_be_used_is_not_minted() {
    let server = Server::start(&[]);
    let secret = |fallback: Value| json!([{"serviceId": "chat:openai.com", "authSecret": "s", "fallback": fallback}]);
    let path = "requestAuthAndQuotas.serviceSecrets[0].fallback";
    let many: Vec<String> = (0..9).map(|n| format!("chat:a/{n}")).collect();
    let rows = [
        (json!(7), format!("{path} must be a string")),
        (json!([7]), format!("{path} must be a string")),
        (
            json!(["chat:"]),
            format!("{path} must be service ids, such as 'chat:groq.com/llama-3.1-8b'"),
        ),
        (
            json!(many),
            format!("{path} must not name more than 8 services"),
        ),
    ];
    for (fallback, expected) in rows {
        let told = server.send(&Request::mint(&grant(&roomy(), &secret(fallback))));
        assert_eq!((told.status, told.message()), (400, expected));
    }
    let path = "requestAuthAndQuotas.modelAliases";
    let target = "must be a service id with a model, such as 'chat:openai.com/gpt-4o'";
    let rows = [
        (json!([]), format!("{path} must be an object")),
        (json!({"fast": 1}), format!("{path}.fast must be a string")),
        (json!({"fast": "gpt-4o"}), format!("{path}.fast {target}")),
        (
            json!({"fast": "chat:openai.com"}),
            format!("{path}.fast {target}"),
        ),
        (
            json!({"": "chat:openai.com/m"}),
            format!("{path} has a name that is not 1 to 128 bytes without control characters"),
        ),
    ];
    for (aliases, expected) in rows {
        let mut body = grant(&roomy(), &json!([]));
        body["requestAuthAndQuotas"]["modelAliases"] = aliases;
        let told = server.send(&Request::mint(&body));
        assert_eq!((told.status, told.message()), (400, expected));
    }
}

/// A provider of models in both dialects.
fn shop() -> Provider {
    Provider::start(|received, wire| {
        let target = received.target.clone();
        let told = match target.split('?').next().unwrap() {
            "/v1/models" if received.header("x-api-key").is_some() => json!({"data": [
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
        wire.json(200, &told);
    })
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect()
}

#[test]
fn models_of_all_services_are_listed_under_names_that_can_be_used() {
    let shop = shop();
    let server = Server::with_egress(&[]);
    let mut grant = grant(
        &roomy(),
        &json!([
            {"serviceId": "chat:openai.com", "authSecret": "o", "url": shop.url()},
            {"serviceId": "chat:groq.com", "authSecret": "g", "url": shop.url()},
            {"serviceId": "chat:anthropic.com", "authSecret": "a", "url": shop.url()},
            {"serviceId": "chat:mistral.ai/only", "authSecret": "m", "url": "http://127.0.0.1:1"},
            {"serviceId": "", "authSecret": "INVALID"},
        ]),
    );
    grant["requestAuthAndQuotas"]["modelAliases"] = json!({"fast": "chat:groq.com/llama"});
    let key = server.mint(&grant);

    let list = server.send(&Request::get("/v1/models").bearer(&key));
    assert_eq!(list.status, 200, "{}", list.text());
    let list = list.json();
    assert_eq!(list["object"], "list");
    assert_eq!(
        ids(&list),
        [
            "gpt-4o",
            "openai.com/openai.com/odd",
            "groq.com/llama",
            "anthropic.com/claude-x",
            "fast"
        ]
    );
    assert_eq!(
        list["data"][0],
        json!({"id": "gpt-4o", "object": "model", "created": 1_700_000_000, "owned_by": "system", "extra": [1]})
    );
    let claude = &list["data"][3];
    assert_eq!(
        (&claude["object"], &claude["created"], &claude["owned_by"]),
        (
            &json!("model"),
            &json!(1_739_923_200),
            &json!("anthropic.com")
        )
    );

    let list = server.send(
        &Request::get("/v1/models?limit=5")
            .header("x-api-key", &key)
            .header("anthropic-version", "2023-06-01"),
    );
    let list = list.json();
    assert_eq!(
        ids(&list),
        [
            "openai.com/gpt-4o",
            "openai.com/openai.com/odd",
            "groq.com/llama",
            "claude-x",
            "fast"
        ]
    );
    assert_eq!(
        (&list["has_more"], &list["first_id"], &list["last_id"]),
        (&json!(false), &json!("openai.com/gpt-4o"), &json!("fast"))
    );
    assert_eq!(list["data"][0]["created_at"], "2023-11-14T22:13:20Z");
    assert_eq!(
        (&list["data"][3]["display_name"], &list["data"][2]["type"]),
        (&json!("Claude X"), &json!("model"))
    );
    assert_eq!(
        (&list["data"][0]["lifecycle"], &list["data"][4]["lifecycle"]),
        (&json!("active"), &json!("active"))
    );
}

#[test]
fn a_list_of_models_is_kept_for_a_moment_and_for_one_key() {
    let shop = shop();
    let server = Server::with_egress(&[]);
    let secrets = json!([{"serviceId": "chat:openai.com", "authSecret": "o", "url": shop.url()}]);
    let [one, other] = [(); 2].map(|()| server.mint_secrets(&secrets));
    let list = |key: &str| server.send(&Request::get("/v1/models").bearer(key));
    let first = list(&one);
    assert_eq!(
        (first.status, list(&one).text(), shop.requests().len()),
        (200, first.text(), 1)
    );
    assert_eq!((list(&other).status, shop.requests().len()), (200, 2));
    let head = server.send(&Request::new("HEAD", "/v1/models").bearer(&one));
    assert_eq!(
        (head.status, head.body.len(), shop.requests().len()),
        (200, 0, 2)
    );
}

#[test]
fn a_model_is_looked_up_where_its_name_leads() {
    let shop = shop();
    let server = Server::with_egress(&[]);
    let key = server.mint_secrets(
        &json!([{"serviceId": "chat:openai.com", "authSecret": "o", "url": shop.url()}]),
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
        assert_eq!(shop.requests().pop().unwrap().target, target);
    }
    let told = server.send(&Request::get("/v1/models/nothing").bearer(&key));
    assert_eq!(
        (told.status, told.text()),
        (404, r#"{"error":{"message":"no"}}"#)
    );
}

#[test]
fn when_no_list_can_be_had_the_reason_is_told() {
    let provider = Provider::with_answer(401, json!({"error": {}}));
    let server = Server::with_egress(&[]);
    let key = server.mint_secrets(
        &json!([{"serviceId": "chat:openai.com", "authSecret": "sk-canary", "url": provider.url()}]),
    );
    let told = server.send(&Request::get("/v1/models").bearer(&key));
    assert_eq!(told.status, 401);
    assert_eq!(
        told.message(),
        "chat:openai.com: the provider answered with status 401 Unauthorized"
    );
    let none = server.mint_secrets(&json!([{"serviceId": "chat:dummy", "authSecret": ""}]));
    assert_eq!(
        server
            .send(&Request::get("/v1/models").bearer(&none))
            .status,
        404
    );
}
