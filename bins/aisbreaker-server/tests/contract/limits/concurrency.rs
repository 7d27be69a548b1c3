//! How many connections, requests and provider calls may be open at once.

use serde_json::json;

use super::retry_until_ok;
use crate::support::{
    Connection, Provider, Request, Server, Ticker, assert_error, call, dummy_call, gate,
    service_at, sse, streamed,
};

#[test]
fn bounds_concurrent_requests() {
    let (gate, waiter) = gate();
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        wire.chunk(sse(
            &json!({"choices": [{"index": 0, "delta": {"content": "one"}}]}),
        ));
        waiter.wait();
        wire.chunk("data: [DONE]\n\n");
        wire.end();
    });
    let server = Server::with_loopback_egress(&[("AISBREAKER_MAX_REQUESTS", "2")]);
    let body = streamed(call(service_at("chat:openai.com", &provider.url()), "Hi"));
    let mut streams = [server.connect(), server.connect()];
    for stream in &mut streams {
        stream.write(&Request::process(&body).bearer("sk-own").to_bytes());
        assert_eq!(stream.head().status, 200);
        assert_eq!(stream.event().unwrap().name, "progress");
    }

    for request in [
        Request::process(&dummy_call()),
        Request::get("/api/v1/ping"),
    ] {
        let refused = server.send(&request);
        assert_error("a third", &refused, 503, "too many requests");
        assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
    }
    assert_eq!(server.get("/healthz").status, 200, "probes are not limited");
    assert_eq!(server.get("/readyz").status, 200);

    gate.open();
    for stream in &mut streams {
        assert_eq!(stream.event().unwrap().name, "final");
    }
    retry_until_ok(|| server.process("", &dummy_call()));
}

#[test]
fn bounds_concurrent_calls_to_one_provider() {
    let (gate, waiter) = gate();
    let response = json!({"choices": [{"message": {"content": "ok"}}]});
    let slow_answer = response.clone();
    let slow = Provider::start(move |_, wire| {
        waiter.wait();
        wire.json(200, &slow_answer);
    });
    let other = Provider::with_response(200, response);
    let server = Server::with_loopback_egress(&[("AISBREAKER_MAX_PROVIDER_CONNECTIONS", "2")]);
    let at = |provider: &Provider| call(service_at("chat:openai.com", &provider.url()), "Hi");
    let mut waiting = [server.connect(), server.connect()];
    for connection in &mut waiting {
        connection.write(&Request::process(&at(&slow)).bearer("sk-own").to_bytes());
    }
    // Both calls reach the provider.
    assert!((0..1_000_000).any(|_| slow.requests().len() == 2));

    let refused = server.process("sk-own", &at(&slow));

    assert_error("a third", &refused, 503, "too many calls");
    assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
    let (_, error) = server
        .process("sk-own", &streamed(at(&slow)))
        .stream_error();
    assert_eq!(error["statusCode"], 503, "streamed: {error}");
    assert_eq!(
        server.process("sk-own", &at(&other)).content(),
        "ok",
        "another provider"
    );
    gate.open();
    for connection in &mut waiting {
        assert_eq!(connection.response_to("POST").content(), "ok");
    }
    assert_eq!(server.process("sk-own", &at(&slow)).content(), "ok");
    assert_eq!(slow.requests().len(), 3);
}

#[test]
fn evicts_the_longest_waiting_connection_for_a_new_one() {
    let server = Server::start(&[
        ("AISBREAKER_MAX_CONNECTIONS", "3"),
        ("AISBREAKER_HEADER_TIMEOUT", "10m"),
    ]);
    let fragments = [
        "",
        "GET /api/v1/ping HTTP/1.1\r\nHost: ",
        "POST /api/v1/process HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
    ];
    let waiting: Vec<Connection> = fragments
        .iter()
        .map(|fragment| {
            let mut connection = server.connect();
            connection.write(fragment.as_bytes());
            connection
        })
        .collect();

    // A connection is evicted after two seconds of waiting. Never more than three are open.
    let mut ticker = Ticker::start(200);
    let mut newcomers = Vec::new();
    for mut evicted in waiting {
        let count = newcomers.len();
        while newcomers.len() == count {
            ticker.tick();
            let mut connection = server.connect();
            let is_accepted = connection.send(&Request::get("/api/v1/ping")).status == 200;
            if is_accepted {
                newcomers.push(connection);
            }
        }
        assert!(
            evicted.read_to_end().is_empty(),
            "the longest waiting connection is closed first"
        );
    }
}

#[test]
fn raises_the_open_file_limit_as_far_as_allowed() {
    let unrestricted = Server::start_with_open_files_limit(256, 16_000);
    assert_eq!(unrestricted.open_files_limit(), 16_000);
    assert!(
        !unrestricted.log().contains("ulimit"),
        "{}",
        unrestricted.log()
    );

    let restricted = Server::start_with_open_files_limit(256, 500);
    assert_eq!(restricted.open_files_limit(), 500);
    assert!(restricted.log().contains("ulimit"), "{}", restricted.log());
}

#[test]
fn refuses_connections_over_the_cap_with_503() {
    let server = Server::start(&[("AISBREAKER_MAX_CONNECTIONS", "2")]);
    let mut open = [server.connect(), server.connect()];
    for connection in &mut open {
        assert_eq!(connection.send(&Request::get("/api/v1/ping")).status, 200);
    }

    let mut refused = server.connect();
    assert_error("the third", &refused.response_to("GET"), 503, "");
    assert!(refused.read_to_end().is_empty());

    // Open connections are still served, and there is room again when one closes.
    let [mut first, second] = open;
    assert_eq!(first.send(&Request::get("/api/v1/ping")).status, 200);
    drop(second);
    let is_admitted = || server.connect().send(&Request::get("/api/v1/ping")).status == 200;
    assert!(
        (0..10_000).any(|_| is_admitted()),
        "no room although one connection has closed"
    );
}
