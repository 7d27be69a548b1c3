//! Restrictions as they are sealed, and what they allow.

use serde_json::{Value, json};

use super::*;
use crate::route::family;

fn parse(list: Value) -> Result<Restrictions, InvalidRestriction> {
    let list: Vec<Restriction> = serde_json::from_value(list).unwrap();
    Restrictions::parse(&list).map(|(restrictions, _)| restrictions)
}

fn invalid(member: &'static str, value: &str) -> bool {
    match parse(json!([{"operations": ["process"]}, {member: [value]}])) {
        Ok(_) => false,
        Err(invalid) => {
            assert_eq!((invalid.member, invalid.index), (member, 0), "{value}");
            true
        }
    }
}

#[test]
fn a_value_that_is_not_understood_is_an_error() {
    let rows = [
        ("operations", "process", false),
        ("operations", "models", false),
        ("operations", "responses/{id}/cancel", false),
        ("operations", "/v1/responses", true),
        ("operations", "v1/responses", true),
        ("operations", "responses/", true),
        ("operations", "responses/resp_1", true),
        ("operations", "Responses", true),
        ("operations", "files", false),
        ("operations", "messages/batches", false),
        ("operations", "chat/completions/{id}", false),
        ("operations", "files/{id}", true),
        ("operations", "threads", true),
        ("operations", "*", true),
        ("operations", "", true),
        ("clients", "203.0.113.0/24", false),
        ("clients", "203.0.113.7", false),
        ("clients", "2001:db8::/48", false),
        ("clients", "::ffff:203.0.113.0/120", false),
        ("clients", "203.0.113.0/33", true),
        ("clients", "203.0.113", true),
        ("clients", "localhost", true),
        ("clients", "", true),
        ("origins", "https://app.example.com", false),
        ("origins", "https://app.example.com/", true),
        ("origins", "null", true),
        ("origins", "*", true),
        ("services", "", false),
        ("services", "chat:openai.com/gpt-4o", false),
        ("services", "chat:\n", true),
    ];
    for (member, value, is_invalid) in rows {
        assert_eq!(invalid(member, value), is_invalid, "{member} {value:?}");
    }
}

#[test]
fn every_list_of_clients_must_have_the_client() {
    let rows = [
        (json!([]), "203.0.113.7", true),
        (json!([{}]), "203.0.113.7", true),
        (json!([{"clients": []}]), "203.0.113.7", false),
        (
            json!([{"clients": ["203.0.113.0/24"]}]),
            "203.0.113.7",
            true,
        ),
        (
            json!([{"clients": ["203.0.113.0/24"]}]),
            "203.0.114.7",
            false,
        ),
        (
            json!([{"clients": ["203.0.113.0/24"]}]),
            "::ffff:203.0.113.7",
            true,
        ),
        (
            json!([{"clients": ["::ffff:203.0.113.0/120"]}]),
            "203.0.113.7",
            true,
        ),
        (
            json!([{"clients": ["::ffff:203.0.113.0/120"]}]),
            "203.0.114.7",
            false,
        ),
        (json!([{"clients": ["::/0"]}]), "203.0.113.7", false),
        (json!([{"clients": ["0.0.0.0/0"]}]), "2001:db8::1", false),
        (
            json!([{"clients": ["203.0.113.99/24"]}]),
            "203.0.113.7",
            true,
        ),
        (
            json!([{"clients": ["10.0.0.1", "2001:db8::/48"]}]),
            "2001:db8:0:1::1",
            true,
        ),
        (
            json!([{"clients": ["203.0.113.0/24"]}, {"clients": ["203.0.113.8"]}]),
            "203.0.113.7",
            false,
        ),
    ];
    for (list, client, is_allowed) in rows {
        let client = client.parse().unwrap();
        for key_use in [KeyUse::PROCESS, KeyUse::QUESTION] {
            let judged = parse(list.clone())
                .unwrap()
                .judge(client, &AllowedOrigin::Any, key_use);
            let expected = if is_allowed {
                Ok(())
            } else {
                Err(RestrictionError::Client)
            };
            assert_eq!(judged, expected, "{list} {client}");
        }
    }
}

#[test]
fn each_operation_is_allowed_by_its_own_name_only() {
    let client = [192, 0, 2, 1].into();
    let uses = || {
        let resources = family::resources().map(Operation::Resource);
        let operations = Operation::CALLS.into_iter().chain(resources);
        let uses = operations.map(|operation| KeyUse::of(operation, &Method::GET));
        let deletion = KeyUse::of(Operation::Model, &Method::DELETE);
        uses.chain([KeyUse::PROCESS, KeyUse::QUESTION, deletion])
    };
    for allowed in uses().filter_map(|key_use| key_use.operation) {
        let restrictions = parse(json!([{"operations": [allowed]}])).unwrap();
        for key_use in uses() {
            let expected = match key_use.operation {
                Some(other) if other != allowed => Err(RestrictionError::Operation(other)),
                Some(_) | None => Ok(()),
            };
            assert_eq!(
                restrictions.judge(client, &AllowedOrigin::Any, key_use),
                expected,
                "{allowed}"
            );
        }
    }
    let none = parse(json!([{"operations": ["process"]}, {"operations": []}])).unwrap();
    let refused = RestrictionError::Operation("process");
    assert_eq!(
        none.judge(client, &AllowedOrigin::Any, KeyUse::PROCESS),
        Err(refused)
    );
    assert_eq!(
        none.judge(client, &AllowedOrigin::Any, KeyUse::QUESTION),
        Ok(())
    );
}

#[test]
fn every_list_of_origins_must_have_the_origin() {
    let both = json!([
        {"origins": ["https://a.example", "https://b.example:8443"]},
        {},
        {"origins": ["https://b.example:8443", "https://c.example"]},
    ]);
    let rows = [
        (
            json!([{}]),
            Some("https://evil.example"),
            AllowedOrigin::Any,
        ),
        (json!([{}]), None, AllowedOrigin::Any),
        (both.clone(), None, AllowedOrigin::None),
        (both.clone(), Some("null"), AllowedOrigin::None),
        (both.clone(), Some("https://a.example"), AllowedOrigin::None),
        (both.clone(), Some("https://c.example"), AllowedOrigin::None),
        (both.clone(), Some("https://b.example"), AllowedOrigin::None),
        (
            both.clone(),
            Some("http://b.example:8443"),
            AllowedOrigin::None,
        ),
        (
            both.clone(),
            Some("https://b.example:8443.evil.example"),
            AllowedOrigin::None,
        ),
        (
            both,
            Some("https://b.example:8443"),
            AllowedOrigin::One(HeaderValue::from_static("https://b.example:8443")),
        ),
        (
            json!([{"origins": []}]),
            Some("https://a.example"),
            AllowedOrigin::None,
        ),
    ];
    for (list, origin, expected) in rows {
        let value = origin.map(HeaderValue::from_static);
        let allowed = parse(list.clone()).unwrap().allowed_origin(value.as_ref());
        assert_eq!(allowed, expected, "{list} {origin:?}");
    }
}

#[test]
fn the_smallest_body_size_counts() {
    let rows = [
        (json!([]), None),
        (json!([{}]), None),
        (
            json!([{"maxBodyBytes": 7}, {}, {"maxBodyBytes": 5}, {"maxBodyBytes": 9}]),
            Some(5),
        ),
        (json!([{"maxBodyBytes": 0}]), Some(0)),
    ];
    for (list, expected) in rows {
        assert_eq!(
            parse(list.clone()).unwrap().max_body_bytes(),
            expected,
            "{list}"
        );
    }
}
