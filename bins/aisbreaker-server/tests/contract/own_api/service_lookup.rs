//! Contract section 4: how a service and its secret are found.

use serde_json::{Value, json};

use super::{filter, mirror};
use crate::support::{
    Provider, Server, assert_error, call, openai::completion, service, service_at, streamed,
};

#[test]
fn services_match_by_whole_segments() {
    let server = Server::start(&[]);
    let found = [
        "chat:dummy",
        "chat:dummy/x",
        "chat:dummy/x/y",
        "chat:echo/1.0",
    ];
    let missing = [
        "chat:",
        "chat",
        "chat:dummyx",
        "chat:dummy.com",
        "chat:Dummy",
        "chat:dumm",
        "chat:openai",
        "chat:openai.community",
        "chat:invalid",
        "aisbreaker:echo",
        "aisbreaker:",
        "text:dummy",
        "dummy",
        "invalid",
    ];

    for id in found {
        assert_eq!(
            server.process("", &call(service(id), "Hi")).status,
            200,
            "{id}"
        );
    }
    for id in missing {
        for body in [call(service(id), "Hi"), streamed(call(service(id), "Hi"))] {
            let message = format!("No factory registered for serviceId '{id}'");
            assert_error(id, &server.process("", &body), 404, &message);
        }
    }
}

#[test]
fn usage_names_the_requested_service_id() {
    let server = Server::start(&[]);
    let response = server
        .process("", &call(service("chat:dummy/x"), "Hi"))
        .json();
    assert_eq!(response["usage"]["service"]["serviceId"], "chat:dummy/x");
}

#[test]
fn documented_key_allows_and_blocks_the_right_services() {
    let trap = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"},
        {"serviceId": "chat:dummy", "authSecret": ""},
        {"serviceId": "", "authSecret": "INVALID"},
    ]));
    let openai = service_at("chat:openai.com/gpt-4o", &trap.url());
    let rows = [
        ("its own entry", service("chat:dummy"), 200, ""),
        ("no secret needed", service("chat:echo"), 200, ""),
        ("a filter", mirror(&service("chat:dummy")), 200, ""),
        (
            "unknown before blocked",
            service("chat:invalid"),
            404,
            "'chat:invalid'",
        ),
        (
            "unknown inner service",
            mirror(&service("chat:invalid")),
            404,
            "'chat:invalid'",
        ),
        ("blocked", service("chat:openai.com"), 403, ""),
        ("blocked with an address", openai.clone(), 403, ""),
        (
            "blocked inner service",
            filter("aisbreaker:nop", &openai),
            403,
            "",
        ),
    ];

    for (row, props, status, message) in rows {
        for body in [call(props.clone(), "Hi"), streamed(call(props, "Hi"))] {
            let response = server.process(&key, &body);
            assert_eq!(response.status, status, "{row}: {response:?}");
            if status != 200 {
                assert_error(row, &response, status, message);
            }
        }
    }
    assert_eq!(trap.connections(), 0, "a blocked service was called");
}

#[test]
fn missing_secret_is_reported_with_the_service() {
    let trap = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let rows = [
        ("no credentials", String::new()),
        (
            "a key without secrets",
            server.mint_with_secrets(&json!([])),
        ),
        (
            "a key for another service",
            server.mint_with_secrets(
                &json!([{"serviceId": "chat:other.example", "authSecret": "x"}]),
            ),
        ),
        (
            "a key with an empty secret",
            server.mint_with_secrets(&json!([{"serviceId": "chat:openai.com", "authSecret": ""}])),
        ),
        (
            "an empty secret before another one",
            server.mint_with_secrets(&json!([
                {"serviceId": "chat:", "authSecret": ""},
                {"serviceId": "chat:openai.com", "authSecret": "sk", "url": trap.url()},
            ])),
        ),
    ];

    for (row, bearer) in rows {
        for props in [
            service("chat:openai.com"),
            service_at("chat:openai.com", &trap.url()),
        ] {
            for body in [call(props.clone(), "Hi"), streamed(call(props, "Hi"))] {
                let response = server.process(&bearer, &body);
                assert_error(row, &response, 401, "chat:openai.com: missing auth.secret");
            }
        }
    }
    assert_eq!(trap.connections(), 0);
}

/// A name, the entries of a key, the service that is called, and the secret that the provider
/// receives or the status.
type Lookup = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    Result<&'static str, u16>,
);

const GPT: &str = "chat:openai.com/gpt-4";

const LOOKUPS: [Lookup; 16] = [
    (
        "the service",
        &[("chat:openai.com", "a")],
        "chat:openai.com",
        Ok("a"),
    ),
    (
        "the service for its engine",
        &[("chat:openai.com", "a")],
        GPT,
        Ok("a"),
    ),
    ("the engine", &[(GPT, "a")], GPT, Ok("a")),
    (
        "a part of the engine",
        &[("chat:openai.com/org", "a")],
        "chat:openai.com/org/m",
        Ok("a"),
    ),
    ("the task", &[("chat:", "a")], GPT, Ok("a")),
    ("everything", &[("", "a")], GPT, Ok("a")),
    (
        "the first of two",
        &[("chat:openai.com", "a"), (GPT, "b")],
        GPT,
        Ok("a"),
    ),
    (
        "the second of two",
        &[("chat:other.example", "a"), ("chat:", "b")],
        GPT,
        Ok("b"),
    ),
    (
        "an engine for the service",
        &[(GPT, "a")],
        "chat:openai.com",
        Err(401),
    ),
    (
        "another engine",
        &[(GPT, "a")],
        "chat:openai.com/gpt-4o",
        Err(401),
    ),
    ("half a vendor", &[("chat:openai", "a")], GPT, Err(401)),
    (
        "half an engine",
        &[("chat:openai.com/gpt", "a")],
        GPT,
        Err(401),
    ),
    ("another task", &[("text:", "a")], GPT, Err(401)),
    (
        "an empty secret",
        &[("chat:openai.com", ""), ("", "a")],
        GPT,
        Err(401),
    ),
    (
        "blocked",
        &[("chat:openai.com", "INVALID"), ("", "a")],
        GPT,
        Err(403),
    ),
    (
        "blocked later",
        &[("chat:openai.com", "a"), ("", "INVALID")],
        GPT,
        Ok("a"),
    ),
];

#[test]
fn first_entry_matching_whole_segments_supplies_the_secret() {
    let provider = Provider::with_response(200, completion("ok"));
    let server = Server::with_loopback_egress(&[]);

    for (row, entries, id, expected) in LOOKUPS {
        let entries: Vec<Value> = entries
            .iter()
            .map(|(id, secret)| json!({"serviceId": id, "authSecret": secret, "url": provider.url()}))
            .collect();
        let key = server.mint_with_secrets(&Value::from(entries));
        let before = provider.requests().len();
        let response = server.process(&key, &call(service(id), "Hi"));
        let sent = provider.requests();
        match expected {
            Ok(secret) => {
                assert_eq!(response.content(), "ok", "{row}");
                let header = format!("Bearer {secret}");
                assert_eq!(
                    sent.last().unwrap().header("authorization"),
                    Some(&*header),
                    "{row}"
                );
            }
            Err(status) => {
                assert_error(row, &response, status, "");
                assert_eq!(sent.len(), before, "{row}: the provider was called");
            }
        }
    }
}
