//! Quotas that several servers share through Redis, and what becomes of them when it is gone.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::redis_server::RedisServer;
use crate::support::{
    Answer, Connection, Request, Server, assert_error, call, grant, quotas, refused_start, service,
};

const PLENTY: u32 = 1_000_000;
/// Longer than any pause of a busy machine, so that the store only fails where a test makes it.
const PATIENT: (&str, &str) = ("AISBREAKER_REDIS_TIMEOUT", "30s");
const UP: &str = "the quota store is reachable";
const DOWN: &str = "the quota store is not reachable";

fn server(redis: &RedisServer, environment: &[(&str, &str)]) -> Server {
    let url = redis.url();
    let basis = [
        ("AISBREAKER_REDIS_URL", &*url),
        PATIENT,
        ("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0"),
    ];
    Server::start(&[&basis, environment].concat())
}

fn dummy() -> Value {
    call(service("chat:dummy"), "Hi")
}

/// A key that admits this many a day, from one client as from all.
fn key(server: &Server, per_day: u32) -> String {
    let limits = [PLENTY, PLENTY, per_day];
    server.mint(&grant(&quotas(limits, limits), &json!([])))
}

/// How many of `asked` requests with this key are admitted; the others must be refused for its
/// quota.
#[track_caller]
fn admitted(server: &Server, key: &str, asked: u32) -> u32 {
    let mut connection = server.connect();
    let request = Request::process(&dummy()).bearer(key);
    let mut ask = || connection.send(&request);
    (0..asked).map(|_| u32::from(is_admitted(&ask()))).sum()
}

#[track_caller]
fn is_admitted(answer: &Answer) -> bool {
    let expected = "Request quota exceeded: client requests per day limit exceeded";
    match answer.status {
        200 => true,
        429 => {
            assert!(answer.message().starts_with(expected), "{answer:?}");
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            false
        }
        _ => panic!("{answer:?}"),
    }
}

/// How many log lines have this message.
fn lines(server: &Server, message: &str) -> usize {
    server
        .log()
        .lines()
        .filter(|line| line.contains(message))
        .count()
}

/// Waits for the `count`th line with this message.
fn wait_for(server: &Server, message: &str, count: usize) {
    let mut found = 0;
    server.wait_for_log(message, |line| {
        found += usize::from(
            line["message"]
                .as_str()
                .is_some_and(|text| text.contains(message)),
        );
        found == count
    });
}

#[test]
fn two_servers_count_together_and_tell_the_same() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let servers = [server(&redis, &[]), server(&redis, &[])];
    let key = key(&servers[0], 5);

    for used in 1..=5_usize {
        let answer = servers[used % 2].process(&key, &dummy());
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            answer.header("x-ratelimit-remaining-requests"),
            Some(&*(5 - used).to_string())
        );
    }
    for server in &servers {
        let refused = server.process(&key, &dummy());
        assert!(!is_admitted(&refused));
        assert_eq!(refused.header("x-should-retry"), Some("false"));
        let limits = refused.header("ratelimit").unwrap();
        assert!(limits.contains("\"client-day\";r=0;t="), "{limits}");
        let message = refused.message();
        assert!(
            message.contains("(5 per day and client; try again in 8"),
            "{message}"
        );
    }
}

#[test]
fn four_servers_under_load_admit_exactly_the_limit() {
    const LIMIT: u32 = 300;
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let servers = [(); 4].map(|()| server(&redis, &[]));
    let key = key(&servers[0], LIMIT);

    let total: u32 = thread::scope(|scope| {
        let asking = servers.iter().flat_map(|server| [server; 4]).map(|server| {
            let key = &key;
            // Together twice the limit.
            scope.spawn(move || admitted(server, key, LIMIT * 2 / 16))
        });
        asking
            .collect::<Vec<_>>()
            .into_iter()
            .map(|asking| asking.join().unwrap())
            .sum()
    });

    assert_eq!(total, LIMIT);
    for server in &servers {
        assert_eq!(lines(server, DOWN), 0, "{}", server.log());
    }
}

#[test]
fn without_the_store_each_server_admits_its_share_of_what_it_has_not_admitted_already() {
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
    let refused = servers[0].process(&used, &dummy());
    assert!(
        refused.message().contains("(5 per day and client; "),
        "{}",
        refused.message()
    );
    for server in &servers {
        assert_eq!(
            lines(server, DOWN),
            1,
            "one line for the change: {}",
            server.log()
        );
    }

    redis.start_again();
    for server in &servers {
        wait_for(server, UP, 2);
        assert_eq!(admitted(server, &key(server, 3), 9), 3);
        assert_eq!(lines(server, DOWN), 1, "{}", server.log());
    }
    // The store was empty again: at most the limit of the store and each share, which is what the
    // README states.
    assert_eq!(admitted(&servers[0], &used, 20), 10);
}

#[test]
fn a_share_is_never_less_than_one() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let server = server(&redis, &[("AISBREAKER_REPLICAS", "100")]);
    let key = key(&server, 10);
    redis.stop();
    assert_eq!(admitted(&server, &key, 5), 1);
}

#[test]
fn without_the_store_a_closed_server_refuses_all_and_says_so() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let server = server(&redis, &[("AISBREAKER_QUOTA_ON_STORE_FAILURE", "closed")]);
    let key = key(&server, 10);
    redis.stop();

    for _ in 0..3 {
        let answer = server.process(&key, &dummy());
        assert_error("closed", &answer, 503, "cannot count requests");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let minted = server.send(&Request::mint(&json!({"requestAuthAndQuotas": {}})));
    assert_error("minting", &minted, 503, "cannot count requests");
    let told = server.send(&Request::get("/api/v1/quota").bearer(&key));
    assert_error("asking", &told, 503, "cannot tell at the moment");
    assert_eq!(
        server.get("/api/v1/ping").status,
        200,
        "what is free is served"
    );

    redis.start_again();
    wait_for(&server, UP, 2);
    assert_eq!(admitted(&server, &key, 11), 10);
}

#[test]
fn without_the_store_an_open_server_admits_all_and_claims_no_limits() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let server = server(&redis, &[("AISBREAKER_QUOTA_ON_STORE_FAILURE", "open")]);
    let key = key(&server, 2);
    assert_eq!(admitted(&server, &key, 3), 2);
    redis.stop();

    for _ in 0..5 {
        let answer = server.process(&key, &dummy());
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("ratelimit"), None, "{answer:?}");
    }
    let told = server.send(&Request::get("/api/v1/quota").bearer(&key));
    assert_error("asking", &told, 503, "cannot tell at the moment");

    redis.start_again();
    wait_for(&server, UP, 2);
    assert_eq!(
        admitted(&server, &key, 3),
        2,
        "what was let through is not counted later"
    );
}

#[test]
fn a_store_that_hangs_is_left_alone_until_it_is_back() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let server = server(&redis, &[("AISBREAKER_REDIS_TIMEOUT", "50ms")]);
    let key = key(&server, 1_000);
    assert_eq!(admitted(&server, &key, 1), 1);

    redis.pause();
    assert_eq!(admitted(&server, &key, 50), 50, "by its own counters");
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
fn a_server_starts_without_its_store_and_finds_it_later() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    redis.stop();
    let server = server(&redis, &[]);
    wait_for(&server, DOWN, 1);
    let key = key(&server, 2);
    assert_eq!(admitted(&server, &key, 5), 2, "by its own counters");

    redis.start_again();

    wait_for(&server, UP, 1);
    assert_eq!(
        admitted(&server, &key, 5),
        2,
        "the store has not counted before"
    );
    // The key's counters and the server's, for the client and for all, and that of the probe.
    assert_eq!(
        redis.cli(&["DBSIZE"]).trim(),
        "5",
        "{}",
        redis.cli(&["KEYS", "*"])
    );
}

#[test]
fn a_store_that_forgets_its_function_is_taught_again_and_one_that_forgets_all_counts_anew() {
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
        "what was counted still counts"
    );
    redis.cli(&["FLUSHALL"]);
    assert_eq!(admitted(&server, &key, 5), 4);
    assert_eq!(lines(&server, UP), 1, "{}", server.log());
}

#[test]
fn all_counters_are_in_the_store_named_without_secrets_and_end_by_themselves() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let server = server(&redis, &[("AISBREAKER_REDIS_PREFIX", "gate-7")]);
    let secrets =
        json!([{"serviceId": "chat:openai.com", "authSecret": "sk-Fk7wZq3nXv9tRm2bLc8y"}]);
    let key = server.mint_secrets(&secrets);
    assert_eq!(server.process(&key, &dummy()).status, 200);
    let id = server.wait_for_log("the request", |line| line["route"] == "/api/v1/process")["key"]
        .as_str()
        .unwrap()
        .to_owned();

    let names = redis.cli(&["KEYS", "*"]);
    let mut found: Vec<&str> = names.lines().collect();
    found.sort_unstable();
    let of_key = |client: &str| format!("key:{id}{client}");
    let expected = [
        "default",
        "default:127.0.0.1",
        &of_key(""),
        &of_key(":127.0.0.1"),
        "probe",
        "server",
        "server:127.0.0.1",
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ending in expected {
        assert!(
            found
                .iter()
                .any(|name| name.ends_with(&format!(":{ending}"))),
            "{ending} in {found:?}"
        );
    }
    for name in found {
        assert!(name.starts_with("{gate-7}:"), "{name}");
        let left: u32 = redis.cli(&["TTL", name]).trim().parse().unwrap();
        assert!((87_264..=90_000).contains(&left), "{name}: {left}");
        let value = redis.cli(&["--no-raw", "GET", name]);
        for secret in ["sk-F", "Fk7w", &key[30..40]] {
            assert!(
                !name.contains(secret) && !value.contains(secret),
                "{name}: {value}"
            );
        }
    }
}

#[test]
fn the_address_of_the_store_is_a_secret_and_what_needs_it_says_so() {
    let url = "redis://user:Pz7tBk4xMv9qWn2rLc6yGh8j@127.0.0.1:1/";
    let server = Server::start(&[("AISBREAKER_REDIS_URL", url)]);
    wait_for(&server, DOWN, 1);
    assert!(!server.log().contains("Pz7tBk4xMv9q"), "{}", server.log());
    wait_for(&server, "AISBREAKER_REPLICAS is not set", 1);

    let rows = [
        (
            vec![("AISBREAKER_REDIS_URL", "Pz7tBk4xMv9q")],
            "AISBREAKER_REDIS_URL",
        ),
        (
            vec![
                ("AISBREAKER_REDIS_URL", url),
                ("AISBREAKER_REDIS_PREFIX", "a}b"),
            ],
            "AISBREAKER_REDIS_PREFIX",
        ),
        (
            vec![
                ("AISBREAKER_REDIS_URL", url),
                ("AISBREAKER_REDIS_CA_FILE", "/no/such/file"),
            ],
            "AISBREAKER_REDIS_CA_FILE cannot be read",
        ),
        (
            vec![
                ("AISBREAKER_REDIS_URL", url),
                ("AISBREAKER_REDIS_CA_FILE", "/proc/self/status"),
            ],
            "AISBREAKER_REDIS_CA_FILE is unusable",
        ),
        (
            vec![("AISBREAKER_REDIS_URL", url), ("AISBREAKER_REPLICAS", "0")],
            "AISBREAKER_REPLICAS",
        ),
        (
            vec![
                ("AISBREAKER_REDIS_URL", url),
                ("AISBREAKER_QUOTA_ON_STORE_FAILURE", "maybe"),
            ],
            "AISBREAKER_QUOTA_ON_STORE_FAILURE",
        ),
        (
            vec![("AISBREAKER_REPLICAS", "3")],
            "AISBREAKER_REPLICAS has no effect without AISBREAKER_REDIS_URL",
        ),
        (
            vec![("AISBREAKER_REDIS_TIMEOUT", "3s")],
            "AISBREAKER_REDIS_TIMEOUT has no effect",
        ),
        (
            vec![("AISBREAKER_QUOTA_LEASE", "3")],
            "AISBREAKER_QUOTA_LEASE has no effect",
        ),
    ];
    for (environment, expected) in rows {
        let fault = refused_start(&[], &environment);
        assert!(fault.contains(expected), "{fault}");
        assert!(!fault.contains("Pz7tBk4xMv9q"), "{fault}");
    }
}

#[test]
fn metrics_tell_who_decides_and_whether_the_store_is_there() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let server = server(&redis, &[]);
    let key = key(&server, 2);
    assert_eq!(admitted(&server, &key, 3), 2);
    let told = |name: &str| metric(&server, name);
    assert_eq!(told("aisbreaker_quota_store_up"), 1.0);
    // Minting is one of them.
    let decided = |by: &str, outcome: &str| {
        format!("aisbreaker_quota_decisions_total{{counted_by=\"{by}\",outcome=\"{outcome}\"}}")
    };
    assert_eq!(told(&decided("store", "admitted")), 3.0);
    assert_eq!(told(&decided("store", "refused")), 1.0);
    assert_eq!(told("aisbreaker_quota_store_duration_seconds_count"), 4.0);

    redis.stop();
    assert_eq!(admitted(&server, &key, 2), 0);
    wait_for(&server, DOWN, 1);

    assert_eq!(told(&decided("share", "refused")), 2.0);
    assert_eq!(told("aisbreaker_quota_store_up"), 0.0);
    let alone = Server::start(&[("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0")]);
    assert_eq!(alone.get("/metrics").status, 404, "not where clients are");
    let text = metrics(&alone);
    assert!(!text.contains("store"), "{text}");
}

/// What is told at the address for metrics.
fn metrics(server: &Server) -> String {
    let line = server.wait_for_log("the address of the metrics", |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.contains("/metrics"))
    });
    let address = line["address"].as_str().unwrap().parse().unwrap();
    let mut connection = Connection::open(address);
    let answer = connection.send(&Request::get("/metrics"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text().to_owned()
}

#[track_caller]
fn metric(server: &Server, name: &str) -> f64 {
    let text = metrics(server);
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn leases_admit_no_more_than_the_limit_and_leave_the_rest_to_others() {
    const LIMIT: u32 = 1_000;
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let leases = [("AISBREAKER_QUOTA_LEASE", "50")];
    let servers = [server(&redis, &leases), server(&redis, &leases)];
    let key = key(&servers[0], LIMIT);
    let asked_store = || -> u32 {
        let stats = redis.cli(&["INFO", "commandstats"]);
        let calls = stats
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_fcall:calls="));
        calls
            .and_then(|calls| calls.split(',').next()?.parse().ok())
            .unwrap_or(0)
    };

    let before = asked_store();
    let first = thread::scope(|scope| {
        let asking = servers.iter().flat_map(|server| [server; 4]).map(|server| {
            let key = &key;
            scope.spawn(move || admitted(server, key, LIMIT / 16))
        });
        asking
            .collect::<Vec<_>>()
            .into_iter()
            .map(|asking| asking.join().unwrap())
            .sum::<u32>()
    });
    let calls = asked_store() - before;

    assert_eq!(
        first,
        LIMIT / 16 * 8,
        "half of the limit is there for all that ask"
    );
    assert!(
        calls < first,
        "{calls} calls of the store for {first} requests"
    );
    // What is held at the end of a slot is given back, so that in the end all of the limit can be
    // had. Until then a server may be refused what another one holds.
    let mut total = first;
    for _ in 0..1_000 {
        if total < LIMIT {
            total += admitted(&servers[0], &key, 10) + admitted(&servers[1], &key, 10);
        }
    }
    assert_eq!(total, LIMIT);
    assert_eq!(
        [
            admitted(&servers[0], &key, 20),
            admitted(&servers[1], &key, 20)
        ],
        [0, 0]
    );
}

/// Calls from two connections for each server until it is told to stop: how many were admitted. Any
/// answer but 200 and the refusal of the key's quota is a failure.
fn load<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    servers: &'scope [Server; 2],
    key: &'scope str,
    is_over: &'scope AtomicBool,
) -> Vec<thread::ScopedJoinHandle<'scope, u32>> {
    let call_on = |server: &'scope Server| {
        move || {
            let mut connection = server.connect();
            let request = Request::process(&dummy()).bearer(key);
            let mut admitted = 0;
            while !is_over.load(Ordering::Relaxed) {
                admitted += u32::from(is_admitted(&connection.send(&request)));
            }
            admitted
        }
    };
    servers
        .iter()
        .flat_map(|server| [server; 2])
        .map(|server| scope.spawn(call_on(server)))
        .collect()
}

#[test]
fn under_load_a_store_that_hangs_ends_and_is_flushed_costs_nobody_an_error_and_gives_no_more_than_stated()
 {
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
    // On a busy machine, the store may be slow for its own reasons: changes are counted from here
    // on.
    let after = |message: &str| servers.each_ref().map(|server| lines(server, message) + 1);
    let each_sees = |message: &str, count: [usize; 2]| {
        servers
            .iter()
            .zip(count)
            .for_each(|(server, count)| wait_for(server, message, count));
    };

    let total: u32 = thread::scope(|scope| {
        let calls = load(scope, &servers, &key, &is_over);
        let (down, up) = (after(DOWN), after(UP));
        redis.pause();
        each_sees(DOWN, down);
        redis.resume();
        each_sees(UP, up);
        redis.cli(&["FUNCTION", "FLUSH"]);
        let (down, up) = (after(DOWN), after(UP));
        redis.stop();
        each_sees(DOWN, down);
        redis.start_again();
        each_sees(UP, up);
        redis.cli(&["FLUSHALL"]);
        assert!(admitted(&servers[0], &key, 1) <= 1);
        is_over.store(true, Ordering::Relaxed);
        calls
            .into_iter()
            .map(|calls| calls.join().expect("no call failed"))
            .sum()
    });

    // The store forgot twice, so that it admitted the limit three times at most; and each server
    // its share without it.
    assert!((LIMIT..=4 * LIMIT).contains(&total), "{total}");
    // All had far more requests than changes.
    for server in &servers {
        assert!(lines(server, DOWN) <= 10, "{}", server.log());
    }
}
