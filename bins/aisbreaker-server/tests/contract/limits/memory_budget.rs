//! How much memory the bodies and answers of all requests may hold together.

use std::{io::Write as _, net::Ipv4Addr, sync::mpsc};

use serde_json::{Value, json};

use super::{MIB, retry_until_ok};
use crate::support::{
    Connection, PATIENCE, Provider, Request, Server, Wire, assert_error, call, dummy_call, gate,
    hop, refused_start, service, service_at, sse, streamed,
};

/// A budget of three megabytes.
const THREE_MEGABYTES: [(&str, &str); 3] = [
    ("AISBREAKER_MAX_BUFFERED_BYTES", "3000000"),
    ("AISBREAKER_MAX_BODY_BYTES", "2000000"),
    ("AISBREAKER_MAX_ANSWER_BYTES", "2000000"),
];

/// A call whose body has about this many bytes, and whose answer is short.
fn padded(bytes: usize) -> Value {
    let mut body = dummy_call();
    body["padding"] = json!("x".repeat(bytes));
    body
}

#[test]
fn bounds_the_total_size_of_request_bodies() {
    let server = Server::start(&[
        ("AISBREAKER_MAX_BUFFERED_BYTES", "3300000"),
        ("AISBREAKER_MAX_BODY_BYTES", "2000000"),
        ("AISBREAKER_MAX_ANSWER_BYTES", "2000000"),
    ]);
    let bytes = Request::process(&padded(MIB)).to_bytes();
    let (last, all_but_last) = bytes.split_last().unwrap();
    let (report, responses) = mpsc::channel();

    // Each of eight clients sends a megabyte except for its last byte. The server refuses some of
    // them at once, and the others wait.
    std::thread::scope(|scope| {
        let mut writers = Vec::new();
        for client in 1..=8 {
            let mut connection =
                Connection::open_from(Ipv4Addr::new(127, 0, 0, client), server.address());
            writers.push(connection.writer());
            let report = report.clone();
            scope.spawn(move || {
                connection.write(all_but_last);
                report.send(connection.response_to("POST")).unwrap();
            });
        }
        for i in 0..5 {
            let refused = responses.recv_timeout(PATIENCE).unwrap();
            assert_error(&format!("refusal {i}"), &refused, 503, "overloaded");
            assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
        }
        assert_eq!(
            server.process("", &dummy_call()).status,
            200,
            "small bodies are still accepted"
        );
        for mut writer in writers {
            // Refused connections are closed.
            let _written = writer.write_all(&[*last]);
        }
        // Bodies that grow at the same moment may both be refused, so that fewer than fit are left.
        let rest: Vec<u16> = (0..3)
            .map(|_| responses.recv_timeout(PATIENCE).unwrap().status)
            .collect();
        assert!(rest.contains(&200), "none is accepted: {rest:?}");
        assert!(
            rest.iter().all(|status| [200, 503].contains(status)),
            "{rest:?}"
        );
    });
    retry_until_ok(|| server.process("", &padded(MIB)));
}

#[test]
fn bounds_the_share_of_one_client() {
    // The share is a quarter of the budget, and at least one request with its answer.
    let server = Server::start(&[
        ("AISBREAKER_MAX_BUFFERED_BYTES", "100000000"),
        ("AISBREAKER_MAX_BODY_BYTES", "2000000"),
        ("AISBREAKER_MAX_ANSWER_BYTES", "2000000"),
    ]);
    let bytes = Request::process(&padded(MIB)).to_bytes();
    let (_, all_but_last) = bytes.split_last().unwrap();
    let mut greedy: Vec<Connection> = Vec::new();
    let responses = std::iter::repeat_with(|| {
        let mut connection = server.connect();
        connection.write(all_but_last);
        greedy.push(connection);
        server.process("", &padded(MIB))
    });

    let refused = responses
        .take(40)
        .find(|response| response.status != 200)
        .expect("a refusal");

    assert_error("the greedy client", &refused, 503, "overloaded");
    let mut other = Connection::open_from(Ipv4Addr::new(127, 0, 0, 2), server.address());
    assert_eq!(
        other.send(&Request::process(&padded(MIB))).status,
        200,
        "another client"
    );
}

#[test]
fn refuses_an_answer_that_can_never_fit() {
    let server = Server::start(&THREE_MEGABYTES);
    // The response repeats the text, and again with the question in its base64 state.
    let echo = |bytes: usize| call(service("chat:echo"), &"x".repeat(bytes));

    let refused = server.process("", &echo(MIB));
    assert_error("a response of four megabytes", &refused, 502, "bytes");
    assert!(
        refused.header("ratelimit").is_some(),
        "not charged: {refused:?}"
    );

    assert_eq!(server.process("", &echo(MIB / 4)).status, 200);
}

#[test]
fn bounds_the_total_size_of_provider_answers() {
    let (gate, waiter) = gate();
    let provider = Provider::start(move |request, wire: &mut Wire| {
        let text = "x".repeat(900_000);
        let chunk =
            json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]});
        if request.json()["stream"] == true {
            wire.stream();
            wire.chunk(sse(&chunk));
            waiter.wait();
            return wire.end();
        }
        let response = json!({"choices": [{"message": {"content": text}}]}).to_string();
        let (all_but_last, last) = response.split_at(response.len() - 1);
        wire.head(200, &[("Content-Length", &response.len().to_string())]);
        wire.write(all_but_last);
        waiter.wait();
        wire.write(last);
    });
    let server = Server::with_loopback_egress(&THREE_MEGABYTES);
    let body = call(service_at("chat:openai.com", &provider.url()), "Hi");

    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|i| {
                let body = if i % 2 == 0 {
                    body.clone()
                } else {
                    streamed(body.clone())
                };
                scope.spawn(|| {
                    let response = server.send(&Request::process(&{ body }).bearer("sk-own"));
                    let is_refused = response.text().contains("overloaded");
                    if is_refused {
                        // Lets the answers that are held complete.
                        gate.open();
                    }
                    is_refused
                })
            })
            .collect();
        let refused = calls
            .into_iter()
            .map(|call| call.join().unwrap())
            .filter(|is_refused| *is_refused)
            .count();
        assert!(
            refused > 0,
            "eight answers of 900 KB are held in a budget of 3 MB"
        );
    });
    gate.open();
    retry_until_ok(|| server.process("sk-own", &dummy_call()));
}

#[test]
fn bounds_the_total_size_of_incomplete_events() {
    let (gate, waiter) = gate();
    let next = Provider::start(move |_, wire: &mut Wire| {
        wire.stream();
        wire.chunk(format!("event: final\ndata: \"{}", "x".repeat(900_000)));
        waiter.wait();
        wire.close();
    });
    let server = Server::with_loopback_egress(&THREE_MEGABYTES);
    let request = Request::process(&streamed(call(
        hop(&next.url(), &service("chat:dummy")),
        "Hi",
    )));
    let (report, errors) = mpsc::channel();

    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (report, server, request) = (report.clone(), &server, &request);
            scope.spawn(move || report.send(server.send(request).stream_error().1).unwrap());
        }
        // Three of them are held, and the others are refused.
        let refused: Vec<_> = (0..5)
            .map_while(|_| errors.recv_timeout(PATIENCE).ok())
            .collect();
        gate.open();
        assert_eq!(refused.len(), 5, "more than three are held: {refused:?}");
        assert!(
            refused.iter().all(|error| error["statusCode"] == 503),
            "{refused:?}"
        );
    });
}

#[test]
fn refuses_settings_with_a_body_limit_above_the_budget() {
    for variable in ["AISBREAKER_MAX_BODY_BYTES", "AISBREAKER_MAX_ANSWER_BYTES"] {
        let errors = refused_start(
            &[],
            &[
                ("AISBREAKER_MAX_BUFFERED_BYTES", "70000000"),
                (variable, "70000001"),
            ],
        );
        assert!(
            errors.contains(variable) && errors.contains("AISBREAKER_MAX_BUFFERED_BYTES"),
            "{errors}"
        );
    }
}
