//! Contract sections 5 and 7: what is counted, who is refused, and what the answers tell of it.

use std::{collections::BTreeMap, thread};

use serde_json::{Value, json};

use crate::support::{
    Answer, Request, Server, assert_error, call, grant, quotas, roomy, service, service_at,
    streamed,
};

const PLENTY: [u32; 3] = [1_000; 3];
const WINDOWS: [(&str, u64); 3] = [("minute", 60), ("hour", 3_600), ("day", 86_400)];

fn dummy() -> Value {
    call(service("chat:dummy"), "Hi")
}

fn key_with(server: &Server, per_client: [u32; 3], global: [u32; 3]) -> String {
    server.mint(&grant(&quotas(per_client, global), &json!([])))
}

/// Many, but for one window.
fn plenty_but(limit: u32, window: usize) -> [u32; 3] {
    let mut limits = PLENTY;
    limits[window] = limit;
    limits
}

/// A call from behind a proxy.
fn from(client: &str, bearer: &str) -> Request {
    let request = Request::process(&dummy()).header("X-Forwarded-For", client);
    if bearer.is_empty() {
        request
    } else {
        request.bearer(bearer)
    }
}

/// The parameters of one member of a list of quoted names (RFC 9651): `"name";a=1;b=2`.
type Parameters = BTreeMap<String, u64>;

fn list(answer: &Answer, name: &str) -> BTreeMap<String, Parameters> {
    let value = answer
        .header(name)
        .unwrap_or_else(|| panic!("no {name}: {answer:?}"));
    let member = |member: &str| {
        let mut parts = member.trim().split(';');
        let name = parts
            .next()
            .unwrap()
            .strip_prefix('"')
            .and_then(|name| name.strip_suffix('"'));
        let name = name
            .unwrap_or_else(|| panic!("{member:?} has no quoted name"))
            .to_owned();
        let parameters = parts.map(|part| {
            let (name, value) = part
                .split_once('=')
                .unwrap_or_else(|| panic!("{part:?} is no parameter"));
            (
                name.to_owned(),
                value
                    .parse()
                    .unwrap_or_else(|_| panic!("{part:?} is no number")),
            )
        });
        (name, parameters.collect())
    };
    value.split(',').map(member).collect()
}

/// What remains of the limit with this quota and window.
fn remaining(answer: &Answer, quota: u64, window: u64) -> u64 {
    let policies = list(answer, "ratelimit-policy");
    let is_it = |policy: &Parameters| policy["q"] == quota && policy["w"] == window;
    let mut names = policies
        .iter()
        .filter(|(_, policy)| is_it(policy))
        .map(|(name, _)| name);
    let name = names
        .next()
        .unwrap_or_else(|| panic!("no policy {quota} per {window} s: {answer:?}"));
    assert_eq!(
        names.next(),
        None,
        "more than one policy {quota} per {window} s"
    );
    list(answer, "ratelimit")[name]["r"]
}

/// Checks a refusal as sections 5 and 7 have it; the wait is told in seconds.
#[track_caller]
fn assert_refused(row: &str, answer: &Answer, message: &str) -> u64 {
    assert_error(row, answer, 429, "");
    assert!(
        answer.message().starts_with(message),
        "{row}: {}",
        answer.message()
    );
    assert_eq!(
        answer.json()["error"]["statusText"],
        "Too Many Requests",
        "{row}"
    );
    let wait = answer
        .header("retry-after")
        .unwrap_or_else(|| panic!("{row}: no Retry-After: {answer:?}"));
    assert!(
        wait.bytes().all(|byte| byte.is_ascii_digit()),
        "{row}: Retry-After is {wait:?}"
    );
    let wait: u64 = wait.parse().unwrap();
    assert!(wait >= 1, "{row}: Retry-After is 0");
    let should_retry = answer.header("x-should-retry");
    assert_eq!(
        should_retry,
        (wait > 30).then_some("false"),
        "{row}: wait {wait}"
    );
    list(answer, "ratelimit-policy");
    list(answer, "ratelimit");
    wait
}

#[test]
fn each_limit_admits_as_many_as_it_says_and_refuses_the_next() {
    let server = Server::start(&[]);

    for (window, (name, seconds)) in WINDOWS.into_iter().enumerate() {
        for (scope, per_client, global) in [
            ("client", plenty_but(3, window), PLENTY),
            ("global", PLENTY, plenty_but(3, window)),
        ] {
            let row = format!("{scope} per {name}");
            let key = key_with(&server, per_client, global);
            for left in (0..3).rev() {
                let answer = server.process(&key, &dummy());
                assert_eq!(answer.status, 200, "{row}: {answer:?}");
                assert_eq!(remaining(&answer, 3, seconds), left, "{row}");
            }
            let refused = server.process(&key, &dummy());
            let message =
                format!("Request quota exceeded: {scope} requests per {name} limit exceeded");
            let wait = assert_refused(&row, &refused, &message);
            // A request counts for its window and at most one hundredth of it longer.
            assert!(wait <= seconds + seconds / 100 + 1, "{row}: {wait}");
            assert!(
                wait + 40 >= seconds,
                "{row}: {wait} though nothing is old enough yet"
            );
            assert_eq!(remaining(&refused, 3, seconds), 0, "{row}");
            let streamed = server.process(&key, &streamed(dummy()));
            assert_refused(&format!("{row}, streamed"), &streamed, &message);
        }
    }
}

#[test]
fn the_headers_tell_of_the_keys_six_limits() {
    let server = Server::start(&[]);
    let key = key_with(&server, [10, 20, 30], [40, 50, 60]);
    let expected = [
        (10, 60),
        (20, 3_600),
        (30, 86_400),
        (40, 60),
        (50, 3_600),
        (60, 86_400),
    ];

    for used in 1..=3 {
        let answer = server.process(&key, &dummy());
        let (policies, limits) = (
            list(&answer, "ratelimit-policy"),
            list(&answer, "ratelimit"),
        );
        let mut told: Vec<(u64, u64)> = policies
            .values()
            .map(|policy| (policy["q"], policy["w"]))
            .collect();
        told.sort_unstable();
        assert_eq!(told, expected, "{answer:?}");
        assert_eq!(
            policies.keys().collect::<Vec<_>>(),
            limits.keys().collect::<Vec<_>>(),
            "{answer:?}"
        );
        for (quota, window) in expected {
            assert_eq!(
                remaining(&answer, quota, window),
                quota - used,
                "{quota} per {window} s"
            );
        }
        for limit in limits.values() {
            assert!(limit["t"] <= 86_400 + 864 + 1, "{answer:?}");
        }
        assert_eq!(
            answer.header("x-ratelimit-limit-requests"),
            Some("10"),
            "{answer:?}"
        );
        assert_eq!(
            answer.header("x-ratelimit-remaining-requests"),
            Some(&*(10 - used).to_string())
        );
        let reset = answer.header("x-ratelimit-reset-requests").unwrap();
        assert!(
            reset.starts_with(|first: char| first.is_ascii_digit()),
            "{reset}"
        );
        assert_eq!(answer.header("retry-after"), None);
    }
}

#[test]
fn a_refusal_tells_the_wait_at_the_limit_that_refused() {
    let server = Server::start(&[]);
    let key = key_with(&server, [2, 100, 100], PLENTY);
    server.process(&key, &dummy());
    server.process(&key, &dummy());

    let refused = server.process(&key, &dummy());

    let wait = assert_refused(
        "spent",
        &refused,
        "Request quota exceeded: client requests per minute",
    );
    let policies = list(&refused, "ratelimit-policy");
    let (name, _) = policies
        .iter()
        .find(|(_, policy)| policy["q"] == 2)
        .unwrap();
    assert_eq!(list(&refused, "ratelimit")[name]["t"], wait, "{refused:?}");
    assert_eq!(refused.header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
}

#[test]
fn every_charged_answer_has_the_headers() {
    let server = Server::with_egress(&[]);
    let key =
        server.mint_secrets(&json!([{"serviceId": "chat:openai.com", "authSecret": "INVALID"}]));
    let rows = [
        ("final", Request::process(&dummy()).bearer(&key), 200),
        (
            "stream",
            Request::process(&streamed(dummy())).bearer(&key),
            200,
        ),
        (
            "not found",
            Request::process(&call(service("chat:nothing"), "Hi")).bearer(&key),
            404,
        ),
        (
            "forbidden",
            Request::process(&call(service("chat:openai.com"), "Hi")).bearer(&key),
            403,
        ),
        ("no key", Request::process(&dummy()), 200),
        (
            "own secret",
            Request::process(&dummy()).bearer("sk-own"),
            200,
        ),
        (
            "minting",
            Request::mint(&json!({"requestAuthAndQuotas": {}})),
            200,
        ),
        (
            "unreachable",
            Request::process(&call(
                service_at("chat:openai.com", "http://127.0.0.1:1"),
                "Hi",
            ))
            .bearer("sk-own"),
            503,
        ),
    ];

    for (row, request, status) in rows {
        let answer = server.send(&request);
        assert_eq!(answer.status, status, "{row}: {answer:?}");
        assert_eq!(
            list(&answer, "ratelimit-policy").len(),
            6,
            "{row}: {answer:?}"
        );
        assert_eq!(list(&answer, "ratelimit").len(), 6, "{row}: {answer:?}");
        for name in ["limit", "remaining", "reset"] {
            assert!(
                answer
                    .header(&format!("x-ratelimit-{name}-requests"))
                    .is_some(),
                "{row}: {answer:?}"
            );
        }
    }
}

#[test]
fn a_failed_request_is_counted_and_a_refused_one_is_not() {
    let server = Server::start(&[]);
    let key = key_with(&server, [2, 100, 90], PLENTY);
    let failing = call(service("chat:nothing"), "Hi");

    assert_eq!(server.process(&key, &failing).status, 404);
    assert_eq!(server.process(&key, &failing).status, 404);
    for _ in 0..5 {
        let refused = server.process(&key, &dummy());
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
    // The one global request of this key is used by the first client.
    let key = key_with(&server, [50, 60, 70], [1, 900, 900]);
    assert_eq!(server.send(&from("192.0.2.1", &key)).status, 200);

    for _ in 0..3 {
        let refused = server.send(&from("192.0.2.2", &key));
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
fn two_keys_never_share_counters() {
    let server = Server::start(&[]);
    let body = grant(&quotas([1; 3], [1; 3]), &json!([]));
    let keys: Vec<String> = (0..20).map(|_| server.mint(&body)).collect();

    for key in &keys {
        assert_eq!(
            server.process(key, &dummy()).status,
            200,
            "the first call of a key"
        );
    }
    for key in &keys {
        assert_eq!(
            server.process(key, &dummy()).status,
            429,
            "the second call of a key"
        );
    }
}

#[test]
fn a_key_counts_its_clients_apart_and_all_of_them_together() {
    let server = Server::start(&[("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8")]);
    let key = key_with(&server, [2, 100, 100], [5, 100, 100]);
    let client = "Request quota exceeded: client requests per minute limit exceeded";
    let global = "Request quota exceeded: global requests per minute limit exceeded";
    let rows = [
        ("192.0.2.1", None),
        ("192.0.2.1:4711", None),
        ("192.0.2.1", Some(client)),
        ("192.0.2.99, 192.0.2.1", Some(client)),
        ("192.0.2.1, 10.1.2.3", Some(client)),
        ("::ffff:192.0.2.1", Some(client)),
        ("2001:db8:1:2::1", None),
        ("[2001:db8:1:2::2]:4711", None),
        ("2001:db8:1:2:ffff::3", Some(client)),
        ("2001:db8:1:3::1", None),
        ("2001:db8:1:3::1", Some(global)),
        ("192.0.2.3", Some(global)),
        ("not an address", Some(global)),
    ];

    for (address, refusal) in rows {
        let answer = server.send(&from(address, &key));
        match refusal {
            None => assert_eq!(answer.status, 200, "{address}: {answer:?}"),
            Some(message) => {
                assert_refused(address, &answer, message);
            }
        }
    }
}

#[test]
fn a_client_cannot_claim_to_be_many() {
    let server = Server::start(&[]);
    let key = key_with(&server, [2, 100, 100], PLENTY);
    let headers = [
        "X-Forwarded-For",
        "X-Real-IP",
        "Forwarded",
        "CF-Connecting-IP",
        "True-Client-IP",
    ];

    let statuses: Vec<u16> = (0..5)
        .map(|i| {
            let request = Request::process(&dummy()).bearer(&key);
            let address = format!("192.0.2.{i}");
            let request = headers
                .iter()
                .fold(request, |request, name| request.header(name, &address));
            server.send(&request).status
        })
        .collect();

    assert_eq!(statuses, [200, 200, 429, 429, 429]);
}

#[test]
fn behind_a_trusted_proxy_only_the_nearest_untrusted_address_counts() {
    let server = Server::start(&[("AISBREAKER_TRUSTED_PROXIES", "127.0.0.1/32")]);
    let key = key_with(&server, [2, 100, 100], PLENTY);

    let statuses: Vec<u16> = (0..4)
        .map(|i| {
            server
                .send(&from(&format!("10.9.8.{i}, 198.51.100.7"), &key))
                .status
        })
        .collect();

    assert_eq!(
        statuses,
        [200, 200, 429, 429],
        "what the client itself wrote to the left does not count"
    );
    let two_lines = from("203.0.113.5", &key).header("X-Forwarded-For", "198.51.100.7");
    assert_eq!(
        server.send(&two_lines).status,
        429,
        "all field lines are one list"
    );
}

#[test]
fn the_servers_own_limits_come_on_top_and_say_so() {
    for (window, (name, _)) in WINDOWS.into_iter().enumerate() {
        for (scope, per_client, global) in [
            ("client", plenty_but(3, window), PLENTY),
            ("global", PLENTY, plenty_but(3, window)),
        ] {
            let row = format!("{scope} per {name}");
            let limits = quotas(per_client, global).to_string();
            let server = Server::start(&[("AISBREAKER_SERVER_QUOTAS", &limits)]);
            // Minting is the first of three.
            let key = server.mint_secrets(&json!([]));
            assert_eq!(server.process(&key, &dummy()).status, 200, "{row}");
            assert_eq!(server.process("", &dummy()).status, 200, "{row}");
            let message =
                format!("API request quota exceeded: {scope} requests per {name} limit exceeded");
            let minting = Request::mint(&json!({"requestAuthAndQuotas": {}}));
            for (way, answer) in [
                ("key", server.process(&key, &dummy())),
                ("no key", server.process("", &dummy())),
                ("own secret", server.process("sk-own", &dummy())),
                ("minting", server.send(&minting)),
            ] {
                assert_refused(&format!("{row}, {way}"), &answer, &message);
            }
        }
    }
}

#[test]
fn a_refusal_by_the_server_does_not_charge_the_key() {
    let limits = quotas([2, 900, 900], PLENTY).to_string();
    let server = Server::start(&[("AISBREAKER_SERVER_QUOTAS", &limits)]);
    let key = key_with(&server, [50, 60, 70], PLENTY);
    assert_eq!(server.process(&key, &dummy()).status, 200);

    for _ in 0..3 {
        let refused = server.process(&key, &dummy());
        assert_refused(
            "server",
            &refused,
            "API request quota exceeded: client requests per minute",
        );
        assert_eq!(remaining(&refused, 50, 60), 49);
    }
}

#[test]
fn those_without_a_key_and_those_who_mint_share_the_default_limits() {
    let limits = quotas([4, 100, 100], PLENTY).to_string();
    let server = Server::start(&[("AISBREAKER_DEFAULT_QUOTAS", &limits)]);
    let minting = Request::mint(&json!({"requestAuthAndQuotas": {"requestQuotas": roomy()}}));

    let minted = server.send(&minting);
    assert_eq!(minted.status, 200);
    assert_eq!(remaining(&minted, 4, 60), 3, "minting is charged");
    assert_eq!(
        remaining(&server.process("", &dummy()), 4, 60),
        2,
        "a call without a key"
    );
    assert_eq!(
        remaining(&server.process("sk-one", &dummy()), 4, 60),
        1,
        "a call with a secret"
    );
    assert_eq!(
        remaining(&server.process("sk-two", &dummy()), 4, 60),
        0,
        "a call with another secret"
    );

    let message = "Request quota exceeded: client requests per minute limit exceeded";
    assert_refused("no key", &server.process("", &dummy()), message);
    assert_refused(
        "a secret never seen",
        &server.process("sk-three", &dummy()),
        message,
    );
    assert_refused("minting", &server.send(&minting), message);
    // A key with quotas of its own is not concerned.
    let key = minted.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(server.process(&key, &dummy()).status, 200);
}

#[test]
fn a_key_without_quotas_has_the_default_ones_to_itself() {
    let limits = quotas([3, 100, 100], PLENTY).to_string();
    let server = Server::start(&[("AISBREAKER_DEFAULT_QUOTAS", &limits)]);
    let key = server.mint(&json!({"requestAuthAndQuotas": {}}));
    assert_eq!(server.process("", &dummy()).status, 200);
    assert_eq!(server.process("", &dummy()).status, 200);
    assert_eq!(server.process("", &dummy()).status, 429);

    let statuses: Vec<u16> = (0..4)
        .map(|_| server.process(&key, &dummy()).status)
        .collect();

    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[test]
fn the_limits_as_delivered_are_those_of_the_contract() {
    let server = Server::start_as_delivered(&[]);

    let answer = server.process("", &dummy());
    let mut told: Vec<(u64, u64)> = list(&answer, "ratelimit-policy")
        .values()
        .map(|policy| (policy["q"], policy["w"]))
        .collect();
    told.sort_unstable();
    let expected = [
        (10, 60),
        (60, 3_600),
        (100, 60),
        (120, 86_400),
        (600, 3_600),
        (1_200, 86_400),
    ];
    assert_eq!(told, expected, "default quotas");

    let statuses: Vec<u16> = (0..10)
        .map(|_| server.process("", &dummy()).status)
        .collect();
    assert_eq!(
        statuses,
        [200, 200, 200, 200, 200, 200, 200, 200, 200, 429],
        "ten per client and minute"
    );
}

#[test]
fn the_servers_limits_as_delivered_are_sixty_per_client_and_minute() {
    let limits = roomy().to_string();
    let server = Server::start_as_delivered(&[("AISBREAKER_DEFAULT_QUOTAS", &limits)]);

    let admitted = (0..61)
        .take_while(|_| server.process("", &dummy()).status == 200)
        .count();

    assert_eq!(admitted, 60);
    assert_refused(
        "the next",
        &server.process("", &dummy()),
        "API request quota exceeded: client requests per minute limit exceeded",
    );
}

#[test]
fn greetings_and_preflight_are_free() {
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
                let answer = server.send(request);
                assert_ne!(answer.status, 429, "{round}: {answer:?}");
                assert_eq!(answer.header("ratelimit"), None, "{round}: {answer:?}");
            }
        }
        let expected = if round == "before" { 200 } else { 429 };
        assert_eq!(server.process("", &dummy()).status, expected, "{round}");
    }
}

#[test]
fn a_bad_key_uses_up_nobodys_quota() {
    let limits = quotas([2, 100, 100], PLENTY).to_string();
    let server = Server::start(&[("AISBREAKER_DEFAULT_QUOTAS", &limits)]);

    for _ in 0..5 {
        assert_eq!(server.process("aisbreaker_nonsense", &dummy()).status, 401);
    }

    assert_eq!(server.process("", &dummy()).status, 200);
}

#[test]
fn many_at_once_are_admitted_exactly_as_often_as_allowed() {
    let server = Server::start(&[]);
    let key = key_with(&server, [10, 100, 100], PLENTY);

    let statuses: Vec<u16> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..5)
                        .map(|_| server.process(&key, &dummy()).status)
                        .collect::<Vec<u16>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });

    let count = |status| statuses.iter().filter(|told| **told == status).count();
    assert_eq!((count(200), count(429)), (10, 30), "{statuses:?}");
}

#[test]
fn global_limits_count_all_clients_and_all_keys() {
    let proxies = ("AISBREAKER_TRUSTED_PROXIES", "127.0.0.1");
    let limits = quotas(PLENTY, [3, 900, 900]).to_string();
    let rows = [
        (
            "AISBREAKER_SERVER_QUOTAS",
            "API request quota exceeded: global requests per minute limit exceeded",
        ),
        (
            "AISBREAKER_DEFAULT_QUOTAS",
            "Request quota exceeded: global requests per minute limit exceeded",
        ),
    ];

    for (variable, message) in rows {
        let server = Server::start(&[proxies, (variable, &limits)]);
        for client in 1..=3 {
            let answer = server.send(&from(&format!("192.0.2.{client}"), &format!("sk-{client}")));
            assert_eq!(answer.status, 200, "{variable}: {answer:?}");
        }
        let refused = server.send(&from("192.0.2.4", "sk-4"));
        assert_refused(variable, &refused, message);
    }
}

#[test]
fn the_servers_client_limits_count_all_keys_of_a_client_but_no_other_client() {
    let limits = quotas([4, 900, 900], PLENTY).to_string();
    let server = Server::start(&[
        ("AISBREAKER_TRUSTED_PROXIES", "127.0.0.1"),
        ("AISBREAKER_SERVER_QUOTAS", &limits),
    ]);
    let keys = [
        server.mint_secrets(&json!([])),
        server.mint_secrets(&json!([])),
    ];
    let client = "192.0.2.1";

    for bearer in [&*keys[0], &*keys[1], "sk-own", ""] {
        assert_eq!(server.send(&from(client, bearer)).status, 200, "{bearer}");
    }

    for bearer in [&*keys[0], &*keys[1], "sk-own", ""] {
        let message = "API request quota exceeded: client requests per minute limit exceeded";
        assert_refused(bearer, &server.send(&from(client, bearer)), message);
        assert_eq!(
            server.send(&from("192.0.2.2", bearer)).status,
            200,
            "{bearer} of another client"
        );
    }
}
