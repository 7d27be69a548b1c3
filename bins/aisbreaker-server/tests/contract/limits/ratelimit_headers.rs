//! Contract section 7: `RateLimit`, `RateLimit-Policy` and their older relatives.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::{
    Request, Response, Server, assert_error, call, dummy_call, grant, quotas, service, service_at,
    streamed,
};

/// Limits per minute, hour and day that no test of quotas exhausts.
pub(crate) const PLENTY: [u32; 3] = [1_000; 3];
/// The windows of the limits, and their lengths in seconds.
pub(crate) const WINDOWS: [(&str, u64); 3] = [("minute", 60), ("hour", 3_600), ("day", 86_400)];

/// Mints a key with these quotas and no secrets.
pub(crate) fn key_with(server: &Server, per_client: [u32; 3], global: [u32; 3]) -> String {
    server.mint(&grant(&quotas(per_client, global), &json!([])))
}

/// Returns [`PLENTY`] with this limit for one of the [`WINDOWS`].
pub(crate) fn plenty_except(limit: u32, window: usize) -> [u32; 3] {
    let mut limits = PLENTY;
    limits[window] = limit;
    limits
}

/// A call that a proxy forwards for this client.
pub(crate) fn call_from(client: &str, bearer: &str) -> Request {
    Request::process(&dummy_call())
        .header("X-Forwarded-For", client)
        .bearer(bearer)
}

/// The parameters of one list member (RFC 9651), as in `"name";a=1;b=2`.
type Parameters = BTreeMap<String, u64>;

/// Parses a field that lists quoted names with numeric parameters.
pub(crate) fn parse_list(response: &Response, field: &str) -> BTreeMap<String, Parameters> {
    let Some(value) = response.header(field) else {
        panic!("no {field}: {response:?}")
    };
    value.split(',').map(parse_member).collect()
}

fn parse_member(member: &str) -> (String, Parameters) {
    let mut parts = member.trim().split(';');
    let quoted = parts.next().unwrap();
    let name = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or_else(|| panic!("{member:?} has no quoted name"));
    let mut parameters = Parameters::new();
    for part in parts {
        let Some((key, value)) = part.split_once('=') else {
            panic!("{part:?} is no parameter")
        };
        let number = value
            .parse()
            .unwrap_or_else(|_| panic!("{part:?} is no number"));
        parameters.insert(key.to_owned(), number);
    }
    (name.to_owned(), parameters)
}

/// Returns what remains of the only limit with this quota and window.
pub(crate) fn remaining(response: &Response, quota: u64, window: u64) -> u64 {
    let policies = parse_list(response, "ratelimit-policy");
    let names: Vec<&String> = policies
        .iter()
        .filter(|(_, policy)| policy["q"] == quota && policy["w"] == window)
        .map(|(name, _)| name)
        .collect();
    let [name] = names[..] else {
        panic!("not one policy {quota} per {window} s: {response:?}")
    };
    parse_list(response, "ratelimit")[name]["r"]
}

/// Checks a refusal as sections 5 and 7 define it. Returns the wait in seconds.
#[track_caller]
pub(crate) fn assert_refused(row: &str, response: &Response, message: &str) -> u64 {
    assert_error(row, response, 429, "");
    assert!(
        response.message().starts_with(message),
        "{row}: {}",
        response.message()
    );
    assert_eq!(
        response.json()["error"]["statusText"],
        "Too Many Requests",
        "{row}"
    );
    let retry_after = response
        .header("retry-after")
        .unwrap_or_else(|| panic!("{row}: no Retry-After: {response:?}"));
    assert!(
        retry_after.bytes().all(|byte| byte.is_ascii_digit()),
        "{row}: Retry-After is {retry_after:?}"
    );
    let wait: u64 = retry_after.parse().unwrap();
    assert!(wait >= 1, "{row}: Retry-After is 0");
    let should_retry = response.header("x-should-retry");
    assert_eq!(
        should_retry,
        (wait > 30).then_some("false"),
        "{row}: wait {wait}"
    );
    parse_list(response, "ratelimit-policy");
    parse_list(response, "ratelimit");
    wait
}

#[test]
fn report_all_six_limits_of_a_key() {
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
        let response = server.process(&key, &dummy_call());
        let (policies, limits) = (
            parse_list(&response, "ratelimit-policy"),
            parse_list(&response, "ratelimit"),
        );
        let mut reported: Vec<(u64, u64)> = policies
            .values()
            .map(|policy| (policy["q"], policy["w"]))
            .collect();
        reported.sort_unstable();
        assert_eq!(reported, expected, "{response:?}");
        assert_eq!(
            policies.keys().collect::<Vec<_>>(),
            limits.keys().collect::<Vec<_>>(),
            "{response:?}"
        );
        for (quota, window) in expected {
            assert_eq!(
                remaining(&response, quota, window),
                quota - used,
                "{quota} per {window} s"
            );
        }
        for limit in limits.values() {
            assert!(limit["t"] <= 86_400 + 864 + 1, "{response:?}");
        }
        assert_eq!(
            response.header("x-ratelimit-limit-requests"),
            Some("10"),
            "{response:?}"
        );
        assert_eq!(
            response.header("x-ratelimit-remaining-requests"),
            Some(&*(10 - used).to_string())
        );
        let reset = response.header("x-ratelimit-reset-requests").unwrap();
        assert!(
            reset.starts_with(|first: char| first.is_ascii_digit()),
            "{reset}"
        );
        assert_eq!(response.header("retry-after"), None);
    }
}

#[test]
fn refusal_reports_the_wait_of_the_exceeded_limit() {
    let server = Server::start(&[]);
    let key = key_with(&server, [2, 100, 100], PLENTY);
    server.process(&key, &dummy_call());
    server.process(&key, &dummy_call());

    let refused = server.process(&key, &dummy_call());

    let wait = assert_refused(
        "spent",
        &refused,
        "Request quota exceeded: client requests per minute",
    );
    let policies = parse_list(&refused, "ratelimit-policy");
    let (name, _) = policies
        .iter()
        .find(|(_, policy)| policy["q"] == 2)
        .unwrap();
    assert_eq!(
        parse_list(&refused, "ratelimit")[name]["t"],
        wait,
        "{refused:?}"
    );
    assert_eq!(refused.header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
}

#[test]
fn are_on_every_charged_response() {
    let server = Server::with_loopback_egress(&[]);
    let key = server
        .mint_with_secrets(&json!([{"serviceId": "chat:openai.com", "authSecret": "INVALID"}]));
    let rows = [
        ("success", Request::process(&dummy_call()).bearer(&key), 200),
        (
            "stream",
            Request::process(&streamed(dummy_call())).bearer(&key),
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
        ("no key", Request::process(&dummy_call()), 200),
        (
            "own secret",
            Request::process(&dummy_call()).bearer("sk-own"),
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
        let response = server.send(&request);
        assert_eq!(response.status, status, "{row}: {response:?}");
        assert_eq!(
            parse_list(&response, "ratelimit-policy").len(),
            6,
            "{row}: {response:?}"
        );
        assert_eq!(
            parse_list(&response, "ratelimit").len(),
            6,
            "{row}: {response:?}"
        );
        for name in ["limit", "remaining", "reset"] {
            assert!(
                response
                    .header(&format!("x-ratelimit-{name}-requests"))
                    .is_some(),
                "{row}: {response:?}"
            );
        }
    }
}
