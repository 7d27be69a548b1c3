//! Attempts by the members of a call, by the caller's own credentials, and by the environment.

use super::{
    CHAT, HOP, USUAL_KEY,
    harness::{
        Caller::{self, Key, NoCredentials, Sends},
        ExfiltrationHarness, KeyEntries,
        Outcome::{self, NoCall, ToProvider, ToTrapBare, ToTrapWith, ToTrapWithKey},
        authorized, body, bound_provider, nestings, service_at, status_of,
    },
};
use crate::support::{Provider, Request};

const PROCESS: &str = "/api/v1/process";
const PROCESS_ALPHA: &str = "/api/v1alpha1/process";

/// The name of an attempt, the entries of the key, the credentials, the service properties, and the
/// outcome.
const CALLS: &[(&str, KeyEntries, Caller, &str, Outcome)] = &[
    (
        "an address for the filter",
        USUAL_KEY,
        Key,
        r#"{"serviceId": "aisbreaker:nop", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        ToProvider(CHAT),
    ),
    (
        "the bound address for the filter, another one inside",
        USUAL_KEY,
        Key,
        r#"{"serviceId": "aisbreaker:nop", "url": "http://GOOD",
            "forward2ServiceProps": {"serviceId": "chat:openai.com", "url": "http://EVIL"}}"#,
        NoCall(403),
    ),
    (
        "a hop elsewhere with the secret of the inner service",
        USUAL_KEY,
        Key,
        r#"{"serviceId": "aisbreaker:network", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:openai.com", "url": "http://GOOD"}}"#,
        NoCall(403),
    ),
    (
        "a bound hop with another inner address",
        USUAL_KEY,
        Key,
        r#"{"serviceId": "aisbreaker:network",
            "forward2ServiceProps": {"serviceId": "chat:openai.com", "url": "http://EVIL"}}"#,
        ToProvider(HOP),
    ),
    (
        "a bound hop with an inner hop elsewhere",
        USUAL_KEY,
        Key,
        r#"{"serviceId": "aisbreaker:proxy", "url": "http://GOOD", "forward2ServiceProps": {
            "serviceId": "aisbreaker:network", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:openai.com"}}}"#,
        ToProvider(HOP),
    ),
    (
        "a hop elsewhere with a key without secrets for hops",
        &[("chat:openai.com", CHAT, &["http://GOOD"])],
        Key,
        r#"{"serviceId": "aisbreaker:network", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        ToTrapBare,
    ),
    (
        "a hop by the other name of the one in the key",
        &[("aisbreaker:network", HOP, &["http://GOOD"])],
        Key,
        r#"{"serviceId": "aisbreaker:proxy", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        ToTrapBare,
    ),
    (
        "a hop elsewhere that the key blocks",
        &[
            ("aisbreaker:network", "INVALID", &[]),
            ("", CHAT, &["http://GOOD"]),
        ],
        Key,
        r#"{"serviceId": "aisbreaker:network", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        ToTrapBare,
    ),
    (
        "the caller's key to another server, with other secrets in it",
        &[
            ("aisbreaker:network", "{{secret}}", &[]),
            ("", CHAT, &["http://GOOD"]),
        ],
        Key,
        r#"{"serviceId": "aisbreaker:network", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        ToTrapWithKey,
    ),
    (
        "an empty secret before one that matches as well",
        &[
            ("chat:openai.com/gpt-4", "", &[]),
            ("chat:openai.com", CHAT, &["http://GOOD"]),
        ],
        Key,
        r#"{"serviceId": "chat:openai.com/gpt-4", "url": "http://EVIL"}"#,
        NoCall(401),
    ),
    (
        "a blocked service before one that matches as well",
        &[
            ("chat:openai.com", "INVALID", &[]),
            ("", CHAT, &["http://GOOD"]),
        ],
        Key,
        r#"{"serviceId": "chat:openai.com/gpt-4", "url": "http://EVIL"}"#,
        NoCall(403),
    ),
    (
        "an address of another entry",
        &[
            ("chat:openai.com", CHAT, &["https://elsewhere.example"]),
            ("aisbreaker:", HOP, &["http://EVIL"]),
        ],
        Key,
        r#"{"serviceId": "chat:openai.com", "url": "http://EVIL"}"#,
        NoCall(403),
    ),
    (
        "an address of a later entry for the same service",
        &[
            ("chat:openai.com", CHAT, &["http://GOOD"]),
            ("chat:", "sk-own", &["http://EVIL"]),
        ],
        Key,
        r#"{"serviceId": "chat:openai.com", "url": "http://EVIL"}"#,
        NoCall(403),
    ),
    (
        "other names for an address, a proxy, a secret and headers",
        USUAL_KEY,
        Key,
        r#"{"serviceId": "chat:openai.com", "URL": "http://EVIL", "Url": "http://EVIL", " url": "http://EVIL",
            "baseUrl": "http://EVIL", "base_url": "http://EVIL", "endpoint": "http://EVIL", "host": "EVIL",
            "proxy": "http://EVIL", "headers": {"Host": "EVIL"}, "authSecret": "{{secret}}",
            "auth": {"secret": "x", "url": "http://EVIL"}, "forwardTo": "http://EVIL", "operatorOrigins": "*"}"#,
        ToProvider(CHAT),
    ),
    (
        "the address twice, the right one first",
        USUAL_KEY,
        Key,
        r#"{"serviceId": "chat:openai.com", "url": "http://GOOD", "url": "http://EVIL"}"#,
        NoCall(403),
    ),
    (
        "the address twice, once in other letters",
        USUAL_KEY,
        Key,
        r#"{"serviceId": "chat:openai.com", "url": "http://GOOD", "\u0075rl": "http:\/\/EVIL"}"#,
        NoCall(403),
    ),
    (
        "the service twice",
        USUAL_KEY,
        Key,
        r#"{"serviceId": "chat:openai.com", "serviceId": "aisbreaker:network", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:dummy"}}"#,
        NoCall(403),
    ),
    (
        "a list",
        USUAL_KEY,
        Key,
        r#"{"serviceId": "chat:openai.com", "url": ["http://GOOD", "http://EVIL"]}"#,
        NoCall(400),
    ),
    (
        "an object",
        USUAL_KEY,
        Key,
        r#"{"serviceId": "chat:openai.com", "url": {"href": "http://EVIL"}}"#,
        NoCall(400),
    ),
    (
        "a number",
        USUAL_KEY,
        Key,
        r#"{"serviceId": "chat:openai.com", "url": 2130706433}"#,
        NoCall(400),
    ),
    // Callers with another secret or none, where the server has a default key.
    (
        "the default key",
        DEFAULT_KEY,
        NoCredentials,
        r#"{"serviceId": "chat:openai.com"}"#,
        ToProvider(CHAT),
    ),
    (
        "the default key, elsewhere",
        DEFAULT_KEY,
        NoCredentials,
        r#"{"serviceId": "chat:openai.com", "url": "http://EVIL"}"#,
        NoCall(403),
    ),
    (
        "the default key, with the placeholder for the caller's secret",
        DEFAULT_KEY,
        NoCredentials,
        r#"{"serviceId": "chat:openai.com/own", "url": "http://EVIL"}"#,
        NoCall(401),
    ),
    (
        "the default key, a hop with the placeholder",
        DEFAULT_KEY,
        NoCredentials,
        r#"{"serviceId": "aisbreaker:network", "url": "http://EVIL", "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        ToTrapBare,
    ),
    (
        "the default key, a hop with the server's secret",
        DEFAULT_KEY,
        NoCredentials,
        r#"{"serviceId": "aisbreaker:proxy", "url": "http://EVIL", "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        NoCall(403),
    ),
    (
        "another secret",
        DEFAULT_KEY,
        Sends("Bearer sk-own"),
        CALL_TO_TRAP,
        ToTrapWith("sk-own"),
    ),
    (
        "the placeholder for the caller's secret",
        DEFAULT_KEY,
        Sends("Bearer {{secret}}"),
        CALL_TO_TRAP,
        ToTrapWith("{{secret}}"),
    ),
    (
        "the literal for a blocked service",
        DEFAULT_KEY,
        Sends("Bearer INVALID"),
        CALL_TO_TRAP,
        ToTrapWith("INVALID"),
    ),
    (
        "two bearer values in one",
        DEFAULT_KEY,
        Sends("Bearer sk-own, Bearer x"),
        CALL_TO_TRAP,
        NoCall(401),
    ),
    (
        "no value",
        DEFAULT_KEY,
        Sends("Bearer"),
        CALL_TO_TRAP,
        NoCall(401),
    ),
    (
        "an empty value",
        DEFAULT_KEY,
        Sends("Bearer  "),
        CALL_TO_TRAP,
        NoCall(401),
    ),
    (
        "an empty field",
        DEFAULT_KEY,
        Sends(""),
        CALL_TO_TRAP,
        NoCall(401),
    ),
    (
        "another scheme",
        DEFAULT_KEY,
        Sends("Basic YTpi"),
        CALL_TO_TRAP,
        NoCall(401),
    ),
    (
        "no scheme",
        DEFAULT_KEY,
        Sends("sk-own"),
        CALL_TO_TRAP,
        NoCall(401),
    ),
    (
        "an invalid key",
        DEFAULT_KEY,
        Sends("Bearer aisbreaker_x"),
        CALL_TO_TRAP,
        NoCall(401),
    ),
    (
        "a key in quotes",
        DEFAULT_KEY,
        Sends("Bearer \"aisbreaker_x\""),
        CALL_TO_TRAP,
        NoCall(401),
    ),
];

/// The entries of the server's default key.
const DEFAULT_KEY: KeyEntries = &[
    ("chat:openai.com/own", "{{secret}}", &[]),
    ("chat:openai.com", CHAT, &["http://GOOD"]),
    ("aisbreaker:network", "{{secret}}", &[]),
    ("aisbreaker:proxy", HOP, &["http://GOOD"]),
];

pub(super) const CALL_TO_TRAP: &str = r#"{"serviceId": "chat:openai.com", "url": "http://EVIL"}"#;

#[test]
fn call_uses_its_own_secret_at_a_bound_address() {
    let with_key = ExfiltrationHarness::new();
    let with_default_key = ExfiltrationHarness::with_default_key(DEFAULT_KEY);

    for (name, entries, caller, properties, outcome) in CALLS {
        let harness = if let Key = caller {
            &with_key
        } else {
            &with_default_key
        };
        let key = harness.key(entries);
        for (nesting, properties) in nestings(properties) {
            for (path, is_stream) in [(PROCESS, false), (PROCESS, true), (PROCESS_ALPHA, true)] {
                let row = format!("{name}, {nesting}, stream: {is_stream}");
                let request = Request::post(path, harness.fill(&body(&properties, is_stream)));
                harness.attempt(&row, &authorized(request, *caller, &key), &key, *outcome);
            }
        }
    }
}

#[test]
fn proxy_environment_variables_are_ignored() {
    let trap = Provider::trap();
    let proxy = trap.url();
    let environment: Vec<(&str, &str)> = PROXY_VARIABLES
        .iter()
        .map(|name| (*name, proxy.as_str()))
        .chain([("NO_PROXY", "")])
        .collect();
    let harness = ExfiltrationHarness::with(&environment, bound_provider(), trap);
    let key = harness.key(USUAL_KEY);

    for (id, secret) in [("chat:openai.com", CHAT), ("aisbreaker:network", HOP)] {
        for is_stream in [false, true] {
            let request =
                Request::post(PROCESS, body(&service_at(id, None), is_stream)).bearer(&key);
            harness.attempt(id, &request, &key, ToProvider(secret));
        }
        // This call would make a proxy open a tunnel.
        let secure = service_at(id, Some("https://GOOD"));
        let response = harness.server.process(
            "sk-own",
            &serde_json::from_str(&harness.fill(&body(&secure, false))).unwrap(),
        );
        assert_eq!(status_of(&response), 503, "{id}: {response:?}");
    }

    harness.assert_untouched();
}

/// Variables that make other programs use a proxy.
const PROXY_VARIABLES: [&str; 9] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "FTP_PROXY",
    "CGI_HTTP_PROXY",
    "GLOBAL_AGENT_HTTP_PROXY",
];
