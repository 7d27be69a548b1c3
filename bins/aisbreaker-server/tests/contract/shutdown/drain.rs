//! The shutdown of a busy server: two hundred streams, half of them over HTTP/2.

use std::{
    collections::HashMap,
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    Connection, Gate, Http2Streams, Provider, Request, Server, assert_error, call, dummy_call,
    gate, openai::content_event, output_text, service_at, streamed,
};

/// Starts a provider whose streams pause after `one`, and go on to `two` and their end when the
/// gate of their engine opens.
fn gated_provider<const N: usize>(engines: [&'static str; N]) -> (Provider, [Gate; N]) {
    let mut waiters = HashMap::new();
    let gates = engines.map(|engine| {
        let (gate, waiter) = gate();
        waiters.insert(engine, waiter);
        gate
    });
    let provider = Provider::start(move |request, wire| {
        wire.stream();
        wire.chunk(content_event("one"));
        waiters[request.json()["model"].as_str().unwrap()].wait();
        wire.chunk(content_event("two") + "data: [DONE]\n\n");
        wire.end();
    });
    (provider, gates)
}

/// Streams over both versions of HTTP whose first event has arrived.
struct Streams {
    http1: Vec<Connection>,
    http2: Http2Streams,
}

impl Streams {
    /// Begins a hundred streams of this engine.
    fn begin(server: &Server, provider: &Provider, engine: &str) -> Self {
        let body = streamed(call(
            service_at(&format!("chat:openai.com/{engine}"), &provider.url()),
            "Hi",
        ));
        let begin = |_| {
            let mut connection = server.connect();
            connection.write(&Request::process(&body).bearer("sk-own").to_bytes());
            assert_eq!(connection.head().status, 200);
            assert_eq!(output_text(&connection.event().unwrap().data), "one");
            connection
        };
        let request = hyper::Request::post("http://localhost/api/v1/process")
            .header("authorization", "Bearer sk-own")
            .body(body.to_string())
            .unwrap();
        Self {
            http1: (0..50).map(begin).collect(),
            http2: Http2Streams::begin(server.address(), &request, (2, 25)),
        }
    }

    /// Asserts that all streams complete.
    fn assert_complete(self) {
        for mut stream in self.http1 {
            assert_eq!(output_text(&stream.event().unwrap().data), "two");
            let last = stream.event().unwrap();
            assert_eq!((&*last.name, output_text(&last.data)), ("final", "onetwo"));
            assert_eq!(stream.event(), None);
        }
        for whole in self.http2.finish() {
            let body = whole.expect("a stream that was not cut");
            let names: Vec<&str> = body
                .lines()
                .filter_map(|line| line.strip_prefix("event: "))
                .collect();
            assert_eq!(names, ["progress", "progress", "final"], "{body}");
        }
    }

    /// Asserts that all streams are visibly truncated.
    fn assert_cut(self) {
        for mut stream in self.http1 {
            assert_eq!(stream.try_chunk(), None);
        }
        for body in self.http2.finish() {
            assert_eq!(body, None);
        }
    }
}

fn start_server(drain_timeout: &str) -> Server {
    Server::with_loopback_egress(&[("AISBREAKER_DRAIN_TIMEOUT", drain_timeout)])
}

#[test]
fn two_hundred_streams_complete_after_a_signal() {
    let (provider, [early_gate, late_gate]) = gated_provider(["early", "late"]);
    let mut server = start_server("10m");
    let mut open = [(); 3].map(|()| server.connect());
    for connection in &mut open {
        assert_eq!(connection.send(&Request::get("/readyz")).status, 200);
    }
    let [early, late] = ["early", "late"].map(|engine| Streams::begin(&server, &provider, engine));

    server.start_draining();

    let [mut before, mut between, mut refused] = open;
    assert_eq!(before.send(&Request::get("/readyz")).status, 503);
    assert_error(
        "a new call",
        &refused.send(&Request::process(&dummy_call())),
        503,
        "",
    );
    assert!(
        TcpStream::connect(server.address()).is_err(),
        "the server still listens"
    );
    drop(early_gate);
    early.assert_complete();
    // The server does not exit while there is a stream.
    assert_eq!(between.send(&Request::get("/readyz")).status, 503);
    assert_eq!(before.send(&Request::get("/healthz")).status, 200);
    drop(late_gate);
    late.assert_complete();
    let (status, log) = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{log}");
    let statuses = call_lines(&log)
        .iter()
        .filter(|line| line["status"] == 200)
        .count();
    assert_eq!(statuses, 200, "{log}");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the test measures that nothing is cut before the deadline"
)]
fn deadline_cuts_only_open_streams() {
    let deadline = Duration::from_secs(4);
    let (provider, [early_gate, _never]) = gated_provider(["early", "never"]);
    let mut server = start_server("4s");
    let [early, never] =
        ["early", "never"].map(|engine| Streams::begin(&server, &provider, engine));

    let start = Instant::now();
    server.start_draining();
    drop(early_gate);

    early.assert_complete();
    never.assert_cut();
    assert!(
        start.elapsed() >= deadline,
        "streams are cut after {:?}",
        start.elapsed()
    );
    let (status, log) = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("requests are cut off"), "{log}");
    let lines_with_status = |status: u16| {
        call_lines(&log)
            .iter()
            .filter(|line| line["status"] == json!(status))
            .count()
    };
    assert_eq!(
        (lines_with_status(200), lines_with_status(499)),
        (100, 100),
        "{log}"
    );
}

#[test]
fn second_signal_cuts_two_hundred_streams() {
    let (provider, _gates) = gated_provider(["one", "other"]);
    let mut server = start_server("10m");
    let streams = ["one", "other"].map(|engine| Streams::begin(&server, &provider, engine));

    server.start_draining();
    server.signal("TERM");

    let (status, log) = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped at once by a second signal"), "{log}");
    streams.into_iter().for_each(Streams::assert_cut);
}

/// The log lines of calls.
fn call_lines(log: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["route"] == "/api/v1/process")
        .collect()
}
