//! The server's own errors and header fields, in the dialect of the provider's API.

use serde_json::{Value, json};

use crate::support::{
    Provider, Request, Response, Server, grant,
    provider_api::{CHAT, MESSAGES, post_with_key, two_dialect_key},
    quotas,
};

fn error_of(response: &Response) -> Value {
    response.json()["error"].clone()
}

/// A name, the key, the body, the expected status, type and code of OpenAI's error, and type of
/// Anthropic's.
type Row<'a> = (
    &'a str,
    &'a str,
    &'a str,
    u16,
    (&'a str, Option<&'a str>),
    &'a str,
);

fn assert_openai_error(
    row: &str,
    response: &Response,
    status: u16,
    (error_type, code): (&str, Option<&str>),
) {
    let error = error_of(response);
    assert_eq!(
        (response.status, &error["type"], &error["code"]),
        (status, &json!(error_type), &json!(code)),
        "{row}: {error}"
    );
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.len() > 10, "{row}: {error}");
    assert_eq!(error.as_object().unwrap().len(), 4, "{row}: {error}");
    assert_eq!(
        response.header("content-type"),
        Some("application/json"),
        "{row}"
    );
}

/// Asserts an error of a request with the id `req-1`.
fn assert_anthropic_error(row: &str, response: &Response, status: u16, error_type: &str) {
    let body = response.json();
    assert_eq!(
        (response.status, &body["type"], &body["error"]["type"]),
        (status, &json!("error"), &json!(error_type)),
        "{row}: {body}"
    );
    assert_eq!(body["request_id"], "req-1", "{row}");
    assert_eq!(body["error"].as_object().unwrap().len(), 2, "{row}: {body}");
}

#[test]
fn errors_use_the_dialect_of_the_caller() {
    let closing_provider = Provider::start(|_, wire| wire.close());
    let server = Server::with_loopback_egress(&[("AISBREAKER_MAX_BODY_BYTES", "1000")]);
    let key = two_dialect_key(&server, &closing_provider);
    let spent = server.mint(&grant(&quotas([100, 100, 1], [100, 100, 1]), &json!([])));
    let unavailable = server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "s", "url": "http://127.0.0.1:1"},
        {"serviceId": "chat:anthropic.com", "authSecret": "s", "url": "http://127.0.0.1:1"},
    ]));
    let blocked = server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "INVALID"}, {"serviceId": "chat:anthropic.com", "authSecret": "INVALID"},
    ]));
    let without_provider =
        server.mint_with_secrets(&json!([{"serviceId": "chat:dummy", "authSecret": ""}]));
    assert_eq!(
        server.send(&post_with_key(MESSAGES, &spent, "{}")).status,
        404,
        "a failed call is charged"
    );
    let oversized = format!(r#"{{"model":"m","a":"{}"}}"#, "x".repeat(1000));
    let small = r#"{"model":"m"}"#;
    let rows: [Row<'_>; 9] = [
        (
            "a bad key",
            "aisbreaker_x",
            small,
            401,
            ("invalid_request_error", Some("invalid_api_key")),
            "authentication_error",
        ),
        (
            "a spent quota",
            &spent,
            small,
            429,
            ("rate_limit_error", Some("rate_limit_exceeded")),
            "rate_limit_error",
        ),
        (
            "a blocked service",
            &blocked,
            small,
            403,
            ("permission_error", Some("permission_denied")),
            "permission_error",
        ),
        (
            "no service",
            &without_provider,
            small,
            404,
            ("invalid_request_error", Some("model_not_found")),
            "not_found_error",
        ),
        (
            "an oversized body",
            &key,
            &oversized,
            413,
            ("invalid_request_error", Some("request_too_large")),
            "request_too_large",
        ),
        (
            "no JSON",
            &key,
            "{",
            400,
            ("invalid_request_error", None),
            "invalid_request_error",
        ),
        (
            "an unavailable provider",
            &unavailable,
            small,
            503,
            ("server_error", Some("service_unavailable")),
            "api_error",
        ),
        (
            "a provider that closes",
            &key,
            small,
            502,
            ("server_error", None),
            "api_error",
        ),
        (
            "two models",
            &key,
            r#"{"model":"m","model":"n"}"#,
            400,
            ("invalid_request_error", None),
            "invalid_request_error",
        ),
    ];
    for (row, key, body, status, openai, anthropic) in rows {
        let chat = server.send(&post_with_key(CHAT, key, body));
        assert_openai_error(row, &chat, status, openai);
        let message = post_with_key(MESSAGES, key, body).header("x-request-id", "req-1");
        assert_anthropic_error(row, &server.send(&message), status, anthropic);
    }
    for (path, error_type) in [
        ("/v1/nothing", "invalid_request_error"),
        ("/anthropic/v1/nothing", "not_found_error"),
    ] {
        let not_found = server.get(path);
        assert_eq!(
            (not_found.status, &error_of(&not_found)["type"]),
            (404, &json!(error_type)),
            "{path}"
        );
    }
    assert_eq!(error_of(&server.get("/api/v1/nothing"))["statusCode"], 404);
    let response = server.send(&post_with_key(MESSAGES, &without_provider, small));
    assert!(
        response
            .text()
            .contains("the services in the key are: chat:dummy"),
        "{}",
        response.text()
    );
}

#[test]
fn spent_daily_quota_is_marked_as_not_retryable() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let secrets =
        json!([{"serviceId": "chat:openai.com", "authSecret": "s", "url": provider.url()}]);
    let key = server.mint(&grant(&quotas([100, 100, 1], [100, 100, 1]), &secrets));
    let request = post_with_key("/v1/embeddings", &key, r#"{"model":"m"}"#);
    assert_eq!(server.send(&request).status, 200);

    let refused = server.send(&request);

    assert_eq!(
        (refused.status, refused.header("x-should-retry")),
        (429, Some("false"))
    );
    assert!(refused.header("retry-after").is_some() && refused.header("ratelimit").is_some());
    assert_eq!(provider.requests().len(), 1);
}

#[test]
fn provider_limit_headers_take_precedence_over_ours() {
    let provider = Provider::start(|received, wire| {
        let provider_headers: &[(&str, &str)] = &[
            ("x-request-id", "req_of_the_provider"),
            ("openai-processing-ms", "7"),
            ("retry-after", "1"),
            ("x-ratelimit-limit-requests", "9999"),
            ("anthropic-ratelimit-tokens-limit", "5"),
            ("set-cookie", "a=b"),
            ("x-aisbreaker-attempts", "a lie"),
            ("access-control-allow-origin", "https://other.example"),
        ];
        let headers = if received.json()["model"] == "mute" {
            &[]
        } else {
            provider_headers
        };
        wire.respond(429, headers, "{}");
    });
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let send = |model: &str| {
        server.send(
            &post_with_key("/v1/embeddings", &key, json!({"model": model}).to_string())
                .header("x-request-id", "mine"),
        )
    };

    let limited = send("talks");
    let header = |name| limited.header(name);
    assert_eq!(
        (limited.status, header("x-request-id")),
        (429, Some("req_of_the_provider"))
    );
    assert_eq!(header("x-ratelimit-limit-requests"), Some("9999"));
    assert_eq!(
        header("x-ratelimit-remaining-requests"),
        None,
        "our value would be read as the provider's"
    );
    assert_eq!(header("openai-processing-ms"), Some("7"));
    assert_eq!(header("anthropic-ratelimit-tokens-limit"), Some("5"));
    assert_eq!(
        (header("retry-after"), header("x-should-retry")),
        (Some("1"), None)
    );
    assert!(header("ratelimit").is_some() && header("ratelimit-policy").is_some());
    assert_eq!(
        (header("set-cookie"), header("x-aisbreaker-attempts")),
        (None, None)
    );
    assert_eq!(header("access-control-allow-origin"), Some("*"));
    let line = server.wait_for_request("mine");
    assert_eq!(line["provider_request_id"], "req_of_the_provider");
    assert_eq!(
        (&line["service"], &line["route"]),
        (&json!("chat:openai.com/talks"), &json!("/v1/embeddings"))
    );

    let without_limits = send("mute");
    assert_eq!(
        (
            without_limits.header("x-request-id"),
            without_limits.header("retry-after")
        ),
        (Some("mine"), None)
    );
    assert_eq!(
        without_limits.header("x-ratelimit-limit-requests"),
        Some("100000")
    );
}

#[test]
fn agent_probe_at_api_hello_succeeds() {
    let server = Server::start(&[]);
    let response = server.send(&Request::new("HEAD", "/api/hello"));
    assert_eq!((response.status, response.body.len()), (200, 0));
}

#[test]
fn missing_key_error_says_which_key_is_needed() {
    let server = Server::start(&[]);
    let hint = "missing auth.secret; the API key must be a key of this server that has a secret for it, or that secret itself";
    let request = Request::new("POST", MESSAGES).json(&json!({"model": "m"}));
    for request in [request.clone(), request.path(CHAT)] {
        let response = server.send(&request);
        assert_eq!(
            (response.status, response.header("www-authenticate")),
            (401, Some("Bearer"))
        );
        assert!(response.message().ends_with(hint), "{}", response.text());
    }
}
