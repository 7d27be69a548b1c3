//! Contract section 6: what is reported of a provider that refuses or cannot be reached, and what
//! is not. All other faults of providers are in [`provider_faults`](super::provider_faults).

use serde_json::json;

use crate::support::{
    Provider, Server, assert_error, base64, call, closed_url, hop,
    openai::{SECRET, completion, openai_call, openai_key},
    service, service_at, streamed,
};

/// A name, the provider's status, header field and body, and what the error message must contain.
type ProviderError = (
    &'static str,
    u16,
    (&'static str, &'static str),
    &'static str,
    &'static str,
);

const PROVIDER_ERRORS: [ProviderError; 9] = [
    (
        "a wrong secret",
        401,
        ("X-Request-Id", "req_1"),
        concat!(
            r#"{"error":{"message":"Incorrect API key provided: sk-canary-0123456789abcdef. "#,
            r#"You can find your API key at https://platform.openai.com/account/api-keys."}}"#,
        ),
        concat!(
            "Incorrect API key provided: ***. ",
            "You can find your API key at https://platform.openai.com/account/api-keys",
        ),
    ),
    (
        "too many requests",
        429,
        ("Retry-After", "17"),
        r#"{"error":{"message":"Rate limit reached for gpt-4o","code":"rate_limit_exceeded"}}"#,
        "Rate limit reached for gpt-4o",
    ),
    (
        "an internal error",
        500,
        ("X", "y"),
        r#"{"error":{"message":"The server had an error"}}"#,
        "The server had an error",
    ),
    (
        "overload",
        503,
        ("Retry-After", "3"),
        r#"{"error":{"message":"Overloaded"}}"#,
        "Overloaded",
    ),
    (
        "a bad request",
        400,
        ("X", "y"),
        r#"{"error":{"message":"max_tokens is too large"}}"#,
        "max_tokens is too large",
    ),
    (
        "no such model",
        404,
        ("X", "y"),
        r#"{"error":{"message":"The model does not exist"}}"#,
        "The model does not exist",
    ),
    (
        "HTML",
        502,
        ("Content-Type", "text/html"),
        "<html>Bad Gateway</html>",
        "",
    ),
    ("an empty body", 418, ("X", "y"), "", ""),
    (
        "another JSON shape",
        422,
        ("X", "y"),
        r#"{"detail":"Unprocessable"}"#,
        "Unprocessable",
    ),
];

#[test]
fn provider_error_is_forwarded_with_its_status() {
    for (row, status, header, body, expected) in PROVIDER_ERRORS {
        let provider = Provider::start(move |_, wire| wire.respond(status, &[header], body));
        let server = Server::with_loopback_egress(&[]);
        let response = server.process(&openai_key(&server, &provider), &openai_call("Hi"));
        assert_error(row, &response, status, expected);
        assert!(
            !response.text().contains("sk-canary"),
            "{row} reveals the secret: {response:?}"
        );
        let wait = response.header("retry-after");
        assert_eq!(
            wait,
            (header.0 == "Retry-After").then_some(header.1),
            "{row}: {response:?}"
        );
        assert_eq!(
            response.header("x-request-id").map(str::len),
            Some(32),
            "{row}: not an id of this server"
        );
    }
}

#[test]
fn provider_error_of_a_streamed_call_is_an_event() {
    for (row, status, header, body, expected) in PROVIDER_ERRORS {
        let provider = Provider::start(move |_, wire| wire.respond(status, &[header], body));
        let server = Server::with_loopback_egress(&[]);
        let response = server.process(
            &openai_key(&server, &provider),
            &streamed(openai_call("Hi")),
        );
        let (progress, error) = response.stream_error();
        assert!(progress.is_empty(), "{row}: {response:?}");
        assert_eq!(error["statusCode"], status, "{row}: {response:?}");
        assert!(
            error["statusText"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{row}: {response:?}"
        );
        let message = error["message"].as_str().unwrap();
        assert!(
            !message.is_empty() && message.contains(expected),
            "{row}: {message}"
        );
        assert!(
            !response.text().contains("sk-canary"),
            "{row} reveals the secret: {response:?}"
        );
    }
}

#[test]
fn unregistered_status_keeps_its_reason() {
    let error =
        json!({"error": {"message": "busy", "statusCode": 529, "statusText": "Overloaded"}});
    let body = error.to_string();
    let provider = Provider::start(move |_, wire| {
        let length = body.len();
        wire.write(format!(
            "HTTP/1.1 529 Overloaded\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    });
    let server = Server::with_loopback_egress(&[]);
    let rows = [
        // A server repeats the status and its name in the error. Of a provider, only the number in
        // the head is read.
        (
            "a server",
            hop(&provider.url(), &service("chat:dummy")),
            "Overloaded",
        ),
        (
            "a provider",
            service_at("chat:openai.com", &provider.url()),
            "Error",
        ),
    ];

    for (row, props, name) in rows {
        let response = server.process(SECRET, &call(props.clone(), "Hi"));
        assert_error(row, &response, 529, "busy");
        assert_eq!(
            response.json()["error"]["statusText"],
            name,
            "{row}: {response:?}"
        );
        let (_, error) = server
            .process(SECRET, &streamed(call(props, "Hi")))
            .stream_error();
        assert_eq!(
            (&error["statusCode"], &error["statusText"]),
            (&json!(529), &json!(name)),
            "{row}: {error}"
        );
    }
}

#[test]
fn unresolvable_host_or_missing_tls_returns_503() {
    let server = Server::with_loopback_egress(&[(
        "AISBREAKER_EGRESS_ALLOW",
        "127.0.0.0/8,http://localhost-invalid",
    )]);
    let plain = Provider::trap();
    let rows = [
        (
            "no TLS",
            format!("https://{}", plain.address()),
            vec!["Error"],
        ),
        (
            "no such name",
            "http://localhost-invalid:80".to_owned(),
            vec!["Error", "getaddrinfo", "localhost-invalid"],
        ),
        (
            "no such name",
            "https://no-such-host.invalid".to_owned(),
            vec!["Error", "getaddrinfo", "no-such-host.invalid"],
        ),
    ];

    for (row, url, parts) in rows {
        let body = call(service_at("chat:openai.com", &url), "Hi");
        let response = server.process(SECRET, &body);
        assert_error(row, &response, 503, "");
        for text in &parts {
            assert!(
                response.message().contains(text),
                "{row}: {text} is not in {}",
                response.message()
            );
        }
        let (progress, error) = server.process(SECRET, &streamed(body)).stream_error();
        assert!(progress.is_empty(), "{row}");
        assert_eq!(error["statusCode"], 503, "{row}, streamed: {error}");
        for text in parts {
            assert!(
                error["message"].as_str().unwrap().contains(text),
                "{row}, streamed: {error}"
            );
        }
    }
}

#[test]
fn unresolvable_host_is_reported_before_a_forbidden_scheme() {
    // The tests of the original server expect this of a server that may call loopback addresses.
    let server = Server::with_loopback_egress(&[]);

    let response = server.process(
        SECRET,
        &call(
            service_at("chat:openai.com", "http://localhost-invalid:80"),
            "Hi",
        ),
    );

    assert_error("localhost-invalid", &response, 503, "getaddrinfo");
}

#[test]
fn secret_in_any_part_of_an_error_is_masked() {
    let encoded = base64::encode(SECRET.as_bytes());
    let bodies = [
        json!({"error": {"message": format!("a {SECRET} b {SECRET} c")}}),
        json!({"error": {"message": "no", "type": SECRET}}),
        json!({"error": SECRET}),
        json!({"message": format!("key={SECRET}&x")}),
        json!({"detail": format!("Bearer {SECRET}")}),
    ];

    for body in bodies {
        for status in [400, 401, 500] {
            let row = format!("{status} {body}");
            let provider = Provider::with_response(status, body.clone());
            let server = Server::with_loopback_egress(&[]);
            let response = server.process(&openai_key(&server, &provider), &openai_call("Hi"));
            assert_error(&row, &response, status, "");
            assert!(
                !response.text().contains("sk-canary"),
                "{row}: {response:?}"
            );
            assert!(!response.text().contains(&encoded), "{row}: {response:?}");
        }
    }
}

/// If fragments were masked, a holder could test guesses in errors, and learn a sealed secret piece
/// by piece.
#[test]
fn fragments_of_a_secret_are_not_masked() {
    let provider = Provider::with_response(404, json!({"error": {"message": "no such model"}}));
    let server = Server::with_loopback_egress(&[]);
    let key = openai_key(&server, &provider);

    for length in [8, 12, 16, SECRET.len() - 1] {
        let guess = format!("chat:openai.com/{}", &SECRET[..length]);
        let response = server.process(&key, &call(json!({"serviceId": guess}), "Hi"));
        assert_error(&guess, &response, 404, &guess);
    }
}

#[test]
fn response_reveals_no_bound_address() {
    let failing_provider = Provider::with_response(500, json!({}));
    let closing_provider = Provider::start(|_, wire| wire.close());
    let working_provider = Provider::with_response(200, completion("ok"));
    let server = Server::with_loopback_egress(&[]);
    let rows = [
        ("refused", closed_url(), 503),
        (
            "no TLS",
            format!("https://{}", failing_provider.address()),
            503,
        ),
        ("failing", failing_provider.url(), 500),
        ("closed", closing_provider.url(), 502),
        ("working", working_provider.url(), 200),
    ];

    for (row, url, status) in rows {
        let bound = format!("{url}/path?hidden-query#no-default-path");
        let key = server.mint_with_secrets(
            &json!([{"serviceId": "chat:openai.com", "authSecret": SECRET, "url": bound}]),
        );
        let responses = [
            server.process(&key, &openai_call("Hi")),
            server.process(&key, &streamed(openai_call("Hi"))),
        ];
        assert_eq!(responses[0].status, status, "{row}: {responses:?}");
        for response in responses {
            assert!(!response.text().contains("hidden"), "{row}: {response:?}");
            let port = url.rsplit(':').next().unwrap();
            assert!(
                status == 200 || !response.text_without_id().contains(port),
                "{row}: {response:?}"
            );
        }
    }
}
