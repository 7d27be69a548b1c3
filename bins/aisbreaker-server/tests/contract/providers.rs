//! Contract section 6: what becomes of a call when its provider refuses, breaks, stalls or cannot be reached.

use serde_json::{Value, json};

use super::openai::{SECRET, chat, completion, key_for, piece, pieces_of, stream_of};
use crate::support::{
    Answer, Provider, Server, Wire, assert_error, base64, call, hop, service, service_at, streamed,
};

/// A fault of a provider, as a script.
type Fault = fn(&mut Wire);

/// The answer of a server to a call of a provider with this fault.
fn with_fault(environment: &[(&str, &str)], fault: Fault, body: &Value) -> (Answer, Provider) {
    let provider = Provider::start(move |_, wire| fault(wire));
    let server = Server::with_egress(environment);
    let answer = server.process(&key_for(&server, &provider), body);
    (answer, provider)
}

/// What a provider refuses with: status, header, body, and what must be told of it.
type Refusal = (&'static str, u16, (&'static str, &'static str), &'static str, &'static str);

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
    ("overload", 503, ("Retry-After", "3"), r#"{"error":{"message":"Overloaded"}}"#, "Overloaded"),
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
    ("no JSON", 502, ("Content-Type", "text/html"), "<html>Bad Gateway</html>", ""),
    ("nothing", 418, ("X", "y"), "", ""),
    ("another shape", 422, ("X", "y"), r#"{"detail":"Unprocessable"}"#, "Unprocessable"),
];

#[test]
fn a_refusal_of_the_provider_is_passed_on() {
    for (row, status, header, body, told) in REFUSALS {
        let provider = Provider::start(move |_, wire| wire.answer(status, &[header], body));
        let server = Server::with_egress(&[]);
        let answer = server.process(&key_for(&server, &provider), &chat("Hi"));
        assert_error(row, &answer, status, told);
        assert!(!answer.text().contains("sk-canary"), "{row} tells the secret: {answer:?}");
        let wait = answer.header("retry-after");
        assert_eq!(wait, (header.0 == "Retry-After").then_some(header.1), "{row}: {answer:?}");
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
        assert!(error["statusText"].as_str().is_some_and(|text| !text.is_empty()), "{row}: {answer:?}");
        let message = error["message"].as_str().unwrap();
        assert!(!message.is_empty() && message.contains(told), "{row}: {message}");
        assert!(!answer.text().contains("sk-canary"), "{row} tells the secret: {answer:?}");
    }
}

#[test]
fn a_status_without_a_name_of_its_own_is_passed_on_as_it_is_named() {
    let error = json!({"error": {"message": "busy", "statusCode": 529, "statusText": "Overloaded"}});
    let body = error.to_string();
    let provider = Provider::start(move |_, wire| {
        let length = body.len();
        wire.write(format!(
            "HTTP/1.1 529 Overloaded\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    });
    let server = Server::with_egress(&[]);
    let rows = [
        // Servers tell their status in the error, providers in the head alone, where names are not looked at.
        ("a server", hop(&provider.url(), &service("chat:dummy")), "Overloaded"),
        ("a provider", service_at("chat:openai.com", &provider.url()), "Error"),
    ];

    for (row, props, name) in rows {
        let answer = server.process(SECRET, &call(props.clone(), "Hi"));
        assert_error(row, &answer, 529, "busy");
        assert_eq!(answer.json()["error"]["statusText"], name, "{row}: {answer:?}");
        let (_, error) = server.process(SECRET, &streamed(call(props, "Hi"))).stream_error();
        assert_eq!(
            (&error["statusCode"], &error["statusText"]),
            (&json!(529), &json!(name)),
            "{row}: {error}"
        );
    }
}

/// Faults after which there is no answer: what the provider does, and the status that it is.
const FAULTS: [(&str, Fault, u16); 14] = [
    ("no JSON", |wire| wire.answer(200, &[("Content-Type", "application/json")], "<html>hello</html>"), 502),
    ("empty", |wire| wire.answer(200, &[("Content-Type", "application/json")], ""), 502),
    (
        "cut JSON",
        |wire| wire.answer(200, &[("Content-Type", "application/json")], "{\"choices\":[{\"mess"),
        502,
    ),
    ("another JSON", |wire| wire.json(200, &json!(["hello"])), 502),
    ("no choices", |wire| wire.json(200, &json!({"id": "x"})), 502),
    ("an error with status 200", |wire| wire.json(200, &json!({"error": {"message": "no quota"}})), 502),
    ("closed at once", Wire::cut, 502),
    (
        "no HTTP",
        |wire| {
            wire.write("hello there\r\n\r\n");
            wire.cut();
        },
        502,
    ),
    (
        "cut head",
        |wire| {
            wire.write("HTTP/1.1 200 OK\r\nContent-Ty");
            wire.cut();
        },
        502,
    ),
    (
        "cut body",
        |wire| {
            wire.head(200, &[("Content-Type", "application/json"), ("Content-Length", "100000")]);
            wire.write("{\"choices\":[");
            wire.cut();
        },
        502,
    ),
    (
        "cut chunks",
        |wire| {
            wire.head(200, &[("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]);
            wire.chunk(completion("whole").to_string());
            wire.cut();
        },
        502,
    ),
    ("no content", |wire| wire.head(204, &[]), 502),
    ("redirect", |wire| wire.answer(307, &[("Location", "https://elsewhere.example/")], ""), 502),
    ("not modified", |wire| wire.head(304, &[]), 502),
];

#[test]
fn an_answer_that_is_none_is_a_bad_gateway() {
    for (row, fault, status) in FAULTS {
        let (answer, _provider) = with_fault(&[], fault, &chat("Hi"));
        assert_error(row, &answer, status, "");
        assert!(!answer.text().contains("sk-canary"), "{row} tells the secret: {answer:?}");
        assert!(!answer.message().contains("hello"), "{row} repeats the answer: {answer:?}");
    }
}

#[test]
fn an_answer_to_a_streamed_call_that_is_none_is_an_error_event() {
    for (row, fault, status) in FAULTS {
        let (answer, _provider) = with_fault(&[], fault, &streamed(chat("Hi")));
        let (progress, error) = answer.stream_error();
        assert!(progress.is_empty(), "{row}: {answer:?}");
        assert_eq!(error["statusCode"], status, "{row}: {answer:?}");
    }
}

#[test]
fn a_stream_that_goes_wrong_ends_in_an_error_and_never_in_a_short_success() {
    let rows: [(&str, Fault, u16); 7] = [
        (
            "cut between events",
            |wire| {
                wire.stream();
                wire.chunk(piece("Hel"));
                wire.cut();
            },
            502,
        ),
        (
            "cut in an event",
            |wire| {
                wire.stream();
                wire.chunk(format!("{}data: {{\"choi", piece("Hel")));
                wire.cut();
            },
            502,
        ),
        (
            "ended in an event",
            |wire| wire.whole_stream(format!("{}data: {{\"choices\":[", piece("Hel"))),
            502,
        ),
        (
            "an error object",
            |wire| {
                wire.whole_stream(format!(
                    "{}data: {{\"error\":{{\"message\":\"overloaded sk-canary-0123456789abcdef\"}}}}\n\n",
                    piece("Hel")
                ));
            },
            502,
        ),
        (
            "an error object with a status",
            |wire| {
                wire.whole_stream(format!(
                    "{}data: {{\"error\":{{\"message\":\"slow down\",\"code\":429}}}}\n\n",
                    piece("Hel")
                ));
            },
            429,
        ),
        (
            "no JSON",
            |wire| wire.whole_stream(format!("{}data: <html>\n\n{}", piece("Hel"), stream_of(&["lo"]))),
            502,
        ),
        (
            "cut length",
            |wire| {
                wire.head(200, &[("Content-Type", "text/event-stream"), ("Content-Length", "100000")]);
                wire.write(piece("Hel"));
                wire.cut();
            },
            502,
        ),
    ];

    for (row, fault, status) in rows {
        let (answer, _provider) = with_fault(&[], fault, &streamed(chat("Hi")));
        let (progress, error) = answer.stream_error();
        assert_eq!(pieces_of(&progress), ["Hel"], "{row}: {answer:?}");
        assert_eq!(error["statusCode"], status, "{row}: {answer:?}");
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{row}: {answer:?}");
        assert!(!answer.text().contains("sk-canary"), "{row} tells the secret: {answer:?}");
    }
}

#[test]
fn a_stream_without_any_answer_is_an_error() {
    let rows: [(&str, Fault); 4] = [
        ("empty", |wire| wire.whole_stream(": nothing\n\n")),
        ("[DONE] alone", |wire| wire.whole_stream("data: [DONE]\n\n")),
        ("an error object first", |wire| wire.whole_stream("data: {\"error\":{\"message\":\"no\"}}\n\n")),
        ("HTML", |wire| wire.answer(200, &[("Content-Type", "text/html")], "<html>hello</html>")),
    ];

    for (row, fault) in rows {
        let (answer, _provider) = with_fault(&[], fault, &streamed(chat("Hi")));
        let (progress, error) = answer.stream_error();
        assert!(progress.is_empty(), "{row}: {answer:?}");
        assert_eq!(error["statusCode"], 502, "{row}: {answer:?}");
    }
}

#[test]
fn a_provider_that_is_too_slow_is_a_gateway_timeout() {
    let hang: Fault = |wire| {
        wire.wait_until_closed();
    };
    let stall: Fault = |wire| {
        wire.head(200, &[("Content-Type", "application/json"), ("Content-Length", "1000")]);
        wire.write("{");
        wire.wait_until_closed();
    };
    let rows = [
        ("no head", "AISBREAKER_PROVIDER_TIMEOUT", hang),
        ("no body", "AISBREAKER_STREAM_IDLE_TIMEOUT", stall),
    ];

    for (row, variable, fault) in rows {
        let (answer, _provider) = with_fault(&[(variable, "200ms")], fault, &chat("Hi"));
        assert_error(row, &answer, 504, "");
        let (answer, _provider) = with_fault(&[(variable, "200ms")], fault, &streamed(chat("Hi")));
        let (_, error) = answer.stream_error();
        assert_eq!(error["statusCode"], 504, "{row}, streamed: {answer:?}");
    }
}

#[test]
fn a_stream_that_stalls_is_a_gateway_timeout() {
    let stall: Fault = |wire| {
        wire.stream();
        wire.chunk(piece("Hel"));
        wire.wait_until_closed();
    };

    let (answer, _provider) =
        with_fault(&[("AISBREAKER_STREAM_IDLE_TIMEOUT", "200ms")], stall, &streamed(chat("Hi")));

    let (progress, error) = answer.stream_error();
    assert_eq!(pieces_of(&progress), ["Hel"]);
    assert_eq!(error["statusCode"], 504, "{answer:?}");
}

#[test]
fn a_provider_that_cannot_be_reached_is_unavailable() {
    let server = Server::with_egress(&[("AISBREAKER_EGRESS_ALLOW", "127.0.0.0/8,http://localhost-invalid")]);
    let plain = Provider::trap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rows = [
        ("refused", format!("http://{closed}"), vec!["Error"]),
        ("no TLS there", format!("https://{}", plain.address()), vec!["Error"]),
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
            assert!(answer.message().contains(text), "{row}: {text} is not in {}", answer.message());
        }
        let (progress, error) = server.process(SECRET, &streamed(body)).stream_error();
        assert!(progress.is_empty(), "{row}");
        assert_eq!(error["statusCode"], 503, "{row}, streamed: {error}");
        for text in told {
            assert!(error["message"].as_str().unwrap().contains(text), "{row}, streamed: {error}");
        }
    }
}

#[test]
fn a_name_without_address_is_told_before_the_scheme_is_judged() {
    // The original's tests expect it of a server that may call loopback addresses and nothing else unusual.
    let server = Server::with_egress(&[]);

    let answer =
        server.process(SECRET, &call(service_at("chat:openai.com", "http://localhost-invalid:80"), "Hi"));

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

/// If pieces were masked, a holder could have guesses repeated in errors, and learn a sealed secret bit by bit.
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
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
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
        let key = server
            .mint_secrets(&json!([{"serviceId": "chat:openai.com", "authSecret": SECRET, "url": bound}]));
        let answers = [server.process(&key, &chat("Hi")), server.process(&key, &streamed(chat("Hi")))];
        assert_eq!(answers[0].status, status, "{row}: {answers:?}");
        for answer in answers {
            assert!(!answer.text().contains("hidden"), "{row}: {answer:?}");
            let port = url.rsplit(':').next().unwrap();
            assert!(status == 200 || !answer.text().contains(port), "{row}: {answer:?}");
        }
    }
}
