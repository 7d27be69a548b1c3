//! Services that are called in place of one that fails, and model aliases in keys.

use serde_json::{Value, json};

use crate::support::{
    Provider, Request, Response, Server, UnreachableAddresses, ample_quotas, call, grant,
    openai::{completion, completion_stream, content_event},
    provider_api::{CHAT, post_with_key},
    service, streamed,
};

/// Starts a provider whose response depends on the model: the status that the model names, or a valid
/// answer.
fn provider() -> Provider {
    Provider::start(|received, wire| {
        let request = received.json();
        let model = request["model"].as_str().unwrap();
        match model.parse() {
            Ok(status) => wire.respond(
                status,
                &[("Retry-After", "7"), ("Content-Type", "application/json")],
                "{}",
            ),
            Err(_) if request["stream"] == true => {
                wire.whole_stream(completion_stream(&["a", "b"]))
            }
            Err(_) => wire.json(200, &completion(model)),
        }
    })
}

/// Mints a key for services of this provider. The first one is at `url`, and has these fallbacks.
fn key(server: &Server, url: &str, provider: &Provider, fallback: &Value) -> String {
    server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "one", "url": url, "fallback": fallback},
        {"serviceId": "chat:groq.com", "authSecret": "two", "url": provider.url()},
        {"serviceId": "chat:mistral.ai", "authSecret": "three", "url": provider.url()},
        {"serviceId": "chat:x.ai", "authSecret": "INVALID"},
    ]))
}

/// Calls a model of the first service with this request id.
fn send_chat(server: &Server, key: &str, model: &str, id: &str) -> Response {
    server.send(
        &post_with_key(CHAT, key, json!({"model": model, "n": 1.50}).to_string())
            .header("x-request-id", id),
    )
}

/// The content of a whole response of OpenAI's chat.
fn openai_content(response: &Response) -> String {
    let content = response.json()["choices"][0]["message"]["content"].clone();
    content.as_str().unwrap_or_default().to_owned()
}

#[test]
fn next_service_is_called_when_the_first_fails() {
    let provider = provider();
    let unreachable = UnreachableAddresses::new();
    let server = Server::with_loopback_egress(&[("AISBREAKER_CONNECT_TIMEOUT", "300ms")]);
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
        ("refused", &unreachable.refusing_url(), "any", 503),
        (
            "never accepted",
            &unreachable.full_backlog_url(),
            "any",
            504,
        ),
    ] {
        let key = key(&server, url, &provider, &others);
        let id = row.replace(' ', "-");
        let response = send_chat(&server, &key, model, &id);

        assert_eq!(
            (response.status, openai_content(&response)),
            (200, "good".to_owned()),
            "{row}"
        );
        let attempts = format!(
            "\"chat:openai.com/{model}\";status={status}, \"chat:groq.com/503\";status=503, \
             \"chat:mistral.ai/good\";status=200"
        );
        assert_eq!(
            response.header("x-aisbreaker-attempts"),
            Some(&*attempts),
            "{row}"
        );
        let line = server.wait_for_request(&id);
        assert_eq!(
            (&line["attempts"], &line["service"]),
            (&json!(attempts), &json!("chat:mistral.ai/good")),
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
            Some(&*attempts),
            "{row}"
        );
        assert_eq!(
            server.wait_for_request(&format!("{id}-process"))["attempts"],
            attempts,
            "{row}"
        );
    }
}

#[test]
fn errors_not_worth_retrying_are_returned_at_once() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = key(
        &server,
        &provider.url(),
        &provider,
        &json!("chat:groq.com/good"),
    );
    for (model, status) in [("400", 400), ("401", 401), ("404", 404), ("422", 422)] {
        let response = send_chat(&server, &key, model, model);
        assert_eq!(response.status, status, "{model}");
        let attempts = format!("\"chat:openai.com/{model}\";status={status}");
        assert_eq!(
            response.header("x-aisbreaker-attempts"),
            Some(&*attempts),
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
fn provider_specific_requests_have_no_fallback() {
    let provider = Provider::with_response(503, json!({"error": {"message": "later"}}));
    let server = Server::with_loopback_egress(&[]);
    let key = key(
        &server,
        &provider.url(),
        &provider,
        &json!(["chat:groq.com/good", "chat:mistral.ai"]),
    );
    let rows = [
        ("one response", Request::get("/v1/responses/resp_1"), 1),
        (
            "its input items",
            Request::get("/v1/responses/resp_1/input_items"),
            1,
        ),
        (
            "its deletion",
            Request::new("DELETE", "/v1/responses/resp_1"),
            1,
        ),
        (
            "its cancellation",
            Request::new("POST", "/v1/responses/resp_1/cancel"),
            1,
        ),
        ("one model", Request::get("/v1/models/gpt-4o"), 1),
        // Without a model, the model of the fallback cannot be written into the body.
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

        let response = server.send(&request.bearer(&key));

        assert_eq!(
            (response.status, response.message().as_str()),
            (503, "later"),
            "{row}"
        );
        assert_eq!(provider.requests().len() - before, calls, "{row}");
    }
}

#[test]
fn last_failure_is_returned_when_all_fail() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = key(
        &server,
        &provider.url(),
        &provider,
        &json!(["chat:groq.com/500", "chat:mistral.ai/429"]),
    );
    let response = send_chat(&server, &key, "503", "a");
    assert_eq!(
        (
            response.status,
            response.header("retry-after"),
            response.text()
        ),
        (429, Some("7"), "{}")
    );
    let processed = server.process(&key, &call(service("chat:openai.com/503"), "Hi"));
    assert_eq!(
        (processed.status, processed.header("retry-after")),
        (429, Some("7"))
    );
    let attempts = processed.header("x-aisbreaker-attempts").unwrap();
    assert!(
        attempts.ends_with("\"chat:mistral.ai/429\";status=429"),
        "{attempts}"
    );
}

#[test]
fn uncallable_services_are_skipped() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "one", "url": provider.url(),
         "fallback": ["chat:azure.com/nowhere", "chat:groq.com", "chat:mistral.ai/429"]},
        {"serviceId": "chat:azure.com", "authSecret": "two"},
        {"serviceId": "chat:groq.com", "authSecret": "three", "url": "https://10.0.0.1"},
        {"serviceId": "chat:mistral.ai", "authSecret": "four", "url": provider.url()},
    ]));
    let attempts = "\"chat:openai.com/503\";status=503, \"chat:mistral.ai/429\";status=429";
    let response = send_chat(&server, &key, "503", "a");
    assert_eq!(
        (response.status, response.header("x-aisbreaker-attempts")),
        (429, Some(attempts))
    );
    let processed = server.process(&key, &call(service("chat:openai.com/503"), "Hi"));
    assert_eq!(
        (processed.status, processed.header("x-aisbreaker-attempts")),
        (429, Some(attempts))
    );
}

#[test]
fn stream_falls_back_only_before_its_first_byte() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key_for_failing = key(
        &server,
        &provider.url(),
        &provider,
        &json!("chat:groq.com/good"),
    );
    let request = post_with_key(CHAT, &key_for_failing, r#"{"model":"503","stream":true}"#);
    let response = server.send(&request);
    assert_eq!(
        (response.status, response.text()),
        (200, &*completion_stream(&["a", "b"]))
    );

    let processed = server.process(
        &key_for_failing,
        &streamed(call(service("chat:openai.com/503"), "Hi")),
    );
    let (progress, last) = processed.stream();
    assert_eq!(
        (progress.len(), &last["outputs"][0]["text"]["content"]),
        (2, &json!("ab"))
    );
    assert_eq!(last["usage"]["service"]["serviceId"], "chat:groq.com/good");

    let closing_provider = Provider::start(|_, wire| {
        wire.stream();
        wire.chunk(content_event("a"));
        wire.close();
    });
    let key = key(
        &server,
        &closing_provider.url(),
        &provider,
        &json!("chat:groq.com/good"),
    );
    let before = provider.requests().len();
    let response = server.send(&post_with_key(CHAT, &key, r#"{"model":"m","stream":true}"#));
    assert!(response.text().contains("\"error\""), "{}", response.text());
    server
        .process(&key, &streamed(call(service("chat:openai.com/m"), "Hi")))
        .stream_error();
    assert_eq!(
        provider.requests().len(),
        before,
        "fell back after the first byte"
    );
}

#[test]
fn no_fallback_after_the_request_timeout() {
    let silent = Provider::start(|_, wire| wire.hold());
    let provider = provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_PROVIDER_TIMEOUT", "200ms")]);
    let key = key(
        &server,
        &silent.url(),
        &provider,
        &json!("chat:groq.com/good"),
    );
    assert_eq!(send_chat(&server, &key, "m", "a").status, 504);
    assert_eq!(
        server
            .process(&key, &call(service("chat:openai.com/m"), "Hi"))
            .status,
        504
    );
    assert_eq!(provider.requests().len(), 0);
}

#[test]
fn unusable_fallbacks_and_aliases_are_not_minted() {
    let server = Server::start(&[]);
    let with_fallback = |fallback: Value| json!([{"serviceId": "chat:openai.com", "authSecret": "s", "fallback": fallback}]);
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
        let response = server.send(&Request::mint(&grant(
            &ample_quotas(),
            &with_fallback(fallback),
        )));
        assert_eq!((response.status, response.message()), (400, expected));
    }
    let aliases_path = "requestAuthAndQuotas.modelAliases";
    let target = "must be a service id with a model, such as 'chat:openai.com/gpt-4o'";
    let alias_rows = [
        (json!([]), format!("{aliases_path} must be an object")),
        (
            json!({"fast": 1}),
            format!("{aliases_path}.fast must be a string"),
        ),
        (
            json!({"fast": "gpt-4o"}),
            format!("{aliases_path}.fast {target}"),
        ),
        (
            json!({"fast": "chat:openai.com"}),
            format!("{aliases_path}.fast {target}"),
        ),
        (
            json!({"fast": {"model": "chat:openai.com", "translate": true}}),
            format!("{aliases_path}.fast.model {target}"),
        ),
        (
            json!({"fast": {"translate": true}}),
            format!("{aliases_path}.fast.model is missing"),
        ),
        (
            json!({"fast": {"model": "chat:openai.com/m", "translate": "yes"}}),
            format!("{aliases_path}.fast.translate must be true or false"),
        ),
        (
            json!({"": "chat:openai.com/m"}),
            format!(
                "{aliases_path} has a name that is not 1 to 128 bytes without control characters"
            ),
        ),
    ];
    for (aliases, expected) in alias_rows {
        let mut body = grant(&ample_quotas(), &json!([]));
        body["requestAuthAndQuotas"]["modelAliases"] = aliases;
        let response = server.send(&Request::mint(&body));
        assert_eq!((response.status, response.message()), (400, expected));
    }
}
