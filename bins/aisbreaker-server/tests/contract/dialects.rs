//! What this server itself says to clients of the providers' APIs: errors in their dialect, and
//! header fields.

use serde_json::{Value, json};

use super::surface::{key_for, post};
use crate::support::{Answer, Provider, Request, Server, grant, quotas};

fn error_of(answer: &Answer) -> Value {
    answer.json()["error"].clone()
}

#[test]
fn errors_are_told_in_the_dialect_of_the_caller() {
    let nobody = Provider::start(|_, wire| wire.cut());
    let server = Server::with_egress(&[("AISBREAKER_MAX_BODY_BYTES", "1000")]);
    let key = key_for(&server, &nobody);
    let spent = server.mint(&grant(&quotas([100, 100, 1], [100, 100, 1]), &json!([])));
    let down = server.mint_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "s", "url": "http://127.0.0.1:1"},
        {"serviceId": "chat:anthropic.com", "authSecret": "s", "url": "http://127.0.0.1:1"},
    ]));
    let blocked = server.mint_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "INVALID"}, {"serviceId": "chat:anthropic.com", "authSecret": "INVALID"},
    ]));
    let none = server.mint_secrets(&json!([{"serviceId": "chat:dummy", "authSecret": ""}]));
    assert_eq!(
        server.send(&post("/v1/messages", &spent, "{}")).status,
        404,
        "it counts all the same"
    );
    let large = format!(r#"{{"model":"m","a":"{}"}}"#, "x".repeat(1000));
    let small = r#"{"model":"m"}"#;
    type Row<'a> = (
        &'a str,
        &'a str,
        &'a str,
        u16,
        (&'a str, Option<&'a str>),
        &'a str,
    );
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
            ("insufficient_quota", Some("insufficient_quota")),
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
            &none,
            small,
            404,
            ("invalid_request_error", Some("model_not_found")),
            "not_found_error",
        ),
        (
            "a large body",
            &key,
            &large,
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
            "a provider that is down",
            &down,
            small,
            503,
            ("server_error", Some("service_unavailable")),
            "api_error",
        ),
        (
            "a provider that breaks off",
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
    for (row, key, body, status, (kind, code), anthropic) in rows {
        let told = server.send(&post("/v1/chat/completions", key, body));
        let error = error_of(&told);
        assert_eq!(
            (told.status, &error["type"], &error["code"]),
            (status, &json!(kind), &json!(code)),
            "{row}: {error}"
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.len() > 10),
            "{row}: {error}"
        );
        assert_eq!(error.as_object().unwrap().len(), 4, "{row}: {error}");
        assert_eq!(
            told.header("content-type"),
            Some("application/json"),
            "{row}"
        );

        let told = server.send(&post("/v1/messages", key, body).header("x-request-id", "req-1"));
        let whole = told.json();
        assert_eq!(
            (told.status, &whole["type"], &whole["error"]["type"]),
            (status, &json!("error"), &json!(anthropic)),
            "{row}: {whole}"
        );
        assert_eq!(whole["request_id"], "req-1", "{row}");
        assert_eq!(
            whole["error"].as_object().unwrap().len(),
            2,
            "{row}: {whole}"
        );
    }
    for (path, kind) in [
        ("/v1/nothing", "invalid_request_error"),
        ("/anthropic/v1/nothing", "not_found_error"),
    ] {
        let told = server.get(path);
        assert_eq!(
            (told.status, &error_of(&told)["type"]),
            (404, &json!(kind)),
            "{path}"
        );
    }
    assert_eq!(error_of(&server.get("/api/v1/nothing"))["statusCode"], 404);
    let told = server.send(&post("/v1/messages", &none, small));
    assert!(
        told.text()
            .contains("the services in the key are: chat:dummy"),
        "{}",
        told.text()
    );
}

#[test]
fn a_quota_that_is_spent_for_the_day_is_not_waited_for() {
    let provider = Provider::with_answer(200, json!({}));
    let server = Server::with_egress(&[]);
    let secrets =
        json!([{"serviceId": "chat:openai.com", "authSecret": "s", "url": provider.url()}]);
    let key = server.mint(&grant(&quotas([100, 100, 1], [100, 100, 1]), &secrets));
    let request = post("/v1/embeddings", &key, r#"{"model":"m"}"#);
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
fn what_a_provider_says_of_its_limits_is_not_hidden_by_ours() {
    let provider = Provider::start(|received, wire| {
        let of_its_own: &[(&str, &str)] = &[
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
            of_its_own
        };
        wire.answer(429, headers, "{}");
    });
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    let send = |model: &str| {
        server.send(
            &post("/v1/embeddings", &key, json!({"model": model}).to_string())
                .header("x-request-id", "mine"),
        )
    };

    let told = send("talks");
    let header = |name| told.header(name);
    assert_eq!(
        (told.status, header("x-request-id")),
        (429, Some("req_of_the_provider"))
    );
    assert_eq!(header("x-ratelimit-limit-requests"), Some("9999"));
    assert_eq!(
        header("x-ratelimit-remaining-requests"),
        None,
        "ours beside theirs would be read as theirs"
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

    let told = send("mute");
    assert_eq!(
        (told.header("x-request-id"), told.header("retry-after")),
        (Some("mine"), None)
    );
    assert_eq!(told.header("x-ratelimit-limit-requests"), Some("100000"));
}

#[test]
fn agents_are_greeted() {
    let server = Server::start(&[]);
    let answered = server.send(&Request::new("HEAD", "/api/hello"));
    assert_eq!((answered.status, answered.body.len()), (200, 0));
}

#[test]
fn who_brings_no_key_is_told_which_one_to_bring() {
    let server = Server::start(&[]);
    let hint = "missing auth.secret; the API key must be a key of this server that has a secret for it, or that secret itself";
    let asked = Request::new("POST", "/v1/messages").json(&json!({"model": "m"}));
    for request in [
        asked.clone(),
        asked.path("/v1/chat/completions"),
        Request::get("/v1/models"),
    ] {
        let told = server.send(&request);
        assert_eq!(
            (told.status, told.header("www-authenticate")),
            (401, Some("Bearer"))
        );
        assert!(told.message().ends_with(hint), "{}", told.text());
    }
}
