//! A store that is down, hangs or forgets.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::json;

use super::{DOWN, UP, admitted, is_admitted, key, lines, metric, server, wait_for};
use crate::redis_server::RedisServer;
use crate::support::{Request, Server, assert_error, dummy_call};

#[test]
fn each_server_admits_the_rest_of_its_share() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let replicas = [("AISBREAKER_REPLICAS", "2")];
    let servers = [server(&redis, &replicas), server(&redis, &replicas)];
    let (fresh, used) = (key(&servers[0], 10), key(&servers[0], 10));
    assert_eq!(
        [
            admitted(&servers[0], &used, 4),
            admitted(&servers[1], &used, 1)
        ],
        [4, 1]
    );

    redis.stop();

    for server in &servers {
        assert_eq!(admitted(server, &fresh, 10), 5, "half of the limit");
    }
    assert_eq!(admitted(&servers[0], &used, 10), 1, "the rest of its share");
    assert_eq!(admitted(&servers[1], &used, 10), 4, "the rest of its share");
    let refused = servers[0].process(&used, &dummy_call());
    assert!(
        refused.message().contains("(5 per day and client; "),
        "{}",
        refused.message()
    );
    for server in &servers {
        wait_for(server, DOWN, 1);
        assert_eq!(
            lines(server, DOWN),
            1,
            "one line per change: {}",
            server.log()
        );
    }

    redis.start_again();
    for server in &servers {
        wait_for(server, UP, 2);
        assert_eq!(admitted(server, &key(server, 3), 9), 3);
        assert_eq!(lines(server, DOWN), 1, "{}", server.log());
    }
    // The store is empty again. docs/operate.md states this bound: the limit of the store and each
    // share.
    assert_eq!(admitted(&servers[0], &used, 20), 10);
}

#[test]
fn share_is_at_least_one() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let server = server(&redis, &[("AISBREAKER_REPLICAS", "100")]);
    let key = key(&server, 10);
    redis.stop();
    assert_eq!(admitted(&server, &key, 5), 1);
}

#[test]
fn closed_server_refuses_everything_with_503() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let server = server(&redis, &[("AISBREAKER_QUOTA_ON_STORE_FAILURE", "closed")]);
    let key = key(&server, 10);
    redis.stop();

    for _ in 0..3 {
        let response = server.process(&key, &dummy_call());
        assert_error("closed", &response, 503, "cannot count requests");
        assert_eq!(response.header("retry-after"), Some("1"));
    }
    let minted = server.send(&Request::mint(&json!({"requestAuthAndQuotas": {}})));
    assert_error("minting", &minted, 503, "cannot count requests");
    let quota = server.send(&Request::get("/api/v1/quota").bearer(&key));
    assert_error("quota endpoint", &quota, 503, "cannot tell at the moment");
    assert_eq!(
        server.get("/api/v1/ping").status,
        200,
        "free routes are served"
    );

    redis.start_again();
    wait_for(&server, UP, 2);
    assert_eq!(admitted(&server, &key, 11), 10);
}

#[test]
fn open_server_admits_everything_without_limit_headers() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let server = server(&redis, &[("AISBREAKER_QUOTA_ON_STORE_FAILURE", "open")]);
    let key = key(&server, 2);
    assert_eq!(admitted(&server, &key, 3), 2);
    redis.stop();

    for _ in 0..5 {
        let response = server.process(&key, &dummy_call());
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.header("ratelimit"), None, "{response:?}");
    }
    let quota = server.send(&Request::get("/api/v1/quota").bearer(&key));
    assert_error("quota endpoint", &quota, 503, "cannot tell at the moment");

    redis.start_again();
    wait_for(&server, UP, 2);
    assert_eq!(
        admitted(&server, &key, 3),
        2,
        "requests admitted without the store are not counted later"
    );
}

#[test]
fn hanging_store_is_bypassed_until_it_responds() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let server = server(&redis, &[("AISBREAKER_REDIS_TIMEOUT", "50ms")]);
    let key = key(&server, 1_000);
    assert_eq!(admitted(&server, &key, 1), 1);

    redis.pause();
    assert_eq!(admitted(&server, &key, 50), 50, "counted locally");
    wait_for(&server, DOWN, 1);
    assert!(
        metric(
            &server,
            "aisbreaker_quota_store_failures_total{kind=\"timeout\"}"
        ) >= 3.0
    );
    let up = lines(&server, UP);
    redis.resume();

    wait_for(&server, UP, up + 1);
    assert_eq!(admitted(&server, &key, 1), 1);
}

#[test]
fn server_starts_without_the_store_and_connects_later() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    redis.stop();
    let server = server(&redis, &[]);
    wait_for(&server, DOWN, 1);
    let key = key(&server, 2);
    assert_eq!(admitted(&server, &key, 5), 2, "counted locally");

    redis.start_again();

    wait_for(&server, UP, 1);
    assert_eq!(
        admitted(&server, &key, 5),
        2,
        "the store has counted nothing before"
    );
    // The counters of the key and of the server, each per client and global, and the probe.
    assert_eq!(
        redis.cli(&["DBSIZE"]).trim(),
        "5",
        "{}",
        redis.cli(&["KEYS", "*"])
    );
}

#[test]
fn flushed_function_is_reloaded_and_flushed_counters_restart() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let server = server(&redis, &[]);
    let key = key(&server, 4);
    assert_eq!(admitted(&server, &key, 2), 2);

    redis.cli(&["FUNCTION", "FLUSH"]);
    assert_eq!(
        admitted(&server, &key, 5),
        2,
        "counted requests still count"
    );
    redis.cli(&["FLUSHALL"]);
    assert_eq!(admitted(&server, &key, 5), 4);
    wait_for(&server, UP, 1);
    assert_eq!(lines(&server, UP), 1, "{}", server.log());
}

#[test]
fn outages_under_load_cause_no_errors_and_bounded_excess() {
    const LIMIT: u32 = 400;
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let environment = [
        ("AISBREAKER_REDIS_TIMEOUT", "200ms"),
        ("AISBREAKER_REPLICAS", "2"),
    ];
    let servers = [server(&redis, &environment), server(&redis, &environment)];
    let key = key(&servers[0], LIMIT);
    let is_over = AtomicBool::new(false);
    // On a busy machine, the store may also be slow by itself, so changes are counted from here on.
    let next_change = |message: &str| servers.each_ref().map(|server| lines(server, message) + 1);
    let wait_on_each = |message: &str, count: [usize; 2]| {
        servers
            .iter()
            .zip(count)
            .for_each(|(server, count)| wait_for(server, message, count));
    };

    let total: u32 = thread::scope(|scope| {
        // Without it, a failed assertion would wait for load that never ends.
        let load = StopOnDrop(&is_over);
        let calls = spawn_load(scope, &servers, &key, &is_over);
        let (down, up) = (next_change(DOWN), next_change(UP));
        redis.pause();
        wait_on_each(DOWN, down);
        redis.resume();
        wait_on_each(UP, up);
        redis.cli(&["FUNCTION", "FLUSH"]);
        let (down, up) = (next_change(DOWN), next_change(UP));
        redis.stop();
        wait_on_each(DOWN, down);
        redis.start_again();
        wait_on_each(UP, up);
        redis.cli(&["FLUSHALL"]);
        assert!(admitted(&servers[0], &key, 1) <= 1);
        drop(load);
        calls
            .into_iter()
            .map(|calls| calls.join().expect("no call failed"))
            .sum()
    });
    // The load may have been too slow to reach the limit after the counters were lost.
    let total = total + admitted(&servers[0], &key, LIMIT);

    // The store lost its counters twice, so that it admitted the limit at most three times. Without
    // it, the servers admitted their shares.
    assert!((LIMIT..=4 * LIMIT).contains(&total), "{total}");
    // Each server logs changes, not requests.
    for server in &servers {
        assert!(lines(server, DOWN) <= 10, "{}", server.log());
    }
}

/// Ends the load of a test, even if the test panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends calls on two connections to each server until `is_over`. The threads return how many calls
/// were admitted, and panic on any response except 200 and a refusal by the daily limit.
fn spawn_load<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    servers: &'scope [Server; 2],
    key: &'scope str,
    is_over: &'scope AtomicBool,
) -> Vec<thread::ScopedJoinHandle<'scope, u32>> {
    let call_until_over = |server: &Server| {
        let mut connection = server.connect();
        let request = Request::process(&dummy_call()).bearer(key);
        let mut admitted = 0;
        while !is_over.load(Ordering::Relaxed) {
            admitted += u32::from(is_admitted(&connection.send(&request)));
        }
        admitted
    };
    let connections = servers.iter().flat_map(|server| [server; 2]);
    connections
        .map(|server| scope.spawn(move || call_until_over(server)))
        .collect()
}
