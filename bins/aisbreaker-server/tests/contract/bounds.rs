//! What all callers together can make the server hold: bodies, answers, requests, calls to one
//! provider.

use std::{
    io::Write as _,
    net::Ipv4Addr,
    sync::{Arc, Condvar, Mutex, mpsc},
};

use serde_json::{Value, json};

use crate::support::{
    Answer, Connection, Metronome, PATIENCE, Provider, Request, Server, Wire, assert_error, call,
    hop, refused_start, service, service_at, sse, streamed,
};

const MIB: usize = 1 << 20;

fn dummy() -> Value {
    call(service("chat:dummy"), "Hi")
}

/// A call whose body has about this many bytes and whose answer is short.
fn padded(bytes: usize) -> Value {
    let mut body = dummy();
    body["padding"] = json!("x".repeat(bytes));
    body
}

/// Asks until the answer is the wanted one: what others do takes its effect a moment later.
fn ask_until(mut ask: impl FnMut() -> Answer, is_it: impl Fn(&Answer) -> bool) -> Answer {
    let last = std::iter::repeat_with(&mut ask).take(10_000).find(is_it);
    last.expect("the answer that was waited for")
}

/// Holds scripts of a provider back until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        drop(
            self.0
                .1
                .wait_while(self.0.0.lock().unwrap(), |is_open| !*is_open)
                .unwrap(),
        );
    }
}

#[test]
fn the_bodies_of_all_requests_together_are_bounded() {
    let server = Server::start(&[
        ("AISBREAKER_MAX_BUFFERED_BYTES", "3300000"),
        ("AISBREAKER_MAX_BODY_BYTES", "2000000"),
        ("AISBREAKER_MAX_ANSWER_BYTES", "2000000"),
    ]);
    let bytes = Request::process(&padded(MIB)).to_bytes();
    let (last, most) = bytes.split_last().unwrap();
    let (tell, told) = mpsc::channel();

    // Each of eight clients sends all but a byte of a megabyte. Those that are refused are told at
    // once, the others wait.
    std::thread::scope(|scope| {
        let mut writers = Vec::new();
        for client in 1..=8 {
            let mut connection =
                Connection::open_from(Ipv4Addr::new(127, 0, 0, client), server.address());
            writers.push(connection.writer());
            let tell = tell.clone();
            scope.spawn(move || {
                connection.write(most);
                tell.send(connection.answer_to("POST")).unwrap();
            });
        }
        for i in 0..5 {
            let refused = told.recv_timeout(PATIENCE).unwrap();
            assert_error(&format!("refusal {i}"), &refused, 503, "overloaded");
            assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
        }
        assert_eq!(
            server.process("", &dummy()).status,
            200,
            "small ones are served on"
        );
        for mut writer in writers {
            // Those that were refused are closed.
            let _written = writer.write_all(&[*last]);
        }
        for i in 0..3 {
            assert_eq!(
                told.recv_timeout(PATIENCE).unwrap().status,
                200,
                "those that were held: {i}"
            );
        }
    });
    ask_until(
        || server.process("", &padded(MIB)),
        |answer| answer.status == 200,
    );
}

#[test]
fn a_client_holds_no_more_than_its_share() {
    // A quarter, but not less than a request and its answer.
    let server = Server::start(&[
        ("AISBREAKER_MAX_BUFFERED_BYTES", "100000000"),
        ("AISBREAKER_MAX_BODY_BYTES", "2000000"),
        ("AISBREAKER_MAX_ANSWER_BYTES", "2000000"),
    ]);
    let bytes = Request::process(&padded(MIB)).to_bytes();
    let (_, most) = bytes.split_last().unwrap();
    let mut greedy: Vec<Connection> = Vec::new();
    let refused = std::iter::repeat_with(|| {
        let mut connection = server.connect();
        connection.write(most);
        greedy.push(connection);
        server.process("", &padded(MIB))
    });

    let refused = refused.take(40).find(|answer| answer.status != 200);

    assert_error(
        "the greedy client",
        &refused.expect("a refusal"),
        503,
        "overloaded",
    );
    let mut other = Connection::open_from(Ipv4Addr::new(127, 0, 0, 2), server.address());
    assert_eq!(
        other.send(&Request::process(&padded(MIB))).status,
        200,
        "another client"
    );
}

#[test]
fn a_whole_answer_counts_until_it_is_taken() {
    let server = Server::start(&[
        ("AISBREAKER_MAX_BUFFERED_BYTES", "3000000"),
        ("AISBREAKER_MAX_BODY_BYTES", "2000000"),
        ("AISBREAKER_MAX_ANSWER_BYTES", "2000000"),
    ]);
    // The state repeats what was said and what was answered, in base64.
    let echo = |bytes: usize| call(service("chat:echo"), &"x".repeat(bytes));

    let refused = server.process("", &echo(MIB));
    assert_error(
        "four times a megabyte, for which there never is room",
        &refused,
        502,
        "bytes",
    );
    assert!(
        refused.header("ratelimit").is_some(),
        "it was charged: {refused:?}"
    );

    assert_eq!(server.process("", &echo(MIB / 4)).status, 200);
}

#[test]
fn the_answers_of_all_providers_together_are_bounded() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |received, wire: &mut Wire| {
        let text = "x".repeat(900_000);
        let chunk =
            json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]});
        if received.json()["stream"] == true {
            wire.stream();
            wire.chunk(sse(&chunk));
            held.pass();
            return wire.end();
        }
        let answer = json!({"choices": [{"message": {"content": text}}]}).to_string();
        let (most, last) = answer.split_at(answer.len() - 1);
        wire.head(200, &[("Content-Length", &answer.len().to_string())]);
        wire.write(most);
        held.pass();
        wire.write(last);
    });
    let server = Server::with_egress(&[
        ("AISBREAKER_MAX_BUFFERED_BYTES", "3000000"),
        ("AISBREAKER_MAX_BODY_BYTES", "2000000"),
        ("AISBREAKER_MAX_ANSWER_BYTES", "2000000"),
    ]);
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
                    let answer = server.send(&Request::process(&{ body }).bearer("sk-own"));
                    let told = answer.text().contains("overloaded");
                    if told {
                        // So that those that are held can end.
                        gate.open();
                    }
                    told
                })
            })
            .collect();
        let refused = calls
            .into_iter()
            .map(|call| call.join().unwrap())
            .filter(|told| *told)
            .count();
        assert!(
            refused > 0,
            "eight answers of 900 KB were held, though 3 MB are the most"
        );
    });
    gate.open();
    let answer = ask_until(
        || server.process("sk-own", &dummy()),
        |answer| answer.status == 200,
    );
    assert_eq!(answer.status, 200);
}

#[test]
fn events_whose_end_does_not_come_are_bounded_together() {
    let gate = Gate::default();
    let held = gate.clone();
    let next = Provider::start(move |_, wire: &mut Wire| {
        wire.stream();
        wire.chunk(format!("event: final\ndata: \"{}", "x".repeat(900_000)));
        held.pass();
        wire.cut();
    });
    let server = Server::with_egress(&[
        ("AISBREAKER_MAX_BUFFERED_BYTES", "3000000"),
        ("AISBREAKER_MAX_BODY_BYTES", "2000000"),
        ("AISBREAKER_MAX_ANSWER_BYTES", "2000000"),
    ]);
    let request = Request::process(&streamed(call(
        hop(&next.url(), &service("chat:dummy")),
        "Hi",
    )));
    let (tell, told) = mpsc::channel();

    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (tell, server, request) = (tell.clone(), &server, &request);
            scope.spawn(move || tell.send(server.send(request).stream_error().1).unwrap());
        }
        // Three of them are held, and wait; the others are told.
        let refused: Vec<_> = (0..5)
            .map_while(|_| told.recv_timeout(PATIENCE).ok())
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
fn a_single_body_that_could_never_be_held_is_a_fault_of_the_settings() {
    for variable in ["AISBREAKER_MAX_BODY_BYTES", "AISBREAKER_MAX_ANSWER_BYTES"] {
        let told = refused_start(
            &[],
            &[
                ("AISBREAKER_MAX_BUFFERED_BYTES", "70000000"),
                (variable, "70000001"),
            ],
        );
        assert!(
            told.contains(variable) && told.contains("AISBREAKER_MAX_BUFFERED_BYTES"),
            "{told}"
        );
    }
}

#[test]
fn so_many_requests_are_under_way_and_no_more() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        wire.chunk(sse(
            &json!({"choices": [{"index": 0, "delta": {"content": "one"}}]}),
        ));
        held.pass();
        wire.chunk("data: [DONE]\n\n");
        wire.end();
    });
    let server = Server::with_egress(&[("AISBREAKER_MAX_REQUESTS", "2")]);
    let body = streamed(call(service_at("chat:openai.com", &provider.url()), "Hi"));
    let mut streams = [server.connect(), server.connect()];
    for stream in &mut streams {
        stream.write(&Request::process(&body).bearer("sk-own").to_bytes());
        assert_eq!(stream.head().status, 200);
        assert_eq!(stream.event().unwrap().name, "progress");
    }

    for request in [Request::process(&dummy()), Request::get("/api/v1/ping")] {
        let refused = server.send(&request);
        assert_error("a third", &refused, 503, "too many requests");
        assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
    }
    assert_eq!(
        server.get("/healthz").status,
        200,
        "probes are answered all the same"
    );
    assert_eq!(server.get("/readyz").status, 200);

    gate.open();
    for stream in &mut streams {
        assert_eq!(stream.event().unwrap().name, "final");
    }
    ask_until(
        || server.process("", &dummy()),
        |answer| answer.status == 200,
    );
}

#[test]
fn so_many_calls_to_one_provider_are_under_way_and_no_more() {
    let gate = Gate::default();
    let held = gate.clone();
    let answer = json!({"choices": [{"message": {"content": "ok"}}]});
    let slow_answer = answer.clone();
    let slow = Provider::start(move |_, wire| {
        held.pass();
        wire.json(200, &slow_answer);
    });
    let other = Provider::with_answer(200, answer);
    let server = Server::with_egress(&[("AISBREAKER_MAX_PROVIDER_CONNECTIONS", "2")]);
    let at = |provider: &Provider| call(service_at("chat:openai.com", &provider.url()), "Hi");
    let mut waiting = [server.connect(), server.connect()];
    for connection in &mut waiting {
        connection.write(&Request::process(&at(&slow)).bearer("sk-own").to_bytes());
    }
    // Both are with the provider.
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
        assert_eq!(connection.answer_to("POST").content(), "ok");
    }
    assert_eq!(server.process("sk-own", &at(&slow)).content(), "ok");
    assert_eq!(slow.requests().len(), 3);
}

#[test]
fn connections_that_only_wait_give_way_to_new_ones() {
    let server = Server::start(&[
        ("AISBREAKER_MAX_CONNECTIONS", "3"),
        ("AISBREAKER_HEADER_TIMEOUT", "10m"),
    ]);
    let beginnings = [
        "",
        "GET /api/v1/ping HTTP/1.1\r\nHost: ",
        "POST /api/v1/process HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
    ];
    let waiting: Vec<Connection> = beginnings
        .iter()
        .map(|beginning| {
            let mut connection = server.connect();
            connection.write(beginning.as_bytes());
            connection
        })
        .collect();

    // Not at once, but after two seconds; never more than three are open.
    let mut metronome = Metronome::start(200);
    let mut newcomers = Vec::new();
    for mut given_up in waiting {
        let count = newcomers.len();
        while newcomers.len() == count {
            metronome.wait();
            let mut connection = server.connect();
            let is_served = connection.send(&Request::get("/api/v1/ping")).status == 200;
            newcomers.extend(is_served.then_some(connection));
        }
        assert!(
            given_up.rest().is_empty(),
            "those that have waited longest are closed first"
        );
    }
}

#[test]
fn a_flood_of_requests_does_not_flood_the_log() {
    const REQUESTS: u64 = 500;
    let server = Server::start(&[("AISBREAKER_LOG_MAX_PER_SECOND", "10")]);
    let mut connection = server.connect();

    for _ in 0..REQUESTS {
        assert_eq!(connection.send(&Request::get("/api/v1/ping")).status, 200);
    }

    let (mut written, mut left_out) = (0, 0);
    server.wait_for_log("every request to be written or counted", |line| {
        written += u64::from(line["message"] == "request");
        left_out += line["left_out"].as_u64().unwrap_or_default();
        written + left_out == REQUESTS
    });
    assert!(
        left_out > written,
        "{written} lines for {REQUESTS} requests"
    );
}

#[test]
fn the_limit_on_open_files_is_raised_as_far_as_the_system_allows() {
    let enough = Server::start_with_files(256, 16_000);
    assert_eq!(enough.files_limit(), 16_000);
    assert!(!enough.log().contains("ulimit"), "{}", enough.log());

    let few = Server::start_with_files(256, 500);
    assert_eq!(few.files_limit(), 500);
    assert!(few.log().contains("ulimit"), "{}", few.log());
}
