//! Servers that are killed with a hundred requests in flight.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
};

use serde_json::json;

use super::{TOKENS, chat, key, remaining, shared};
use crate::{
    redis_server::RedisServer,
    support::{
        Connection, Provider, Server, dummy_call,
        provider_api::{CHAT, post_with_key},
    },
};

const IN_FLIGHT: u64 = 100;
const LIMIT: u64 = 1_000_000;

/// A state file that is removed on drop.
struct StateFile(PathBuf);

impl StateFile {
    fn new() -> Self {
        let name = format!("killed-budgets-{}", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        for suffix in ["", ".lock"] {
            let _removed = fs::remove_file(format!("{}{suffix}", self.0.display()));
        }
    }
}

/// Starts a provider that never answers, and reports each request.
fn silent_provider() -> (Provider, Receiver<()>) {
    let (report, called) = channel();
    let report = Mutex::new(report);
    let provider = Provider::without_recording(move |_, wire| {
        report.lock().unwrap().send(()).unwrap();
        wire.hold();
    });
    (provider, called)
}

/// Sends a hundred requests, waits until the provider has them all, and returns their connections
/// and what they are reserved as.
fn in_flight(server: &Server, key: &str, called: &Receiver<()>) -> (Vec<Connection>, u64) {
    let body = chat("gpt-4o", &json!({"max_tokens": 500}));
    let request = post_with_key(CHAT, key, body.to_string()).to_bytes();
    let send = |_| {
        let mut connection = server.connect();
        connection.write(&request);
        connection
    };
    let connections = (0..IN_FLIGHT).map(send).collect();
    for _ in 0..IN_FLIGHT {
        called.recv().unwrap();
    }
    (connections, IN_FLIGHT * shared::reserved(&body))
}

/// Kills the server, which has no time for anything.
fn kill(mut server: Server) {
    server.signal("KILL");
    server.wait_for_exit();
}

/// Waits until the state file has everything that happened before.
fn wait_for_write(server: &Server) {
    let mut written = 0;
    // The first write may have begun before.
    for write in 1..=2 {
        let response = server.process("", &dummy_call());
        assert_eq!(response.status, 200, "{response:?}");
        let before = written;
        let mut found = 0;
        server.wait_for_log("a write", |line| {
            found += usize::from(line["message"] == "the state file is written");
            found > before
        });
        let log = server.log();
        written = log.matches("the state file is written").count();
        assert!(written >= write, "{log}");
    }
}

#[test]
fn reservations_in_the_state_file_stand_after_a_kill() {
    let (provider, called) = silent_provider();
    let state = StateFile::new();
    let environment = [
        ("AISBREAKER_STATE_FILE", state.0.to_str().unwrap()),
        ("AISBREAKER_STATE_INTERVAL", "10ms"),
        ("AISBREAKER_LOG", "debug"),
    ];
    let server = Server::with_loopback_egress(&environment);
    let key = key(
        &server,
        &provider,
        &json!({"global": {"tokensPerDay": LIMIT}}),
    );
    let (connections, reserved) = in_flight(&server, &key, &called);
    assert_eq!(remaining(&server, &key, TOKENS), LIMIT - reserved);
    wait_for_write(&server);
    kill(server);
    drop(connections);

    let server = Server::with_loopback_egress(&environment);
    assert_eq!(remaining(&server, &key, TOKENS), LIMIT - reserved);
}

#[test]
fn reservations_in_the_store_stand_after_a_kill() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let (provider, called) = silent_provider();
    let [server, other] = [(); 2].map(|()| shared::server(&redis, &[]));
    let key = key(
        &server,
        &provider,
        &json!({"global": {"tokensPerDay": LIMIT}}),
    );
    let (connections, reserved) = in_flight(&server, &key, &called);
    assert_eq!(remaining(&other, &key, TOKENS), LIMIT - reserved);
    kill(server);
    drop(connections);

    let restarted = shared::server(&redis, &[]);
    for server in [&other, &restarted] {
        assert_eq!(remaining(server, &key, TOKENS), LIMIT - reserved);
    }
}
