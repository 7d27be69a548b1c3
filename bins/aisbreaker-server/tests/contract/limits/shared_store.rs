//! Quotas that several servers share through Redis. What happens without it is in [`outages`].

mod outages;

use std::thread;

use serde_json::json;

use crate::redis_server::RedisServer;
use crate::support::{
    Connection, Request, Response, Server, dummy_call, grant, quotas, refused_start,
};

const PLENTY: u32 = 1_000_000;
/// Longer than any pause of a busy machine, so that the store fails only where a test makes it
/// fail.
const LONG_TIMEOUT: (&str, &str) = ("AISBREAKER_REDIS_TIMEOUT", "30s");
const UP: &str = "the quota store is reachable";
const DOWN: &str = "the quota store is not reachable";

/// Starts a server that counts in this store.
fn server(redis: &RedisServer, environment: &[(&str, &str)]) -> Server {
    let url = redis.url();
    let defaults = [
        ("AISBREAKER_REDIS_URL", &*url),
        LONG_TIMEOUT,
        ("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0"),
    ];
    Server::start(&[&defaults, environment].concat())
}

/// Mints a key that admits this many requests per day, from one client as from all.
fn key(server: &Server, per_day: u32) -> String {
    let limits = [PLENTY, PLENTY, per_day];
    server.mint(&grant(&quotas(limits, limits), &json!([])))
}

/// Returns how many of `requests` calls with this key are admitted. All others must be refused
/// because of its daily limit.
#[track_caller]
fn admitted(server: &Server, key: &str, requests: u32) -> u32 {
    let mut connection = server.connect();
    let request = Request::process(&dummy_call()).bearer(key);
    let mut admitted = 0;
    for _ in 0..requests {
        admitted += u32::from(is_admitted(&connection.send(&request)));
    }
    admitted
}

/// Sends `requests` calls on each of four connections to each server, and returns how many are
/// admitted.
fn admitted_concurrently(servers: &[Server], key: &str, requests: u32) -> u32 {
    thread::scope(|scope| {
        let mut callers = Vec::new();
        for server in servers.iter().flat_map(|server| [server; 4]) {
            callers.push(scope.spawn(move || admitted(server, key, requests)));
        }
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .sum()
    })
}

/// Returns whether a call was admitted, or refused because of the daily limit of its key.
#[track_caller]
fn is_admitted(response: &Response) -> bool {
    let expected = "Request quota exceeded: client requests per day limit exceeded";
    match response.status {
        200 => true,
        429 => {
            assert!(response.message().starts_with(expected), "{response:?}");
            assert!(response.header("retry-after").is_some(), "{response:?}");
            false
        }
        _ => panic!("{response:?}"),
    }
}

/// Returns how many log lines contain this message.
fn lines(server: &Server, message: &str) -> usize {
    server
        .log()
        .lines()
        .filter(|line| line.contains(message))
        .count()
}

/// Waits for the `count`th log line whose message contains this text.
fn wait_for(server: &Server, message: &str, count: usize) {
    let mut found = 0;
    server.wait_for_log(message, |line| {
        let text = line["message"].as_str().unwrap_or_default();
        found += usize::from(text.contains(message));
        found == count
    });
}

#[test]
fn two_servers_count_together_and_report_the_same() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let servers = [server(&redis, &[]), server(&redis, &[])];
    let key = key(&servers[0], 5);

    for used in 1..=5_usize {
        let response = servers[used % 2].process(&key, &dummy_call());
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(
            response.header("x-ratelimit-remaining-requests"),
            Some(&*(5 - used).to_string())
        );
    }
    for server in &servers {
        let refused = server.process(&key, &dummy_call());
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
fn two_servers_count_minting_together() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let limits = quotas([PLENTY, PLENTY, 3], [PLENTY; 3]).to_string();
    let environment = [("AISBREAKER_MINT_QUOTAS", &*limits)];
    let servers = [server(&redis, &environment), server(&redis, &environment)];
    let minting = Request::mint(&json!({"requestAuthAndQuotas": {}}));

    for used in 1..=3_usize {
        let minted = servers[used % 2].send(&minting);
        assert_eq!(minted.status, 200, "{minted:?}");
        assert_eq!(
            minted.header("x-ratelimit-remaining-requests"),
            Some(&*(3 - used).to_string())
        );
    }
    for server in &servers {
        assert!(!is_admitted(&server.send(&minting)));
        assert_eq!(server.process("", &dummy_call()).status, 200);
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

    // Together, they send twice the limit.
    let total = admitted_concurrently(&servers, &key, LIMIT * 2 / 16);

    assert_eq!(total, LIMIT);
    for server in &servers {
        assert_eq!(lines(server, DOWN), 0, "{}", server.log());
    }
}

#[test]
fn stored_counters_contain_no_secrets_and_expire() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let server = server(&redis, &[("AISBREAKER_REDIS_PREFIX", "gate-7")]);
    let secrets =
        json!([{"serviceId": "chat:openai.com", "authSecret": "sk-Fk7wZq3nXv9tRm2bLc8y"}]);
    let key = server.mint_with_secrets(&secrets);
    assert_eq!(server.process(&key, &dummy_call()).status, 200);
    let id = server.wait_for_log("the request", |line| line["route"] == "/api/v1/process")["key"]
        .as_str()
        .unwrap()
        .to_owned();

    let names = redis.cli(&["KEYS", "*"]);
    let mut found: Vec<&str> = names.lines().collect();
    found.sort_unstable();
    let of_key = |client: &str| format!("key:{id}{client}");
    let expected = [
        &of_key(""),
        &of_key(":127.0.0.1"),
        "minting",
        "minting:127.0.0.1",
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
fn store_url_stays_secret_and_dependent_settings_require_it() {
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
fn metrics_report_who_decided_and_the_store_health() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let server = server(&redis, &[]);
    let key = key(&server, 2);
    assert_eq!(admitted(&server, &key, 3), 2);
    let value = |name: &str| metric(&server, name);
    assert_eq!(value("aisbreaker_quota_store_up"), 1.0);
    // Minting is one of the decisions.
    let decided = |by: &str, outcome: &str| {
        format!("aisbreaker_quota_decisions_total{{counted_by=\"{by}\",outcome=\"{outcome}\"}}")
    };
    assert_eq!(value(&decided("store", "admitted")), 3.0);
    assert_eq!(value(&decided("store", "refused")), 1.0);
    assert_eq!(value("aisbreaker_quota_store_duration_seconds_count"), 4.0);

    redis.stop();
    assert_eq!(admitted(&server, &key, 2), 0);
    wait_for(&server, DOWN, 1);

    assert_eq!(value(&decided("share", "refused")), 2.0);
    assert_eq!(value("aisbreaker_quota_store_up"), 0.0);
    let alone = Server::start(&[("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0")]);
    assert_eq!(
        alone.get("/metrics").status,
        404,
        "not on the port of the API"
    );
    let text = metrics(&alone);
    assert!(!text.contains("quota_store"), "{text}");
}

#[test]
fn leases_admit_exactly_the_limit_across_servers() {
    const LIMIT: u32 = 1_000;
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let leases = [("AISBREAKER_QUOTA_LEASE", "50")];
    let servers = [server(&redis, &leases), server(&redis, &leases)];
    let key = key(&servers[0], LIMIT);
    let store_calls = || -> u32 {
        let stats = redis.cli(&["INFO", "commandstats"]);
        stats
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_fcall:calls="))
            .and_then(|counts| counts.split(',').next()?.parse().ok())
            .unwrap_or(0)
    };

    let before = store_calls();
    let first = admitted_concurrently(&servers, &key, LIMIT / 16);
    let calls = store_calls() - before;

    assert_eq!(
        first,
        LIMIT / 16 * 8,
        "half of the limit is available to all servers"
    );
    assert!(
        calls < first,
        "{calls} calls of the store for {first} requests"
    );
    // Unused leases return at the end of a slot, so that eventually the whole limit is admitted.
    // Until then, a server may be refused what another one holds.
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

/// Fetches the text of the metrics endpoint.
fn metrics(server: &Server) -> String {
    let mut connection = Connection::open(server.metrics_address());
    let response = connection.send(&Request::get("/metrics"));
    assert_eq!(response.status, 200, "{response:?}");
    response.text().to_owned()
}

/// Fetches one metric.
#[track_caller]
fn metric(server: &Server, name: &str) -> f64 {
    let text = metrics(server);
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}
