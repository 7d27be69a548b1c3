//! Contract section 5: what is counted, and who is refused.

use std::thread;

use serde_json::json;

use super::ratelimit_headers::{
    PLENTY, WINDOWS, assert_refused, call_from, key_with, plenty_except, remaining,
};
use crate::support::{Request, Server, call, dummy_call, grant, quotas, service, streamed};

#[test]
fn each_limit_admits_exactly_its_quota() {
    let server = Server::start(&[]);

    for (window, (name, seconds)) in WINDOWS.into_iter().enumerate() {
        for (scope, per_client, global) in [
            ("client", plenty_except(3, window), PLENTY),
            ("global", PLENTY, plenty_except(3, window)),
        ] {
            let row = format!("{scope} per {name}");
            let key = key_with(&server, per_client, global);
            for left in (0..3).rev() {
                let response = server.process(&key, &dummy_call());
                assert_eq!(response.status, 200, "{row}: {response:?}");
                assert_eq!(remaining(&response, 3, seconds), left, "{row}");
            }
            let refused = server.process(&key, &dummy_call());
            let message =
                format!("Request quota exceeded: {scope} requests per {name} limit exceeded");
            let wait = assert_refused(&row, &refused, &message);
            // A request counts for its window, and for at most one hundredth of it longer.
            assert!(wait <= seconds + seconds / 100 + 1, "{row}: {wait}");
            assert!(
                wait + 40 >= seconds,
                "{row}: {wait} although no request leaves the window yet"
            );
            assert_eq!(remaining(&refused, 3, seconds), 0, "{row}");
            let streamed = server.process(&key, &streamed(dummy_call()));
            assert_refused(&format!("{row}, streamed"), &streamed, &message);
        }
    }
}

#[test]
fn failed_requests_count_and_refused_ones_do_not() {
    let server = Server::start(&[]);
    let key = key_with(&server, [2, 100, 90], PLENTY);
    let failing = call(service("chat:nothing"), "Hi");

    assert_eq!(server.process(&key, &failing).status, 404);
    assert_eq!(server.process(&key, &failing).status, 404);
    for _ in 0..5 {
        let refused = server.process(&key, &dummy_call());
        assert_refused(
            "spent by failures",
            &refused,
            "Request quota exceeded: client requests per minute",
        );
        assert_eq!(
            remaining(&refused, 100, 3_600),
            98,
            "refusals are not counted"
        );
        assert_eq!(
            remaining(&refused, 90, 86_400),
            88,
            "refusals are not counted"
        );
    }
}

#[test]
fn all_limits_are_charged_or_none() {
    let server = Server::start(&[("AISBREAKER_TRUSTED_PROXIES", "127.0.0.1")]);
    // The first client uses the only global request of this key.
    let key = key_with(&server, [50, 60, 70], [1, 900, 900]);
    assert_eq!(server.send(&call_from("192.0.2.1", &key)).status, 200);

    for _ in 0..3 {
        let refused = server.send(&call_from("192.0.2.2", &key));
        assert_refused(
            "global",
            &refused,
            "Request quota exceeded: global requests per minute limit exceeded",
        );
        for (quota, window) in [(50, 60), (60, 3_600), (70, 86_400)] {
            assert_eq!(
                remaining(&refused, quota, window),
                quota,
                "the second client was charged"
            );
        }
        assert_eq!(remaining(&refused, 900, 3_600), 899);
    }
}

#[test]
fn keys_never_share_counters() {
    let server = Server::start(&[]);
    let body = grant(&quotas([1; 3], [1; 3]), &json!([]));
    let keys: Vec<String> = (0..20).map(|_| server.mint(&body)).collect();

    for key in &keys {
        assert_eq!(
            server.process(key, &dummy_call()).status,
            200,
            "the first call of a key"
        );
    }
    for key in &keys {
        assert_eq!(
            server.process(key, &dummy_call()).status,
            429,
            "the second call of a key"
        );
    }
}

#[test]
fn free_routes_and_preflights_are_not_charged() {
    let limits = quotas([1; 3], [1; 3]).to_string();
    let server = Server::start(&[
        ("AISBREAKER_SERVER_QUOTAS", &limits),
        ("AISBREAKER_DEFAULT_QUOTAS", &limits),
    ]);
    let free = [
        Request::get("/api/v1/ping"),
        Request::get("/api/v1/version"),
        Request::get("/"),
        Request::get("/healthz"),
        Request::get("/readyz"),
        Request::new("OPTIONS", "/api/v1/process"),
        Request::new("OPTIONS", "/api/v1/oauth/token"),
        Request::new("HEAD", "/api/v1/process"),
        Request::get("/nothing"),
    ];

    for round in ["before", "after"] {
        for request in &free {
            for _ in 0..3 {
                let response = server.send(request);
                assert_ne!(response.status, 429, "{round}: {response:?}");
                assert_eq!(response.header("ratelimit"), None, "{round}: {response:?}");
            }
        }
        let expected = if round == "before" { 200 } else { 429 };
        assert_eq!(
            server.process("", &dummy_call()).status,
            expected,
            "{round}"
        );
    }
}

#[test]
fn bad_key_consumes_no_quota() {
    let limits = quotas([2, 100, 100], PLENTY).to_string();
    let server = Server::start(&[("AISBREAKER_DEFAULT_QUOTAS", &limits)]);

    for _ in 0..5 {
        assert_eq!(
            server.process("aisbreaker_nonsense", &dummy_call()).status,
            401
        );
    }

    assert_eq!(server.process("", &dummy_call()).status, 200);
}

#[test]
fn concurrent_requests_are_admitted_exactly_up_to_the_limit() {
    let server = Server::start(&[]);
    let key = key_with(&server, [10, 100, 100], PLENTY);

    let statuses: Vec<u16> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..5)
                        .map(|_| server.process(&key, &dummy_call()).status)
                        .collect::<Vec<u16>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });

    let count = |status| statuses.iter().filter(|actual| **actual == status).count();
    assert_eq!((count(200), count(429)), (10, 30), "{statuses:?}");
}
