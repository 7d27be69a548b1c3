//! Attempts by hops to this and other servers.

use serde_json::{Value, json};

use super::{
    CHAT, HOP,
    calls::CALL_TO_TRAP,
    harness::{
        ExfiltrationHarness, KeyEntries,
        Outcome::{self, NoCall, ToProvider, ToTrapWithKey},
        body, nestings,
    },
};
use crate::support::{Request, Server, ample_quotas, call, grant, hop, service};

/// The server key of another server.
const FAR_KEYPHRASE: &str = "a phrase of another server";

/// Hops to the same server: the name of an attempt, the entries of the key, the service properties,
/// and the outcome.
const HOPS_TO_SELF: &[(&str, KeyEntries, &str, Outcome)] = &[
    (
        "to the bound provider",
        KEY_FOR_HOPS,
        r#"{"serviceId": "aisbreaker:network", "url": "http://SELF",
            "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        ToProvider(CHAT),
    ),
    (
        "to a provider elsewhere",
        KEY_FOR_HOPS,
        r#"{"serviceId": "aisbreaker:network", "url": "http://SELF",
            "forward2ServiceProps": {"serviceId": "chat:openai.com", "url": "http://EVIL"}}"#,
        NoCall(403),
    ),
    (
        "to a provider elsewhere, three hops away",
        KEY_FOR_HOPS,
        r#"{"serviceId": "aisbreaker:network", "url": "http://SELF", "forward2ServiceProps": {
            "serviceId": "aisbreaker:proxy", "url": "http://SELF", "forward2ServiceProps": {
            "serviceId": "aisbreaker:network", "url": "http://SELF", "forward2ServiceProps": {
            "serviceId": "aisbreaker:nop", "forward2ServiceProps": {
            "serviceId": "chat:openai.com", "url": "http://EVIL"}}}}}"#,
        NoCall(403),
    ),
    (
        "to another server with the key itself",
        KEY_FOR_HOPS,
        r#"{"serviceId": "aisbreaker:network", "url": "http://SELF", "forward2ServiceProps": {
            "serviceId": "aisbreaker:network", "url": "http://EVIL", "forward2ServiceProps": {
            "serviceId": "chat:openai.com"}}}"#,
        ToTrapWithKey,
    ),
    (
        "the secret of a hop, which the next server must not treat as the caller's own",
        &[("aisbreaker:", HOP, &["http://SELF"])],
        r#"{"serviceId": "aisbreaker:network",
            "forward2ServiceProps": {"serviceId": "chat:openai.com", "url": "http://EVIL"}}"#,
        NoCall(403),
    ),
    (
        "the secret of a hop, by another hop",
        &[("aisbreaker:network", HOP, &["http://SELF"])],
        r#"{"serviceId": "aisbreaker:network", "url": "http://SELF", "forward2ServiceProps": {
            "serviceId": "aisbreaker:proxy", "url": "http://EVIL", "forward2ServiceProps": {
            "serviceId": "chat:openai.com"}}}"#,
        NoCall(403),
    ),
    (
        "the secret of a hop, three hops away",
        &[("aisbreaker:", HOP, &["http://SELF"])],
        r#"{"serviceId": "aisbreaker:network", "forward2ServiceProps": {
            "serviceId": "aisbreaker:nop", "forward2ServiceProps": {
            "serviceId": "aisbreaker:network", "url": "http://SELF", "forward2ServiceProps": {
            "serviceId": "chat:openai.com", "url": "http://EVIL"}}}}"#,
        NoCall(403),
    ),
];

const KEY_FOR_HOPS: KeyEntries = &[
    ("aisbreaker:", "{{secret}}", &[]),
    ("chat:openai.com", CHAT, &["http://GOOD"]),
];

/// A call of the server by the address to which these keys are bound.
fn call_by_address(harness: &ExfiltrationHarness, key: &str, body: String) -> Request {
    Request::post_process(body)
        .bearer(key)
        .set("Host", harness.server.address().to_string())
}

#[test]
fn hop_to_the_same_server_grants_nothing_beyond_the_key() {
    let harness = ExfiltrationHarness::new();

    for (name, entries, properties, outcome) in HOPS_TO_SELF {
        // The server is called by its address, so the key must be bound to that.
        let key = harness.key_at("127.0.0.1", entries);
        for (nesting, properties) in nestings(properties) {
            for is_stream in [false, true] {
                let call = harness.fill(&body(&properties, is_stream));
                let request = call_by_address(&harness, &key, call);
                let row = format!("{name}, {nesting}, stream: {is_stream}");
                harness.attempt(&row, &request, &key, *outcome);
            }
        }
    }
}

#[test]
fn key_sealed_for_a_hop_goes_no_further() {
    let harness = ExfiltrationHarness::new();
    // A caller who knows the inner key may send it anywhere. The holder of the outer key does not
    // know it.
    let far = Server::with_loopback_egress(&[("AUTH_ENCRYPTION_KEYPHRASE", FAR_KEYPHRASE)]);
    let inner = harness.key_of(&far, "127.0.0.1", KEY_FOR_HOPS);
    let entry = json!([{"serviceId": "aisbreaker:network", "authSecret": inner, "url": far.url()}]);
    let outer = harness
        .server
        .mint_at("127.0.0.1", &grant(&ample_quotas(), &entry));
    let hop_to_trap = hop(&harness.trap.url(), &service("chat:dummy"));

    for (row, server, caller, properties) in [
        (
            "by a caller who knows it",
            &far,
            &inner,
            hop_to_trap.clone(),
        ),
        (
            "by a caller who does not",
            &harness.server,
            &outer,
            hop(&far.url(), &hop_to_trap),
        ),
    ] {
        let call = body(&properties.to_string(), false);
        server.send(&call_by_address(&harness, caller, call));
        let received = harness.trap.requests().pop().expect("a call to the trap");
        let expected = (*caller == inner).then(|| format!("Bearer {inner}"));
        assert_eq!(
            received.header("authorization"),
            expected.as_deref(),
            "{row}"
        );
        assert!(
            expected.is_some() || !format!("{received:?}").contains(&inner),
            "{row}"
        );
    }
    // Over the bound hop, the inner key is used as its holder could use it there.
    let hop_to_provider = hop(&far.url(), &service("chat:openai.com"));
    let call = body(&hop_to_provider.to_string(), true);
    let request = call_by_address(&harness, &outer, call);
    harness.attempt(
        "the use of the inner key",
        &request,
        &outer,
        ToProvider(CHAT),
    );
}

#[test]
fn options_cannot_smuggle_a_call_into_another_server() {
    let harness = ExfiltrationHarness::new();
    let key = harness.key_at("127.0.0.1", &[("", CHAT, &["http://SELF"])]);
    let inner: Value = serde_json::from_str(&harness.fill(&body(CALL_TO_TRAP, false))).unwrap();
    // The body that the provider receives is a call for another server.
    let url = format!("{}/api/v1/process#no-default-path", harness.server.url());
    let mut call = call(json!({"serviceId": "chat:openai.com", "url": url}), "Hi");
    call["request"]["internOptions"] = inner;

    let request = call_by_address(&harness, &key, call.to_string());
    harness.attempt("a call in the options", &request, &key, NoCall(403));

    harness.assert_untouched();
}
