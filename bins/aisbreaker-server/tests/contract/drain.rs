//! The end of a server that is busy: two hundred streams, half of them on connections of HTTP/2.

use std::{
    collections::HashMap,
    net::TcpStream,
    sync::{Mutex, mpsc},
    time::Duration,
};

use serde_json::{Value, json};

use super::openai::piece;
use crate::support::{
    Connection, Http2Streams, Provider, Request, Server, assert_error, call, service, service_at,
    streamed,
};

/// What keeps the streams of an engine open: they go on when it is dropped.
type Gate = mpsc::Sender<()>;

/// A provider whose streams begin with `one`, and go on to `two` and their end when the gate of
/// their engine opens.
fn gated<const N: usize>(engines: [&'static str; N]) -> (Provider, [Gate; N]) {
    let gates = engines.map(|engine| (engine, mpsc::channel::<()>()));
    let mut opened = HashMap::new();
    let gates = gates.map(|(engine, (gate, open))| {
        opened.insert(engine, Mutex::new(open));
        gate
    });
    let provider = Provider::start(move |received, wire| {
        wire.stream();
        wire.chunk(piece("one"));
        let engine = received.json()["model"].as_str().unwrap().to_owned();
        let _opened = opened[&*engine].lock().unwrap().recv();
        wire.chunk(piece("two") + "data: [DONE]\n\n");
        wire.end();
    });
    (provider, gates)
}

/// Streams of both versions of HTTP, of which each has had its first event.
struct Streams {
    http1: Vec<Connection>,
    http2: Http2Streams,
}

impl Streams {
    /// A hundred streams of this engine.
    fn begin(server: &Server, provider: &Provider, engine: &str) -> Self {
        let body = streamed(call(
            service_at(&format!("chat:openai.com/{engine}"), &provider.url()),
            "Hi",
        ));
        let begin = |_| {
            let mut connection = server.connect();
            connection.write(&Request::process(&body).bearer("sk-own").to_bytes());
            assert_eq!(connection.head().status, 200);
            assert_eq!(content(&connection.event().unwrap().data), "one");
            connection
        };
        let request = hyper::Request::post("http://localhost/api/v1/process")
            .header("authorization", "Bearer sk-own");
        let request = request.body(body.to_string()).unwrap();
        Self {
            http1: (0..50).map(begin).collect(),
            http2: Http2Streams::begin(server.address(), &request, (2, 25)),
        }
    }

    /// Checks that all of them come to their proper end.
    fn are_whole(self) {
        for mut stream in self.http1 {
            assert_eq!(content(&stream.event().unwrap().data), "two");
            let last = stream.event().unwrap();
            assert_eq!((&*last.name, content(&last.data)), ("final", "onetwo"));
            assert_eq!(stream.event(), None);
        }
        for body in self.http2.finish() {
            let body = body.expect("a stream that was not cut");
            let names: Vec<&str> = body
                .lines()
                .filter_map(|line| line.strip_prefix("event: "))
                .collect();
            assert_eq!(names, ["progress", "progress", "final"], "{body}");
        }
    }

    /// Checks that none of them looks as if it had come to its end.
    fn are_cut(self) {
        for mut stream in self.http1 {
            assert_eq!(stream.try_chunk(), None);
        }
        for body in self.http2.finish() {
            assert_eq!(body, None);
        }
    }
}

fn content(event: &Value) -> &str {
    event["outputs"][0]["text"]["content"].as_str().unwrap()
}

fn start(drain_timeout: &str) -> Server {
    Server::with_egress(&[("AISBREAKER_DRAIN_TIMEOUT", drain_timeout)])
}

/// Tells the server to end, and waits until it does.
fn end(server: &Server) {
    server.signal("TERM");
    server.wait_for_log("the drain", |line| line["message"] == "draining");
}

#[test]
fn two_hundred_streams_come_to_their_end_after_a_signal() {
    let (provider, [early_gate, late_gate]) = gated(["early", "late"]);
    let mut server = start("10m");
    let mut open = [(); 3].map(|()| server.connect());
    for connection in &mut open {
        assert_eq!(connection.send(&Request::get("/readyz")).status, 200);
    }
    let [early, late] = ["early", "late"].map(|engine| Streams::begin(&server, &provider, engine));

    end(&server);

    let [mut before, mut between, mut refused] = open;
    assert_eq!(before.send(&Request::get("/readyz")).status, 503);
    assert_error(
        "new",
        &refused.send(&Request::process(&call(service("chat:dummy"), "Hi"))),
        503,
        "",
    );
    assert!(
        TcpStream::connect(server.address()).is_err(),
        "it takes new connections"
    );
    drop(early_gate);
    early.are_whole();
    // There is no end as long as there is a stream.
    assert_eq!(between.send(&Request::get("/readyz")).status, 503);
    assert_eq!(before.send(&Request::get("/healthz")).status, 200);
    drop(late_gate);
    late.are_whole();
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    let statuses = requests(&log)
        .iter()
        .filter(|line| line["status"] == 200)
        .count();
    assert_eq!(statuses, 200, "{log}");
}

/// The lines of a log that are about calls.
fn requests(log: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["route"] == "/api/v1/process")
        .collect()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "that nothing is cut before its time is a matter of time"
)]
fn only_what_is_open_at_the_deadline_is_cut() {
    let deadline = Duration::from_secs(4);
    let (provider, [early_gate, _never]) = gated(["early", "never"]);
    let mut server = start("4s");
    let [early, never] =
        ["early", "never"].map(|engine| Streams::begin(&server, &provider, engine));

    let begin = std::time::Instant::now();
    end(&server);
    drop(early_gate);

    early.are_whole();
    never.are_cut();
    assert!(
        begin.elapsed() >= deadline,
        "streams are cut after {:?}",
        begin.elapsed()
    );
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("requests are cut off"), "{log}");
    let of_status = |status: u16| {
        requests(&log)
            .iter()
            .filter(|line| line["status"] == json!(status))
            .count()
    };
    assert_eq!((of_status(200), of_status(499)), (100, 100), "{log}");
}

#[test]
fn a_second_signal_ends_two_hundred_streams_at_once() {
    let (provider, _gates) = gated(["one", "other"]);
    let mut server = start("10m");
    let streams = ["one", "other"].map(|engine| Streams::begin(&server, &provider, engine));

    end(&server);
    server.signal("TERM");

    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped at once by a second signal"), "{log}");
    streams.into_iter().for_each(Streams::are_cut);
}
