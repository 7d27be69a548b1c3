//! Budgets that two servers share through Redis, and what happens while it is gone.

use std::{net::Ipv4Addr, thread};

use serde_json::{Value, json};

use super::{TOKENS, chat, key, remaining, remaining_in, send};
use crate::{
    redis_server::RedisServer,
    support::{
        Connection, Provider, Request, Server, gate,
        openai::completion,
        provider_api::{CHAT, post_with_key},
    },
};

/// Longer than any pause of a busy machine.
const LONG_TIMEOUT: (&str, &str) = ("AISBREAKER_REDIS_TIMEOUT", "30s");
const LIMIT: u64 = 1_000_000;
const CAP: u64 = 500;

/// Starts a server that counts in this store.
pub(super) fn server(redis: &RedisServer, environment: &[(&str, &str)]) -> Server {
    let url = redis.url();
    let defaults = [
        ("AISBREAKER_REDIS_URL", &*url),
        LONG_TIMEOUT,
        ("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0"),
    ];
    Server::with_loopback_egress(&[&defaults, environment].concat())
}

/// Fetches the text of the metrics endpoint.
pub(super) fn metrics(server: &Server) -> String {
    let mut connection = Connection::open(server.metrics_address());
    let response = connection.send(&Request::get("/metrics"));
    assert_eq!(response.status, 200, "{response:?}");
    response.text().to_owned()
}

/// Fetches one counter. One that has counted nothing may be missing.
pub(super) fn metric(server: &Server, name: &str) -> u64 {
    let text = metrics(server);
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or(0)
}

/// What remains of a budget in dollars, in nano-dollars.
#[track_caller]
pub(super) fn remaining_nanos(server: &Server, key: &str, budget: [&str; 3]) -> u64 {
    let remaining = remaining(server, key, budget);
    let text = remaining.as_str().unwrap();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<9}").parse().unwrap()
}

/// Waits until this remains of the tokens of a key: settlements reach the store in the background.
#[track_caller]
fn wait_for_remaining(server: &Server, key: &str, expected: u64) {
    let request = Request::get("/api/v1/quota").bearer(key);
    let mut left = Value::Null;
    // Each client may ask sixty times a minute.
    for client in (1..=20).flat_map(|third| (1..=250).map(move |last| (third, last))) {
        let client = Ipv4Addr::new(127, 0, client.0, client.1);
        let response = Connection::open_from(client, server.address()).send(&request);
        left = remaining_in(&response, TOKENS);
        if left == expected {
            return;
        }
    }
    panic!("{left} instead of {expected}");
}

/// The tokens that a request with this body is reserved as.
pub(super) fn reserved(body: &Value) -> u64 {
    u64::try_from(body.to_string().len()).unwrap().div_ceil(2) + CAP
}

/// Sends calls on one connection, and returns the tokens of those that were answered.
fn spend(server: &Server, key: &str, calls: u64) -> u64 {
    let mut connection = server.connect();
    let mut spent = 0;
    for call in 0..calls {
        let body = chat("gpt-4o", &json!({"max_tokens": 1 + call % 60}));
        let response = connection.send(&post_with_key(CHAT, key, body.to_string()));
        match response.status {
            200 => spent += response.json()["usage"]["total_tokens"].as_u64().unwrap(),
            429 => assert_eq!(response.json()["error"]["type"], "tokens", "{response:?}"),
            _ => panic!("{response:?}"),
        }
    }
    spent
}

#[test]
fn two_servers_never_spend_more_than_the_limit_together() {
    const CALLERS: u64 = 64;
    const CALLS: u64 = 100;
    // About half of what they ask for.
    const LIMIT: u64 = 200_000;
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let provider = Provider::without_recording(|received, wire| {
        let mut answer = completion("Hello");
        let cap = received.json()["max_tokens"].as_u64().unwrap();
        answer["usage"] =
            json!({"prompt_tokens": 30, "completion_tokens": cap, "total_tokens": 30 + cap});
        wire.json(200, &answer);
    });
    let servers = [server(&redis, &[]), server(&redis, &[])];
    let budgets = json!({"global": {"tokensPerDay": LIMIT}, "reserve": "strict"});
    let key = &key(&servers[0], &provider, &budgets);
    let spent: u64 = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .zip(servers.iter().cycle())
            .map(|(_, server)| scope.spawn(move || spend(server, key, CALLS)))
            .collect();
        callers.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert!(spent <= LIMIT, "{spent}");
    // The last requests are refused since they might cost more than what is left.
    assert!(spent > LIMIT - 1_000, "{spent}");
    for server in &servers {
        wait_for_remaining(server, key, LIMIT - spent);
    }
    let refused = servers
        .iter()
        .map(|one| metric(one, "aisbreaker_budget_refusals_total"));
    assert!(refused.sum::<u64>() > 0);
    let settled = servers
        .iter()
        .map(|one| metric(one, "aisbreaker_budget_settled_total{unit=\"tokens\"}"));
    assert_eq!(settled.sum::<u64>(), spent);
}

/// The settlement does not reach the store, which comes back with all that it has written.
#[test]
fn a_lost_settlement_leaves_its_reservation() {
    let appending = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut redis) = RedisServer::start(&appending) else {
        return;
    };
    let (gate, waiter) = gate();
    let (report_called, called) = std::sync::mpsc::channel();
    let provider = Provider::start(move |_, wire| {
        report_called.send(()).unwrap();
        waiter.wait();
        wire.json(200, &completion("Hello"));
    });
    let server = server(&redis, &[]);
    let key = &key(
        &server,
        &provider,
        &json!({"global": {"tokensPerDay": LIMIT}}),
    );
    let body = &chat("gpt-4o", &json!({"max_tokens": CAP}));
    thread::scope(|scope| {
        let call = scope.spawn(|| send(&server, key, body));
        called.recv().unwrap();
        redis.stop();
        // By default, what cannot be counted is refused.
        let refused = send(&server, key, body);
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(
            refused.text().contains("cannot count budgets"),
            "{refused:?}"
        );
        gate.open();
        let response = call.join().unwrap();
        assert_eq!(response.status, 200, "{response:?}");
    });
    let line = "a settlement is lost, so that its reservation stands";
    server.wait_for_log(line, |found| found["message"] == line);
    assert_eq!(
        metric(&server, "aisbreaker_budget_settlements_lost_total"),
        1
    );
    assert_eq!(
        provider.requests().len(),
        1,
        "the refused request is not sent"
    );

    redis.start_again();
    wait_for_store(&server);
    assert_eq!(remaining(&server, key, TOKENS), LIMIT - reserved(body));
    // It stands beside those that are settled.
    assert_eq!(send(&server, key, body).status, 200);
    wait_for_remaining(&server, key, LIMIT - reserved(body) - 21);
}

/// Waits until the server has seen its store come back, after it saw it at its start.
fn wait_for_store(server: &Server) {
    let mut seen = 0;
    server.wait_for_log("the store to come back", |line| {
        let text = line["message"].as_str().unwrap_or_default();
        seen += usize::from(text.starts_with("the quota store is reachable"));
        seen == 2
    });
}

#[test]
fn an_open_server_admits_uncounted_while_the_store_is_gone() {
    let appending = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut redis) = RedisServer::start(&appending) else {
        return;
    };
    let provider = Provider::with_response(200, completion("Hello"));
    let server = server(&redis, &[("AISBREAKER_BUDGETS_ON_STORE_FAILURE", "open")]);
    let key = key(
        &server,
        &provider,
        &json!({"global": {"tokensPerDay": LIMIT}}),
    );
    let body = chat("gpt-4o", &json!({"max_tokens": CAP}));
    assert_eq!(send(&server, &key, &body).status, 200);
    wait_for_remaining(&server, &key, LIMIT - 21);
    redis.stop();
    for _ in 0..5 {
        let response = send(&server, &key, &body);
        assert_eq!(response.status, 200, "{response:?}");
        let limit = response.header("x-ratelimit-remaining-tokens");
        assert_eq!(limit, None, "{response:?}");
    }
    assert_eq!(provider.requests().len(), 6);
    redis.start_again();
    wait_for_store(&server);
    wait_for_remaining(&server, &key, LIMIT - 21);
    let reserved_tokens = metric(&server, "aisbreaker_budget_reserved_total{unit=\"tokens\"}");
    assert_eq!(
        reserved_tokens,
        reserved(&body),
        "the uncounted are not reserved"
    );
    assert_eq!(
        metric(&server, "aisbreaker_budget_settlements_lost_total"),
        0
    );
}
