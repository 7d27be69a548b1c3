//! Forwarded requests: under which paths, with which bodies and header fields.

use serde_json::json;

use crate::support::{
    Provider, ReceivedRequest, Request, Server, ample_quotas, grant,
    provider_api::{
        ANTHROPIC_SECRET, CHAT, MESSAGES, OPENAI_SECRET, post_with_key, two_dialect_key,
    },
};

/// Asserts that no part of the request contains a key.
fn assert_key_not_forwarded(received: &ReceivedRequest, key: &str) {
    let all = format!("{received:?}{}", String::from_utf8_lossy(&received.body));
    assert!(
        !all.contains("aisbreaker_") && !all.contains(key),
        "the key is in {all}"
    );
}

#[test]
fn request_is_forwarded_verbatim_with_the_provider_credential() {
    let response_body = "{ \"id\":1.50 , \"usage\":{\"prompt_tokens\":3}}\n";
    let provider = Provider::start(move |_, wire| {
        wire.respond(
            201,
            &[("Content-Type", "application/json"), ("X-Mine", "a")],
            response_body,
        );
    });
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let body = "{\"unknown\": [1.0, 1e3, {\"model\": \"b\"}] ,\n \"model\" : \"gpt-4o\", \"z\":null, \"a\":\"\\u00e9\\/\"}";

    for base in ["/v1", "/openai/v1", "//v1"] {
        let request = post_with_key(&format!("{base}/chat/completions?a=b&c=%2F'"), &key, body)
            .header("OpenAI-Organization", "org")
            .header("X-Unknown", "u")
            .header("Connection", "keep-alive, X-Hop")
            .header("X-Hop", "h");
        let response = server.send(&request);

        assert_eq!(
            (response.status, response.text()),
            (201, response_body),
            "{base}"
        );
        assert_eq!(response.header("x-mine"), Some("a"));
    }
    for received in provider.requests() {
        assert_eq!(received.method, "POST");
        assert_eq!(received.target, "/v1/chat/completions?a=b&c=%2F'");
        assert_eq!(received.body, body.as_bytes());
        assert_eq!(
            received.header("authorization"),
            Some(&*format!("Bearer {OPENAI_SECRET}"))
        );
        assert_eq!(received.header("openai-organization"), Some("org"));
        assert_eq!(received.header("x-unknown"), Some("u"));
        assert_eq!(received.header("x-hop"), None);
        assert_eq!(received.header("x-api-key"), None);
        assert_key_not_forwarded(&received, &key);
    }
    assert_eq!(provider.requests().len(), 3);
}

#[test]
fn every_operation_is_forwarded_to_its_path() {
    let provider = Provider::with_response(200, json!({"ok": true}));
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let with_body = [
        "chat/completions",
        "completions",
        "responses",
        "responses/compact",
        "responses/input_tokens",
        "responses/resp_1/cancel",
        "embeddings",
        "images/generations",
        "images/edits",
        "images/variations",
        "audio/speech",
        "audio/transcriptions",
        "audio/translations",
        "moderations",
        "messages",
        "messages/count_tokens",
    ];
    let without = [
        ("GET", "responses/resp_1"),
        ("DELETE", "responses/resp_1"),
        ("GET", "responses/resp_1/input_items"),
        ("GET", "models/gpt-4o"),
    ];
    let rows = with_body.map(|path| ("POST", path));
    for (method, path) in rows.into_iter().chain(without) {
        let mut request = Request::new(method, &format!("/v1/{path}")).bearer(&key);
        if method == "POST" {
            request = request.json(&json!({"model": "m"}));
        }

        let response = server.send(&request);

        assert_eq!(response.status, 200, "{method} {path}: {}", response.text());
        let received = provider.requests().pop().unwrap();
        assert_eq!(
            (&*received.method, &*received.target),
            (method, &*format!("/v1/{path}"))
        );
        let is_anthropic = path.starts_with("messages");
        let expected = if is_anthropic {
            ("x-api-key", ANTHROPIC_SECRET.to_owned())
        } else {
            ("authorization", format!("Bearer {OPENAI_SECRET}"))
        };
        assert_eq!(received.header(expected.0), Some(&*expected.1), "{path}");
        let other = if is_anthropic {
            "authorization"
        } else {
            "x-api-key"
        };
        assert_eq!(received.header(other), None, "{path}");
    }
    let allowed = [
        ("chat/completions", "GET, HEAD, POST, OPTIONS"),
        ("models", "GET, HEAD, OPTIONS"),
        ("responses/r", "GET, HEAD, DELETE, OPTIONS"),
    ];
    for (path, expected) in allowed {
        let response = server.send(&Request::new("PUT", &format!("/v1/{path}")).bearer(&key));
        assert_eq!(
            (response.status, response.header("allow")),
            (405, Some(expected)),
            "{path}"
        );
    }
}

#[test]
fn provider_version_header_has_a_default() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    for (version, expected) in [(None, "2023-06-01"), (Some("2099-01-01"), "2099-01-01")] {
        let mut request = post_with_key(MESSAGES, &key, r#"{"model":"m"}"#);
        if let Some(version) = version {
            request = request.header("anthropic-version", version);
        }
        assert_eq!(server.send(&request).status, 200);
        assert_eq!(
            provider
                .requests()
                .pop()
                .unwrap()
                .header("anthropic-version"),
            Some(expected)
        );
    }
}

#[test]
fn service_ids_and_aliases_are_replaced_by_the_model() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let mut grant_body = grant(
        &ample_quotas(),
        &json!([
            {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()},
            {"serviceId": "chat:groq.com", "authSecret": "sk-groq-canary", "url": format!("{}/openai/v1/", provider.url())},
        ]),
    );
    grant_body["requestAuthAndQuotas"]["modelAliases"] = json!({"fast": "chat:groq.com/llama\"8b"});
    let key = server.mint(&grant_body);
    let rows = [
        (
            r#"{"model":"gpt-4o","a":1}"#,
            "/v1/chat/completions",
            r#"{"model":"gpt-4o","a":1}"#,
        ),
        (
            r#"{"a":{"model":"fast"},"mod\u0065l" : "fast"}"#,
            "/openai/v1/chat/completions",
            r#"{"a":{"model":"fast"},"mod\u0065l" : "llama\"8b"}"#,
        ),
        (
            r#"{"model":"groq.com/x/y"}"#,
            "/openai/v1/chat/completions",
            r#"{"model":"x/y"}"#,
        ),
        (
            r#"{"model":"chat:openai.com/gpt-4o" , "b":"chat:openai.com/gpt-4o"}"#,
            "/v1/chat/completions",
            r#"{"model":"gpt-4o" , "b":"chat:openai.com/gpt-4o"}"#,
        ),
        (
            "\u{feff}{\"model\":\"\\u0066ast\"}",
            "/openai/v1/chat/completions",
            "\u{feff}{\"model\":\"llama\\\"8b\"}",
        ),
        (
            r#"{"messages":[]}"#,
            "/v1/chat/completions",
            r#"{"messages":[]}"#,
        ),
    ];
    for (body, target, expected) in rows {
        let response = server.send(&post_with_key(CHAT, &key, body));
        assert_eq!(response.status, 200, "{body}: {}", response.text());
        let received = provider.requests().pop().unwrap();
        let forwarded = String::from_utf8(received.body.clone()).unwrap();
        assert_eq!(
            (received.target.as_str(), forwarded.as_str()),
            (target, expected)
        );
    }
}

#[test]
fn only_the_model_field_of_a_form_is_replaced() {
    let provider = Provider::with_response(200, json!({"text": "ok"}));
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let form = |model: &str| {
        let mut form =
            b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"
                .to_vec();
        form.extend(0..=255_u8);
        form.extend_from_slice(b"\r\n--c\r\nname=\"model\"\r\n\r\nx");
        let model_field = format!(
            "\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--b--\r\n"
        );
        form.extend_from_slice(model_field.as_bytes());
        form
    };
    for path in ["audio/transcriptions", "images/edits"] {
        let content_type = "multipart/form-data; boundary=b";
        let request = post_with_key(
            &format!("/v1/{path}"),
            &key,
            form("chat:openai.com/whisper-1"),
        );
        let response = server.send(&request.set("Content-Type", content_type));

        assert_eq!(response.status, 200, "{}", response.text());
        let received = provider.requests().pop().unwrap();
        assert_eq!(received.header("content-type"), Some(content_type));
        assert_eq!(received.body, form("whisper-1"), "{path}");
    }
}

#[test]
fn request_loop_is_refused() {
    let server = Server::with_loopback_egress(&[]);
    let next = Server::with_loopback_egress(&[("AUTH_ENCRYPTION_KEYPHRASE", "the next server's")]);
    let next_url = next.url();
    let secrets =
        json!([{"serviceId": "chat:openai.com", "authSecret": "sk-none", "url": next_url}]);
    let inner = next.mint_at("127.0.0.1", &grant(&ample_quotas(), &secrets));
    let outer_secrets =
        json!([{"serviceId": "chat:openai.com", "authSecret": inner, "url": next_url}]);
    let key = server.mint_with_secrets(&outer_secrets);
    let response = server.send(
        &post_with_key("/v1/embeddings", &key, r#"{"model":"m"}"#).header("x-aisbreaker-hops", "7"),
    );
    assert_eq!(response.status, 400, "{}", response.text());
    assert!(
        response.message().contains("look for a loop"),
        "{}",
        response.text()
    );
}

#[test]
fn bodyless_operation_needs_no_body() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);

    let response = server.send(&Request::new("POST", "/v1/responses/resp_1/cancel").bearer(&key));

    assert_eq!(response.status, 200, "{}", response.text());
    let received = provider.requests().pop().unwrap();
    assert_eq!(
        (&*received.target, &*received.body),
        ("/v1/responses/resp_1/cancel", &b""[..])
    );
    assert_eq!(server.send(&post_with_key(CHAT, &key, "")).status, 400);
}
