//! Contract section 4: what `Authorization` may hold besides a key, and the server's default key.

use serde_json::json;

use super::SECOND_KEY;
use crate::support::{
    Provider, Request, Server, assert_error, call, dummy_call, grant, hop, offline_key, quotas,
    service, service_at, streamed,
};

#[test]
fn only_the_bearer_scheme_is_accepted_in_any_case() {
    let server = Server::start(&[]);
    let key = server.mint(&json!({"requestAuthAndQuotas": {}}));
    let rows = [
        (format!("Bearer {key}"), 200),
        (format!("bearer {key}"), 200),
        (format!("BEARER {key}"), 200),
        (format!("bEaReR {key}"), 200),
        ("Bearer sk-own".to_owned(), 200),
        ("Basic bWU6cHc=".to_owned(), 401),
        (format!("Basic {key}"), 401),
        (format!("Token {key}"), 401),
        (format!("Digest username=\"{key}\""), 401),
        (key.clone(), 401),
        ("sk-own".to_owned(), 401),
        (format!("Bearer{key}"), 401),
        (format!("Bearer:{key}"), 401),
        ("Bearer".to_owned(), 401),
        ("Bearer ".to_owned(), 401),
        ("Bearer    ".to_owned(), 401),
        (String::new(), 401),
    ];

    for (authorization, status) in rows {
        for streams in [false, true] {
            let body = if streams {
                streamed(dummy_call())
            } else {
                dummy_call()
            };
            let response =
                server.send(&Request::process(&body).set("Authorization", &authorization));
            assert_eq!(response.status, status, "{authorization:?}: {response:?}");
            if status == 401 {
                assert_error(&authorization, &response, 401, "");
                assert!(
                    response.header("www-authenticate").is_some(),
                    "{authorization:?}: {response:?}"
                );
            }
        }
    }
}

/// What may be copied along with a key, and what fits between two words.
const INVISIBLE: [&str; 16] = [
    "\u{a0}", "\u{85}", "\u{1680}", "\u{2003}", "\u{2009}", "\u{2028}", "\u{2029}", "\u{202f}",
    "\u{205f}", "\u{3000}", "\u{feff}", "\u{200b}", "\u{200e}", "\u{2060}", "\u{ad}", "\u{9b}",
];

#[test]
fn only_blanks_around_a_credential_are_ignored() {
    let trap = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint(&json!({"requestAuthAndQuotas": {}}));
    let own = call(service_at("chat:openai.com", &trap.url()), "Hi");
    let send = |authorization: String, body: &serde_json::Value| {
        let request = Request::process(body).set("Authorization", &authorization);
        (authorization, server.send(&request))
    };

    for around in [" ", "  ", "\t", " \t "] {
        let (row, response) = send(format!("Bearer {around}{key}{around}"), &dummy_call());
        assert_eq!(response.status, 200, "{row:?}: {response:?}");
    }
    for between in INVISIBLE.iter().chain(&[" ", "\t"]) {
        let values = [
            format!("Bearer {key}{between}x"),
            format!("Bearer x{between}{key}"),
            format!("Bearer {key}{between}{key}"),
        ];
        for value in values {
            let (row, response) = send(value, &dummy_call());
            assert_error(&row, &response, 401, "Invalid aisbreaker access token");
        }
        let (row, response) = send(format!("Bearer sk-one{between}sk-two"), &own);
        assert_error(&row, &response, 401, "");
    }
    for invisible in INVISIBLE {
        for value in [format!("{key}{invisible}"), format!("{invisible}{key}")] {
            let (row, response) = send(format!("Bearer {value}"), &dummy_call());
            assert_error(&row, &response, 401, "Invalid aisbreaker access token");
        }
        for value in [format!("sk-own{invisible}"), format!("{invisible}sk-own")] {
            let (row, response) = send(format!("Bearer {value}"), &own);
            assert_error(&row, &response, 401, "");
        }
    }
    assert_eq!(trap.connections(), 0);
}

#[test]
fn credentials_of_other_schemes_are_never_forwarded() {
    let trap = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let body = call(service_at("chat:openai.com", &trap.url()), "Hi");

    for authorization in ["Basic bWU6cHc=", "Digest x", "Bearer"] {
        let response = server.send(&Request::process(&body).set("Authorization", authorization));
        assert_error(authorization, &response, 401, "");
    }
    assert_eq!(trap.connections(), 0);
}

#[test]
fn default_key_serves_callers_without_credentials() {
    let provider = Provider::with_response(
        200,
        json!({"choices": [{"message": {"content": "ok"}}], "model": "m"}),
    );
    let secrets = json!([
        {"serviceId": "chat:openai.com/own", "authSecret": "{{secret}}"},
        {"serviceId": "chat:openai.com", "authSecret": "sk-house", "url": provider.url()},
        {"serviceId": "", "authSecret": "INVALID"},
    ]);
    let limits = quotas([77; 3], [78; 3]);
    let key = Server::start(&[]).mint(&grant(&limits, &secrets));
    let server = Server::with_loopback_egress(&[("DEFAULT_AISBREAKER_API_KEY", &key)]);

    let response = server.process("", &call(service("chat:openai.com"), "Hi"));
    assert_eq!(response.content(), "ok");
    assert!(
        response
            .header("ratelimit-policy")
            .unwrap()
            .contains("q=77"),
        "its quotas apply: {response:?}"
    );
    assert_eq!(
        provider.only_request().header("authorization"),
        Some("Bearer sk-house")
    );

    // With the default key, `{{secret}}` has no value, since the caller does not know that key.
    let own = json!({"serviceId": "chat:openai.com/own", "url": provider.url()});
    let response = server.process("", &call(own.clone(), "Hi"));
    assert_error(
        "{{secret}} without credentials",
        &response,
        401,
        "missing auth.secret",
    );
    assert_eq!(provider.requests().len(), 1);

    // A caller with a secret does not get the server's.
    let response = server.process("sk-own", &call(own, "Hi"));
    assert_eq!(response.content(), "ok");
    assert_eq!(
        provider.requests()[1].header("authorization"),
        Some("Bearer sk-own")
    );
    assert!(
        !response
            .header("ratelimit-policy")
            .unwrap()
            .contains("q=77")
    );
}

#[test]
fn default_key_is_not_sent_to_other_servers() {
    let next = Provider::with_response(
        200,
        json!({"outputs": [], "usage": {"service": {"serviceId": "x"}, "totalMilliseconds": 1}}),
    );
    let secrets = json!([{"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"}]);
    let key = Server::start(&[]).mint_with_secrets(&secrets);
    let server = Server::with_loopback_egress(&[("DEFAULT_AISBREAKER_API_KEY", &key)]);
    let hop_props = hop(&next.url(), &service("chat:dummy"));

    server.process("", &call(hop_props, "Hi"));

    assert_eq!(next.only_request().header("authorization"), None);
}

#[test]
fn unusable_default_key_returns_a_plain_401() {
    let foreign = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", SECOND_KEY)]);
    let here = Server::start(&[]);
    let with_secret = Server::start(&[("AISBREAKER_MINT_SECRET", "Qv8sKw3nXz5t")]);
    let grant = json!({"requestAuthAndQuotas": {}});
    let (revoked, before) = (
        here.mint(&grant),
        ("AISBREAKER_REVOKED_BEFORE", "2100-01-01T00:00:00Z"),
    );
    let rows = [
        (
            "sealed with another server key",
            foreign.mint(&grant),
            ("AISBREAKER_LOG", "info"),
        ),
        ("revoked", revoked, before),
        (
            "sealed offline against the rules",
            offline_key::seal(&with_secret, &offline_key::claims(&json!({}))),
            ("AISBREAKER_MINT_SECRET", "Qv8sKw3nXz5t"),
        ),
    ];

    for (row, key, setting) in rows {
        let server = Server::start(&[("DEFAULT_AISBREAKER_API_KEY", &key), setting]);
        let response = server.process("", &dummy_call());
        assert_error(
            row,
            &response,
            401,
            "this server's default key is not valid at this host",
        );
        assert!(!response.text().contains(&key[..40]), "{response:?}");
    }
}
