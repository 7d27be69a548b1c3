//! A thousand clients that disconnect at once.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::MonitoredProvider;
use crate::{
    shutdown::leak_checks::EmbeddedGateway,
    support::{
        Connection, Http2Streams, Request, Server, call, open_files_limit, openai::content_event,
        service_at, streamed,
    },
};

/// How many clients disconnect, if the limit on open files allows it.
const CLIENTS: usize = 1_000;
/// How many files of the test process one client needs: its own socket, and three of the provider.
const FILES_PER_CLIENT: usize = 4;
/// How many files are left to all other tests.
const OTHER_FILES: usize = 500;
/// The time within which all calls must end on a busy machine. The actual time is printed.
const BOUND: Duration = Duration::from_secs(10);

/// How far a call has come when its client disconnects.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// Nothing has been received.
    Call,
    /// The head of a stream has been received, but no event of the provider.
    Head,
    /// The first event has been received.
    Event,
    /// The same over HTTP/2, with a hundred streams per connection.
    Http2Event,
}

const STAGES: [Stage; 4] = [Stage::Call, Stage::Head, Stage::Event, Stage::Http2Event];

fn monitored_provider() -> MonitoredProvider {
    MonitoredProvider::start(|request, wire| {
        if request.json()["model"] == "begins" {
            wire.stream();
            wire.chunk(content_event("one"));
        }
    })
}

/// Has this many clients call the provider and disconnect at this stage. Returns how long it takes
/// until the last call has ended.
#[expect(clippy::disallowed_methods, reason = "it measures time")]
fn call_and_disconnect(
    server: SocketAddr,
    monitored: &MonitoredProvider,
    stage: Stage,
    count: usize,
) -> Duration {
    let engine = match stage {
        Stage::Call | Stage::Head => "waits",
        Stage::Event | Stage::Http2Event => "begins",
    };
    let id = format!("chat:openai.com/{engine}");
    let call = call(service_at(&id, &monitored.provider.url()), "Hi");
    let body = match stage {
        Stage::Call => call,
        Stage::Head | Stage::Event | Stage::Http2Event => streamed(call),
    };
    let clients: Box<dyn Send> = match stage {
        Stage::Http2Event => {
            let request = hyper::Request::post("http://localhost/api/v1/process")
                .header("authorization", "Bearer sk-own")
                .body(body.to_string())
                .unwrap();
            Box::new(Http2Streams::begin(server, &request, (count / 100, 100)))
        }
        Stage::Call | Stage::Head | Stage::Event => {
            Box::new(http1_clients(server, &body, stage, count))
        }
    };
    for _ in 0..count {
        monitored.wait_for_call();
    }

    let start = Instant::now();
    drop(clients);
    for ended in 0..count {
        assert!(
            monitored.wait_for_end(),
            "{stage:?}: only {ended} of {count} calls have ended"
        );
    }
    start.elapsed()
}

/// Sends the call on this many connections, and reads each response up to this stage.
fn http1_clients(server: SocketAddr, body: &Value, stage: Stage, count: usize) -> Vec<Connection> {
    let request = Request::process(body).bearer("sk-own").to_bytes();
    let mut connections: Vec<Connection> = (0..count).map(|_| Connection::open(server)).collect();
    for connection in &mut connections {
        connection.write(&request);
    }
    for connection in &mut connections {
        if stage != Stage::Call {
            assert_eq!(connection.head().status, 200);
        }
        if stage == Stage::Event {
            assert_eq!(connection.event().unwrap().name, "progress");
        }
    }
    connections
}

/// Returns how many clients the limit on open files allows.
fn affordable_clients() -> usize {
    let files = usize::try_from(open_files_limit(std::process::id())).unwrap();
    let most = files.saturating_sub(OTHER_FILES) / FILES_PER_CLIENT / 100 * 100;
    if most < CLIENTS {
        eprintln!("ONLY {most} CLIENTS: no more than {files} files may be open (ulimit -n)");
    }
    assert!(
        most >= 100,
        "no more than {files} files may be open (ulimit -n), which is too few for this test"
    );
    CLIENTS.min(most)
}

#[test]
fn mass_disconnect_ends_every_provider_call() {
    let (monitored, server) = (monitored_provider(), Server::with_loopback_egress(&[]));
    let count = affordable_clients();
    let mut probe = server.connect();
    assert_eq!(probe.send(&Request::get("/healthz")).status, 200);
    let sockets = server.sockets();

    for (stages_before, stage) in STAGES.into_iter().enumerate() {
        let time = call_and_disconnect(server.address(), &monitored, stage, count);
        eprintln!("{stage:?}: {count} calls have ended {time:?} after their clients disconnected");
        assert!(time < BOUND, "{stage:?}: {time:?}");
        let mut logged = 0;
        server.wait_for_log(&format!("{count} disconnects"), |line| {
            logged += usize::from(line["status"] == 499);
            logged == count * (stages_before + 1)
        });
        let is_idle = (0..20_000).any(|_| {
            assert_eq!(probe.send(&Request::get("/healthz")).status, 200);
            server.sockets() == sockets && monitored.provider.open_connections() == 0
        });
        assert!(
            is_idle,
            "{stage:?}: {} sockets, not {sockets}",
            server.sockets()
        );
    }
    let lines = server.log().matches("\"status\":499").count();
    assert_eq!(lines, count * STAGES.len());
}

#[test]
fn mass_disconnect_leaves_no_task() {
    let monitored = monitored_provider();
    let gateway = EmbeddedGateway::start(Default::default());
    let count = affordable_clients();

    for stage in STAGES {
        call_and_disconnect(gateway.address(), &monitored, stage, count);
        gateway.assert_idle(&monitored.provider);
    }
}
