//! Contract section 4, `aisbreaker:network`: errors of the next server.

use serde_json::{Value, json};

use super::{
    hops::{QUESTION, documented_key, progress, request_by_address},
    mirror,
};
use crate::support::{
    Provider, Server, assert_error, call, closed_url, hop, quotas, service, service_at, streamed,
};

/// The prefix that a hop adds to the message of an error.
fn prefix(url: &str, inner: &str) -> String {
    format!("AIsNetworkClientService(aisbreaker:network->{url}->{inner}): ")
}

/// A name, the service properties, the expected status, and the parts of the message in their order.
type ErrorRow = (&'static str, Value, u16, Vec<String>);

/// Errors of services behind one and two hops, where the servers have these URLs.
fn errors_behind_hops(urls: [String; 3]) -> Vec<ErrorRow> {
    let [_, second, third] = urls;
    let invalid = service("chat:invalid");
    let not_found = "No factory registered for serviceId 'chat:invalid'";
    let dead = "http://localhost-invalid:80";
    let echo = service("aisbreaker:echo");
    vec![
        (
            "unknown service, one hop",
            hop(&second, &invalid),
            404,
            vec![prefix(&second, "chat:invalid"), not_found.to_owned()],
        ),
        (
            "unknown service inside a mirror",
            hop(&second, &mirror(&invalid)),
            404,
            vec![prefix(&second, "aisbreaker:mirror"), not_found.to_owned()],
        ),
        (
            "unknown service, two hops",
            hop(&second, &hop(&third, &mirror(&invalid))),
            404,
            vec![
                prefix(&second, "aisbreaker:network"),
                prefix(&third, "aisbreaker:mirror"),
                not_found.to_owned(),
            ],
        ),
        (
            "unknown host here",
            hop(dead, &hop(&second, &echo)),
            503,
            vec![
                prefix(dead, "aisbreaker:network"),
                "Error".into(),
                "getaddrinfo".into(),
                "localhost-invalid".into(),
            ],
        ),
        (
            "unknown host there",
            hop(&second, &hop(dead, &echo)),
            503,
            vec![
                prefix(&second, "aisbreaker:network"),
                prefix(dead, "aisbreaker:echo"),
                "Error".into(),
                "getaddrinfo".into(),
            ],
        ),
        (
            "bad request there",
            hop(&second, &service("aisbreaker:nop")),
            400,
            vec![prefix(&second, "aisbreaker:nop")],
        ),
    ]
}

#[test]
fn error_keeps_its_status_and_gains_a_prefix_per_hop() {
    let servers = [(); 3].map(|()| Server::with_loopback_egress(&[]));
    let key = documented_key(&servers[0]);
    let rows = errors_behind_hops(servers.each_ref().map(Server::url));

    for (row, props, status, parts) in rows {
        let response = servers[0].send(&request_by_address(&key, &call(props.clone(), QUESTION)));
        assert_error(row, &response, status, "");
        let mut rest = &*response.message();
        for (i, text) in parts.iter().enumerate() {
            let at = rest
                .find(text.as_str())
                .unwrap_or_else(|| panic!("{row}: {text:?} is not in {rest:?}"));
            assert!(
                i > 0 || at == 0,
                "{row}: the prefix is not at the beginning of {rest:?}"
            );
            rest = &rest[at + text.len()..];
        }
        let response = servers[0].send(&request_by_address(&key, &streamed(call(props, QUESTION))));
        let (progress, error) = response.stream_error();
        assert!(progress.is_empty(), "{row}, streamed");
        assert_eq!(error["statusCode"], status, "{row}, streamed: {error}");
        let message = error["message"].as_str().unwrap();
        for text in &parts {
            assert!(
                message.contains(text),
                "{row}, streamed: {text:?} is not in {message:?}"
            );
        }
    }
}

#[test]
fn bad_key_and_spent_quota_of_the_next_server_are_forwarded() {
    let here = Server::with_loopback_egress(&[]);
    let one_per_minute = quotas([1, 100, 100], [100; 3]).to_string();
    let there = Server::start(&[("AISBREAKER_DEFAULT_QUOTAS", &one_per_minute)]);
    let props = hop(&there.url(), &service("chat:dummy"));
    let key = here.mint_with_secrets(
        &json!([{"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"}]),
    );

    // The key is bound to `localhost`, but the next server is called by its address.
    let response = here.process(&key, &call(props.clone(), "Hi"));
    assert_error("bad key", &response, 401, "Invalid aisbreaker access token");
    assert!(
        response
            .message()
            .starts_with(&prefix(&there.url(), "chat:dummy")),
        "{}",
        response.message()
    );

    assert_eq!(
        here.process("sk-own", &call(props.clone(), "Hi")).status,
        200
    );
    let response = here.process("sk-own", &call(props, "Hi"));
    assert_error(
        "spent quota",
        &response,
        429,
        "Request quota exceeded: client requests per minute limit exceeded",
    );
    let wait: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
}

#[test]
fn missing_url_or_inner_service_is_refused_locally() {
    let here = Server::with_loopback_egress(&[]);

    let nowhere =
        json!({"serviceId": "aisbreaker:network", "forward2ServiceProps": service("chat:dummy")});
    assert_error(
        "no url",
        &here.process("", &call(nowhere, "Hi")),
        400,
        "url",
    );
    let nothing = service_at("aisbreaker:network", "http://127.0.0.1:1");
    assert_error(
        "no inner service",
        &here.process("", &call(nothing, "Hi")),
        400,
        "forward2ServiceProps",
    );
}

#[test]
fn invalid_response_of_the_next_server_becomes_an_error() {
    let rows: [(&str, u16, &str, u16); 8] = [
        ("HTML", 200, "<html>hello</html>", 502),
        ("nothing", 200, "", 502),
        ("another JSON", 200, "{\"hello\":1}", 502),
        ("a list", 200, "[]", 502),
        (
            "an error with status 200",
            200,
            r#"{"error":{"message":"told","statusCode":418}}"#,
            418,
        ),
        ("an error without message", 500, "{}", 500),
        ("an error that is no JSON", 503, "<html>hello</html>", 503),
        ("no such path", 404, "Cannot POST /api/v1/process", 404),
    ];

    for (row, status, body, expected) in rows {
        let next = Provider::start(move |_, wire| {
            wire.respond(status, &[("Content-Type", "application/json")], body)
        });
        let server = Server::with_loopback_egress(&[]);
        let props = hop(&next.url(), &service("chat:dummy"));
        let response = server.process("sk-own", &call(props.clone(), "Hi"));
        assert_error(row, &response, expected, &prefix(&next.url(), "chat:dummy"));
        assert!(
            !response.text().contains("sk-own") && !response.text().contains("<html>"),
            "{row}: {response:?}"
        );
        let (_, error) = server
            .process("sk-own", &streamed(call(props, "Hi")))
            .stream_error();
        assert_eq!(error["statusCode"], expected, "{row}, streamed: {error}");
    }
}

#[test]
fn key_repeated_by_the_next_server_is_masked() {
    let next = Provider::start(|received, wire| {
        let message = format!("no: {}", received.header("authorization").unwrap());
        wire.json(
            418,
            &json!({"error": {"message": message, "statusCode": 418, "statusText": message}}),
        );
    });
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(
        &json!([{"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"}]),
    );

    for bearer in [&*key, "sk-own-canary"] {
        let response = server.process(
            bearer,
            &call(hop(&next.url(), &service("chat:dummy")), "Hi"),
        );
        assert_error("repeated", &response, 418, "no: Bearer ***");
        assert!(!response.text().contains(bearer), "{response:?}");
    }
}

#[test]
fn unreachable_next_server_returns_503() {
    let url = closed_url();
    let server = Server::with_loopback_egress(&[]);

    let response = server.process("sk-own", &call(hop(&url, &service("chat:dummy")), "Hi"));

    assert_error("refused", &response, 503, "Error");
    assert!(
        response.message().starts_with(&prefix(&url, "chat:dummy")),
        "{}",
        response.message()
    );
}

#[test]
fn stream_broken_behind_a_hop_ends_with_one_error() {
    let error_body = json!({"error": {"message": "told there", "statusCode": 429, "statusText": "Too Many Requests"}});
    let first_event = progress("Hel");
    let rows = [
        ("closed", String::new(), true, 502, ""),
        ("ended without final", String::new(), false, 502, ""),
        (
            "an error event",
            format!("event: error\ndata: {error_body}\n\n"),
            false,
            429,
            "told there",
        ),
        (
            "an invalid error event",
            "event: error\ndata: x\n\n".to_owned(),
            false,
            502,
            "",
        ),
        (
            "an invalid final event",
            "event: final\ndata: {\"hello\":1}\n\n".to_owned(),
            false,
            502,
            "",
        ),
    ];

    for (row, rest, is_closed, status, expected) in rows {
        let text = format!("{first_event}{rest}");
        let next = Provider::start(move |_, wire| {
            wire.stream();
            wire.chunk(&text);
            if is_closed { wire.close() } else { wire.end() }
        });
        let servers = [(); 2].map(|()| Server::with_loopback_egress(&[]));
        let props = hop(&servers[1].url(), &hop(&next.url(), &service("chat:dummy")));
        let (progress, error) = servers[0]
            .process("sk-own", &streamed(call(props, "Hi")))
            .stream_error();
        assert_eq!(progress.len(), 1, "{row}");
        assert_eq!(error["statusCode"], status, "{row}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(expected), "{row}: {message}");
        assert!(
            message.starts_with(&prefix(&servers[1].url(), "aisbreaker:network")),
            "{row}: {message}"
        );
        assert!(
            message.contains(&prefix(&next.url(), "chat:dummy")),
            "{row}: {message}"
        );
    }
}
