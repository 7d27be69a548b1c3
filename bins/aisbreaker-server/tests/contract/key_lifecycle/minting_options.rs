//! The optional members of a minting request: what the key is called, from when on it is valid, and
//! how far it may be delegated.

use serde_json::{Value, json};

use crate::support::{Request, Server, assert_error, dummy_call};

/// A minting request with these members beside `requestAuthAndQuotas`.
fn outside(members: &Value) -> Value {
    let mut body = json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": "1h"});
    let body_members = body.as_object_mut().unwrap();
    body_members.extend(members.as_object().unwrap().clone());
    body
}

/// A minting request with these members inside `requestAuthAndQuotas`.
fn inside(members: &Value) -> Value {
    json!({"requestAuthAndQuotas": members, "expirationTimeSpan": "1h"})
}

#[test]
fn the_name_of_a_key_is_told_with_its_id() {
    let server = Server::start(&[]);
    for name in ["build server", "f\u{fc}r Ana \u{1f511}", &"x".repeat(64)] {
        for request in [
            outside(&json!({"name": name})),
            inside(&json!({"name": name})),
        ] {
            let response = server.send(&Request::mint(&request));

            assert_eq!(response.status, 200, "{response:?}");
            let body = response.json();
            assert_eq!(body["name"], name);
            assert!(body.get("warnings").is_none(), "{body}");
            let key = body["access_token"].as_str().unwrap();
            let quota = Request::get("/api/v1/quota").bearer(key);
            assert_eq!(server.send(&quota).json()["keyId"], body["keyId"]);
        }
    }
}

#[test]
fn unusable_options_are_refused_and_named() {
    let server = Server::start(&[]);
    let year_ahead = "2099-01-01T00:00:00Z";
    let rows = [
        ("name", json!("")),
        ("name", json!("x".repeat(65))),
        ("name", json!("a\nb")),
        ("name", json!("a\u{202e}b")),
        ("name", json!("a\u{200b}b")),
        ("name", json!("aisbreaker_eyJ2ZXIi")),
        ("name", json!(5)),
        ("notBefore", json!("tomorrow")),
        ("notBefore", json!(1_796_112_000)),
        ("notBefore", json!("2026-12-01T08:00:00")),
        ("notBefore", json!(year_ahead)),
        ("restrict", json!("chat:dummy")),
        ("restrict", json!({"models": []})),
        ("restrict", json!({"services": "chat:dummy"})),
        ("restrict", json!([{}, {"maxBodyBytes": -1}])),
        ("restrict", json!(vec![json!({}); 9])),
        ("delegation", json!(-1)),
        ("delegation", json!(4)),
        ("delegation", json!(true)),
        ("delegation", json!("1")),
    ];
    for (member, value) in rows {
        for request in [outside, inside] {
            let row = format!("{member} {value}");
            let response = server.send(&Request::mint(&request(&json!({member: value}))));
            assert_error(&row, &response, 400, member);
        }
    }
}

#[test]
fn an_option_is_given_once() {
    let server = Server::start(&[]);
    for (member, value) in [
        ("name", json!("a")),
        ("notBefore", json!("2026-12-01T08:00:00Z")),
        ("restrict", json!({})),
        ("delegation", json!(0)),
    ] {
        let mut request = outside(&json!({member: value}));
        request["requestAuthAndQuotas"][member] = value;
        let response = server.send(&Request::mint(&request));
        assert_error(member, &response, 400, member);
    }
}

#[test]
fn a_key_does_not_open_before_its_time() {
    let server = Server::start(&[]);
    let mint = |not_before: &str| {
        let mut request = outside(&json!({"notBefore": not_before}));
        request["expirationTimeSpan"] = json!("390d");
        server.mint(&request)
    };

    let past = mint("2020-01-01T01:00:00+01:00");
    let day = server.mint(&outside(&json!({"expirationTimeSpan": "1d"})));
    let quota = Request::get("/api/v1/quota").bearer(&day);
    let tomorrow = server.send(&quota).json()["expiresAt"].clone();
    let ahead = mint(tomorrow.as_str().unwrap());

    assert_eq!(server.process(&past, &dummy_call()).status, 200);
    let refused = server.process(&ahead, &dummy_call());
    assert_error("ahead", &refused, 401, "Invalid aisbreaker access token");
}

#[test]
fn a_restriction_is_written_once() {
    let server = Server::start(&[]);
    for body in [
        r#"{"requestAuthAndQuotas": {}, "restrict": {"services": ["chat:dummy"], "services": null}}"#,
        r#"{"requestAuthAndQuotas": {}, "restrict": {"services": ["chat:dummy"]}, "restrict": null}"#,
        r#"{"requestAuthAndQuotas": {"restrict": {}, "restrict": {}}}"#,
    ] {
        let request = Request::post("/api/v1/oauth/token", body);
        assert_error(body, &server.send(&request), 400, "twice");
    }
}
