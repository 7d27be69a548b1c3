//! Values that cannot be understood, and the name of a key in the log.

use std::time::Duration;

use aisbreaker_gateway::{Clock as _, SystemClock};
use aisbreaker_token::{Host, KeyRing, ServerKey, ValidityPeriod};
use serde_json::{Value, json};

use super::plain_key;
use crate::support::{KEY, Request, Server, assert_error, dummy_call};

const INVALID: [(&str, &str); 9] = [
    ("services", "chat:\n"),
    ("operations", "threads"),
    ("operations", "/v1/embeddings"),
    ("operations", "Process"),
    ("clients", "203.0.113.0/33"),
    ("clients", "everyone"),
    ("origins", "https://app.example.com/"),
    ("origins", "null"),
    ("origins", "*"),
];

#[test]
fn minting_refuses_values_that_it_does_not_understand() {
    let server = Server::start(&[]);
    for (member, value) in INVALID {
        let restrict = json!([{}, {member: [value]}]);
        let body = json!({"requestAuthAndQuotas": {}, "restrict": restrict});
        let response = server.send(&Request::mint(&body));
        assert_error(value, &response, 400, &format!("{member}[0]"));
    }
}

/// Seals a grant without the checks of minting.
fn sealed(grant: &Value) -> String {
    let ring = KeyRing::new(ServerKey::parse(KEY).unwrap());
    let period = ValidityPeriod::new(SystemClock::new().wall(), Duration::from_secs(600));
    let host = Host::parse("localhost").unwrap();
    ring.seal_for(grant, &host, period)
        .unwrap()
        .expose()
        .to_owned()
}

#[test]
fn a_key_with_a_value_that_is_not_understood_does_not_open() {
    let server = Server::start(&[]);
    let key = sealed(&json!({"restrict": [{"operations": ["process"]}]}));
    assert_eq!(server.process(&key, &dummy_call()).status, 200);

    for (member, value) in INVALID {
        let key = sealed(&json!({"restrict": [{"operations": ["process"]}, {member: [value]}]}));
        for (id, request) in [
            ("process", Request::process(&dummy_call())),
            ("quota", Request::get("/api/v1/quota")),
        ] {
            let id = format!("{member}-{id}-{}", value.len());
            let response = server.send(&request.bearer(&key).header("x-request-id", &id));
            assert_error(value, &response, 401, "Invalid aisbreaker access token");
            let cause = server.wait_for_request(&id)["cause"].clone();
            let cause = cause.as_str().expect("a cause");
            assert!(cause.contains(member) && !cause.contains(value), "{cause}");
        }
    }
}

#[test]
fn the_name_of_a_key_is_in_the_log() {
    let server = Server::start(&[]);
    let body = json!({"requestAuthAndQuotas": {}, "name": "build \"server\""});
    let minted = server
        .send(&Request::mint(&body).header("x-request-id", "minted"))
        .json();
    let named = minted["access_token"].as_str().unwrap().to_owned();
    let unnamed = plain_key(&server, &json!([]));
    for (id, key) in [("named", &named), ("unnamed", &unnamed)] {
        let call = Request::process(&dummy_call())
            .bearer(key)
            .header("x-request-id", id);
        assert_eq!(server.send(&call).status, 200);
    }
    for id in ["minted", "named"] {
        assert_eq!(server.wait_for_request(id)["key_name"], "build \"server\"");
    }
    assert!(server.wait_for_request("unnamed").get("key_name").is_none());
}
