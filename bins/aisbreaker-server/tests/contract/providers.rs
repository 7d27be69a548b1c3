//! Contract section 6: what is told of a provider that refuses or cannot be reached, and what is
//! not. The table of all that a provider can do wrong is in `faults`.

use serde_json::json;

use super::openai::{SECRET, chat, completion, key_for};
use crate::support::{
    Provider, Server, assert_error, base64, call, hop, service, service_at, streamed,
};

/// What a provider refuses with: status, header, body, and what must be told of it.
type Refusal = (
    &'static str,
    u16,
    (&'static str, &'static str),
    &'static str,
    &'static str,
);

const REFUSALS: [Refusal; 9] = [
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
        "its own fault",
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
        "no JSON",
        502,
        ("Content-Type", "text/html"),
        "<html>Bad Gateway</html>",
        "",
    ),
    ("nothing", 418, ("X", "y"), "", ""),
    (
        "another shape",
        422,
        ("X", "y"),
        r#"{"detail":"Unprocessable"}"#,
        "Unprocessable",
    ),
];

#[test]
fn a_refusal_of_the_provider_is_passed_on() {
    for (row, status, header, body, told) in REFUSALS {
        let provider = Provider::start(move |_, wire| wire.answer(status, &[header], body));
        let server = Server::with_egress(&[]);
        let answer = server.process(&key_for(&server, &provider), &chat("Hi"));
        assert_error(row, &answer, status, told);
        assert!(
            !answer.text().contains("sk-canary"),
            "{row} tells the secret: {answer:?}"
        );
        let wait = answer.header("retry-after");
        assert_eq!(
            wait,
            (header.0 == "Retry-After").then_some(header.1),
            "{row}: {answer:?}"
        );
        assert_eq!(
            answer.header("x-request-id").map(str::len),
            Some(32),
            "{row}: our id, not the provider's"
        );
    }
}

#[test]
fn a_refusal_of_a_streamed_call_is_an_error_event() {
    for (row, status, header, body, told) in REFUSALS {
        let provider = Provider::start(move |_, wire| wire.answer(status, &[header], body));
        let server = Server::with_egress(&[]);
        let answer = server.process(&key_for(&server, &provider), &streamed(chat("Hi")));
        let (progress, error) = answer.stream_error();
        assert!(progress.is_empty(), "{row}: {answer:?}");
        assert_eq!(error["statusCode"], status, "{row}: {answer:?}");
        assert!(
            error["statusText"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{row}: {answer:?}"
        );
        let message = error["message"].as_str().unwrap();
        assert!(
            !message.is_empty() && message.contains(told),
            "{row}: {message}"
        );
        assert!(
            !answer.text().contains("sk-canary"),
            "{row} tells the secret: {answer:?}"
        );
    }
}

#[test]
fn a_status_without_a_name_of_its_own_is_passed_on_as_it_is_named() {
    let error =
        json!({"error": {"message": "busy", "statusCode": 529, "statusText": "Overloaded"}});
    let body = error.to_string();
    let provider = Provider::start(move |_, wire| {
        let length = body.len();
        wire.write(format!(
            "HTTP/1.1 529 Overloaded\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    });
    let server = Server::with_egress(&[]);
    let rows = [
        // Servers tell their status in the error, providers in the head alone, where names are not
        // looked at.
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
        let answer = server.process(SECRET, &call(props.clone(), "Hi"));
        assert_error(row, &answer, 529, "busy");
        assert_eq!(
            answer.json()["error"]["statusText"],
            name,
            "{row}: {answer:?}"
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
fn a_provider_without_an_address_or_tls_is_unavailable() {
    let server = Server::with_egress(&[(
        "AISBREAKER_EGRESS_ALLOW",
        "127.0.0.0/8,http://localhost-invalid",
    )]);
    let plain = Provider::trap();
    let rows = [
        (
            "no TLS there",
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

    for (row, url, told) in rows {
        let body = call(service_at("chat:openai.com", &url), "Hi");
        let answer = server.process(SECRET, &body);
        assert_error(row, &answer, 503, "");
        for text in &told {
            assert!(
                answer.message().contains(text),
                "{row}: {text} is not in {}",
                answer.message()
            );
        }
        let (progress, error) = server.process(SECRET, &streamed(body)).stream_error();
        assert!(progress.is_empty(), "{row}");
        assert_eq!(error["statusCode"], 503, "{row}, streamed: {error}");
        for text in told {
            assert!(
                error["message"].as_str().unwrap().contains(text),
                "{row}, streamed: {error}"
            );
        }
    }
}

#[test]
fn a_name_without_address_is_told_before_the_scheme_is_judged() {
    // The original's tests expect it of a server that may call loopback addresses and nothing else
    // unusual.
    let server = Server::with_egress(&[]);

    let answer = server.process(
        SECRET,
        &call(
            service_at("chat:openai.com", "http://localhost-invalid:80"),
            "Hi",
        ),
    );

    assert_error("localhost-invalid", &answer, 503, "getaddrinfo");
}

#[test]
fn a_secret_in_any_part_of_an_error_is_masked() {
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
            let provider = Provider::with_answer(status, body.clone());
            let server = Server::with_egress(&[]);
            let answer = server.process(&key_for(&server, &provider), &chat("Hi"));
            assert_error(&row, &answer, status, "");
            assert!(!answer.text().contains("sk-canary"), "{row}: {answer:?}");
            assert!(!answer.text().contains(&encoded), "{row}: {answer:?}");
        }
    }
}

/// If pieces were masked, a holder could have guesses repeated in errors, and learn a sealed secret
/// bit by bit.
#[test]
fn nobody_learns_a_sealed_secret_by_guessing_at_its_pieces() {
    let provider = Provider::with_answer(404, json!({"error": {"message": "no such model"}}));
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);

    for length in [8, 12, 16, SECRET.len() - 1] {
        let guess = format!("chat:openai.com/{}", &SECRET[..length]);
        let answer = server.process(&key, &call(json!({"serviceId": guess}), "Hi"));
        assert_error(&guess, &answer, 404, &guess);
    }
}

#[test]
fn no_answer_tells_more_of_an_address_than_the_caller_named() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let failing = Provider::with_answer(500, json!({}));
    let cutting = Provider::start(|_, wire| wire.cut());
    let answering = Provider::with_answer(200, completion("ok"));
    let server = Server::with_egress(&[]);
    let rows = [
        ("refused", format!("http://{closed}"), 503),
        ("no TLS", format!("https://{}", failing.address()), 503),
        ("failing", failing.url(), 500),
        ("cut", cutting.url(), 502),
        ("answering", answering.url(), 200),
    ];

    for (row, url, status) in rows {
        let bound = format!("{url}/path?hidden-query#no-default-path");
        let key = server.mint_secrets(
            &json!([{"serviceId": "chat:openai.com", "authSecret": SECRET, "url": bound}]),
        );
        let answers = [
            server.process(&key, &chat("Hi")),
            server.process(&key, &streamed(chat("Hi"))),
        ];
        assert_eq!(answers[0].status, status, "{row}: {answers:?}");
        for answer in answers {
            assert!(!answer.text().contains("hidden"), "{row}: {answer:?}");
            let port = url.rsplit(':').next().unwrap();
            assert!(
                status == 200 || !answer.text().contains(port),
                "{row}: {answer:?}"
            );
        }
    }
}
