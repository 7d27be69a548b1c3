//! A thousand clients that leave at once: every call to the provider ends with them, and nothing
//! stays behind.

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use super::{leftovers::Embedded, openai::piece};
use crate::support::{
    Connection, Http2Streams, PATIENCE, Provider, Request, Server, call, service_at, streamed,
};

/// How many clients leave, where the system lets the tests have so many files open.
const CLIENTS: usize = 1_000;
/// Files that a client costs the process of the tests: its own, and three of the provider.
const FILES_PER_CLIENT: usize = 4;
/// Files that are left to all other tests.
const OTHER_FILES: usize = 500;
/// How long the ends may take on a machine that does much else. The time that they take is printed.
const BOUND: Duration = Duration::from_secs(10);

/// How far the calls have come whose clients leave.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// Nothing has been answered.
    Call,
    /// The head of a stream has been answered, but nothing of the provider's.
    Head,
    /// The first event has come.
    Event,
    /// The same, on connections of HTTP/2 with a hundred streams each.
    EventOfHttp2,
}

const STAGES: [Stage; 4] = [Stage::Call, Stage::Head, Stage::Event, Stage::EventOfHttp2];

/// A provider that tells when a call has come, and when it has ended.
struct Calls {
    provider: Provider,
    came: mpsc::Receiver<()>,
    ended: mpsc::Receiver<bool>,
}

impl Calls {
    fn start() -> Self {
        let (tell_came, came) = mpsc::channel();
        let (tell_ended, ended) = mpsc::channel();
        let (tell_came, tell_ended) = (Mutex::new(tell_came), Mutex::new(tell_ended));
        let provider = Provider::forgetful(move |received, wire| {
            if received.json()["model"] == "begins" {
                wire.stream();
                wire.chunk(piece("one"));
            }
            tell_came.lock().unwrap().send(()).unwrap();
            let has_ended = wire.wait_until_closed();
            let _test_is_over = tell_ended.lock().unwrap().send(has_ended);
        });
        Self {
            provider,
            came,
            ended,
        }
    }

    /// Has so many clients call and leave at this stage; how long it takes until the last call has
    /// ended.
    #[expect(clippy::disallowed_methods, reason = "the time is what is asked for")]
    fn are_left(&self, server: SocketAddr, stage: Stage, clients: usize) -> Duration {
        let engine = if matches!(stage, Stage::Event | Stage::EventOfHttp2) {
            "begins"
        } else {
            "waits"
        };
        let body = call(
            service_at(&format!("chat:openai.com/{engine}"), &self.provider.url()),
            "Hi",
        );
        let body = if stage == Stage::Call {
            body
        } else {
            streamed(body)
        };
        let leaving: Box<dyn Send> = if stage == Stage::EventOfHttp2 {
            let request = hyper::Request::post("http://localhost/api/v1/process");
            let request = request
                .header("authorization", "Bearer sk-own")
                .body(body.to_string())
                .unwrap();
            Box::new(Http2Streams::begin(server, &request, (clients / 100, 100)))
        } else {
            let request = Request::process(&body).bearer("sk-own").to_bytes();
            let mut connections: Vec<Connection> =
                (0..clients).map(|_| Connection::open(server)).collect();
            connections
                .iter_mut()
                .for_each(|connection| connection.write(&request));
            if stage != Stage::Call {
                connections
                    .iter_mut()
                    .for_each(|connection| assert_eq!(connection.head().status, 200));
            }
            if stage == Stage::Event {
                let begun = connections
                    .iter_mut()
                    .map(|connection| connection.event().unwrap());
                begun.for_each(|event| assert_eq!(event.name, "progress"));
            }
            Box::new(connections)
        };
        let came = |_| {
            self.came
                .recv_timeout(PATIENCE)
                .expect("a call of the provider")
        };
        (0..clients).for_each(came);

        let start = Instant::now();
        drop(leaving);
        for ended in 0..clients {
            let has_ended = self.ended.recv_timeout(PATIENCE);
            assert_eq!(
                has_ended,
                Ok(true),
                "{stage:?}: only {ended} of {clients} calls have ended"
            );
        }
        start.elapsed()
    }
}

/// As many clients as there may be.
fn clients() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("the limits of this process");
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .expect("that of files");
    let files = line
        .split_whitespace()
        .next()
        .and_then(|soft| soft.parse().ok())
        .unwrap_or(usize::MAX);
    let most = files.saturating_sub(OTHER_FILES) / FILES_PER_CLIENT / 100 * 100;
    if most < CLIENTS {
        eprintln!("ONLY {most} CLIENTS LEAVE: no more than {files} files may be open (ulimit -n)");
    }
    assert!(
        most >= 100,
        "no more than {files} files may be open (ulimit -n), which is too few for this test"
    );
    CLIENTS.min(most)
}

#[test]
fn a_thousand_clients_that_leave_end_a_thousand_calls_at_once() {
    let (calls, server, clients) = (Calls::start(), Server::with_egress(&[]), clients());
    let mut probe = server.connect();
    assert_eq!(probe.send(&Request::get("/healthz")).status, 200);
    let sockets = server.sockets();

    for (before, stage) in STAGES.into_iter().enumerate() {
        let time = calls.are_left(server.address(), stage, clients);
        eprintln!("{stage:?}: {clients} calls have ended {time:?} after their clients left");
        assert!(time < BOUND, "{stage:?}: {time:?}");
        let left = AtomicUsize::new(0);
        let is_last = |line: &serde_json::Value| {
            line["status"] == 499
                && left.fetch_add(1, Ordering::Relaxed) + 1 == clients * (before + 1)
        };
        server.wait_for_log(&format!("{clients} clients that left"), is_last);
        let is_calm = (0..20_000).any(|_| {
            assert_eq!(probe.send(&Request::get("/healthz")).status, 200);
            server.sockets() == sockets && calls.provider.open() == 0
        });
        assert!(
            is_calm,
            "{stage:?}: {} sockets, not {sockets}",
            server.sockets()
        );
    }
    let lines = server.log().matches("\"status\":499").count();
    assert_eq!(lines, clients * STAGES.len());
}

#[test]
fn a_thousand_clients_that_leave_leave_no_task() {
    let (calls, gateway, clients) = (
        Calls::start(),
        Embedded::start(Default::default()),
        clients(),
    );

    for stage in STAGES {
        calls.are_left(gateway.address(), stage, clients);
        gateway.assert_calm(&calls.provider);
    }
}
