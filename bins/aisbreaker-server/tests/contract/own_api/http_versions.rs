//! Contract section 2: HTTP/1.0, HTTP/1.1 and HTTP/2 on one port.

use crate::support::{
    Request, Response, Server, call, dummy_call, send_over_http2, service, streamed,
};
/// Header fields of every call of the original Java client.
const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade, HTTP2-Settings"),
    (
        "HTTP2-Settings",
        "AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA",
    ),
    ("Upgrade", "h2c"),
    ("User-Agent", "Java-http-client/17.0.15"),
];

/// Offers an upgrade to HTTP/2.
fn with_upgrade(request: Request) -> Request {
    UPGRADE
        .iter()
        .fold(request, |request, (name, value)| request.set(name, value))
}

#[test]
fn h2c_upgrade_offers_are_served_as_http1() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let rows = [
        with_upgrade(Request::get("/api/v1/ping")).header("Content-Length", "0"),
        with_upgrade(Request::process(&dummy_call())),
        with_upgrade(Request::process(&streamed(dummy_call()))),
        with_upgrade(Request::get("/api/v1/version")),
    ];

    for request in rows {
        let response = connection.send(&request);
        assert_eq!(
            (response.status, &*response.version),
            (200, "HTTP/1.1"),
            "{response:?}"
        );
        assert_eq!(response.header("upgrade"), None, "{response:?}");
        assert!(!response.is_truncated, "{response:?}");
    }
}

#[test]
fn http1_0_responses_close_the_connection() {
    let server = Server::start(&[]);
    let body = dummy_call().to_string();
    let plain_request = format!(
        "POST /api/v1/process HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let streamed_body = streamed(dummy_call()).to_string();
    let streamed_request = format!(
        "POST /api/v1/process HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{streamed_body}",
        streamed_body.len()
    );
    let rows = [
        (
            "ping",
            "GET /api/v1/ping HTTP/1.0\r\n\r\n".to_owned(),
            "api-pong",
        ),
        ("process", plain_request, "DummyAssistantService"),
        ("stream", streamed_request, "event: final"),
    ];

    for (name, request, expected) in rows {
        let mut connection = server.connect();
        connection.write(request.as_bytes());
        let response = String::from_utf8(connection.read_to_end()).unwrap();
        assert!(
            response.starts_with("HTTP/1.0 200 ") || response.starts_with("HTTP/1.1 200 "),
            "{name}: {response}"
        );
        assert!(response.contains(expected), "{name}: {response}");
        assert!(
            !response.to_lowercase().contains("transfer-encoding"),
            "{name}: HTTP/1.0 has no chunked encoding: {response}"
        );
    }
}

#[test]
fn http2_with_prior_knowledge_shares_the_port() {
    let server = Server::start(&[]);
    let dummy = dummy_call();
    let rows = [
        ("GET", "/api/v1/ping", String::new(), 200, "api-pong"),
        (
            "POST",
            "/api/v1/process",
            dummy.to_string(),
            200,
            "DummyAssistantService",
        ),
        (
            "POST",
            "/api/v1/process",
            streamed(dummy).to_string(),
            200,
            "event: final",
        ),
        ("GET", "/nothing", String::new(), 404, "\"statusCode\":404"),
        (
            "DELETE",
            "/api/v1/ping",
            String::new(),
            405,
            "\"statusCode\":405",
        ),
    ];

    let requests = rows.each_ref().map(|(method, path, body, ..)| {
        hyper::Request::builder()
            .method(*method)
            .uri(format!("http://localhost{path}"))
            .header("content-type", "application/json")
            .body(body.clone())
            .unwrap()
    });
    let responses = send_over_http2(&server, requests.into());

    for ((method, path, _, status, expected), (head, body)) in rows.iter().zip(responses) {
        assert_eq!(head.version, hyper::Version::HTTP_2, "{method} {path}");
        assert_eq!(head.status.as_u16(), *status, "{method} {path}: {body}");
        assert_eq!(
            head.headers["access-control-allow-origin"], "*",
            "{method} {path}"
        );
        assert!(body.contains(expected), "{method} {path}: {body}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let requests = [
        Request::get("/api/v1/version?name=one"),
        Request::process(&call(service("chat:dummy"), "two")),
        Request::get("/api/v1/version?name=three"),
    ];

    connection.write(&requests.each_ref().map(Request::to_bytes).concat());
    let responses: Vec<Response> = requests
        .iter()
        .map(|request| connection.response_to(request.method()))
        .collect();

    for (response, expected) in responses.iter().zip(["one", "two", "three"]) {
        assert!(
            response.text().contains(expected),
            "{expected}: {response:?}"
        );
    }
}

#[test]
fn stream_is_uncached_server_sent_events() {
    let server = Server::start(&[]);

    let response = server.process("", &streamed(dummy_call()));

    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    assert_eq!(response.header("content-length"), None);
    assert_eq!(response.header("cache-control"), Some("no-cache"));
    let events = response.events();
    assert_eq!(
        events.iter().filter(|event| event.name == "final").count(),
        1
    );
}
