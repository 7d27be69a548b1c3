//! Contract section 3: minting requests that are refused, without repeating any of their content.

use serde_json::{Value, json};

use super::minting::{CANARY, DOCUMENTED, minted};
use crate::support::{Request, Server, ample_quotas, assert_error, grant};

/// A valid minting request, except for this value at a path below `requestAuthAndQuotas`.
fn with(path: &str, value: Value) -> Value {
    let mut body = grant(
        &ample_quotas(),
        &json!([{"serviceId": "chat:openai.com", "authSecret": CANARY}]),
    );
    *body
        .pointer_mut(&format!("/requestAuthAndQuotas{path}"))
        .unwrap() = value;
    body
}

/// A valid minting request, except that the member at this path is missing.
fn without(path: &str) -> Value {
    let mut body = with(path, Value::Null);
    let (parent, member) = path.rsplit_once('/').unwrap();
    let object = body
        .pointer_mut(&format!("/requestAuthAndQuotas{parent}"))
        .unwrap();
    object.as_object_mut().unwrap().remove(member);
    body
}

#[test]
fn unusable_expiration_is_refused_with_the_maximum() {
    let server = Server::start(&[("AISBREAKER_MAX_EXPIRATION", "30d")]);
    let rows = [
        json!("0s"),
        json!("0"),
        json!("0h 0m"),
        json!("-1h"),
        json!("- 1h"),
        json!(""),
        json!(" "),
        json!("h"),
        json!("5"),
        json!("soon"),
        json!("1.2.3h"),
        json!("1 fortnight"),
        json!("1h;2h"),
        json!("31d"),
        json!("30d 1s"),
        json!("1000y"),
        json!("99999999999999999999y"),
        json!(format!("{}s", "9".repeat(101))),
        json!("1e9d"),
        json!(3_600),
        json!(0),
        json!(-1),
        json!(true),
        json!(["1h"]),
        json!({"hours": 1}),
        json!(format!("{CANARY}h")),
    ];

    for span in rows {
        let row = span.to_string();
        let response = server.send(&Request::mint(
            &json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": span}),
        ));
        assert_error(&row, &response, 400, "expirationTimeSpan");
        assert!(
            response.message().contains("30d"),
            "{row}: the maximum is missing: {}",
            response.message()
        );
        assert!(
            !response.text().contains(CANARY),
            "{row} is repeated: {}",
            response.message()
        );
    }
    let longest = json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": "30d"});
    assert_eq!(
        minted("30d", &server.send(&Request::mint(&longest)))["expires_in"],
        30 * 86_400
    );
}

/// A name, a minting request, and the member that the error must name.
type InvalidRequest = (String, Value, String);

/// A request with this entry as its only secret.
fn with_secret(entry: &Value) -> Value {
    with("/serviceSecrets", json!([entry]))
}

/// Members that are missing or have the wrong type.
fn mistyped_members() -> Vec<InvalidRequest> {
    [
        ("no request", json!({}), "requestAuthAndQuotas"),
        (
            "null request",
            json!({"requestAuthAndQuotas": null}),
            "requestAuthAndQuotas",
        ),
        (
            "text for the request",
            json!({"requestAuthAndQuotas": CANARY}),
            "requestAuthAndQuotas",
        ),
        (
            "list for the request",
            json!({"requestAuthAndQuotas": [CANARY]}),
            "requestAuthAndQuotas",
        ),
        (
            "text for quotas",
            with("/requestQuotas", json!(CANARY)),
            "requestQuotas",
        ),
        (
            "number for quotas",
            with("/requestQuotas", json!(7)),
            "requestQuotas",
        ),
        (
            "empty quotas",
            with("/requestQuotas", json!({})),
            "RequestLimits",
        ),
        (
            "text for secrets",
            with("/serviceSecrets", json!(CANARY)),
            "serviceSecrets",
        ),
        (
            "object for secrets",
            with("/serviceSecrets", json!({"chat:openai.com": CANARY})),
            "serviceSecrets",
        ),
        (
            "text for a secret",
            with_secret(&json!(CANARY)),
            "serviceSecrets[0]",
        ),
        (
            "null for a secret",
            with_secret(&json!(null)),
            "serviceSecrets[0]",
        ),
        (
            "no id",
            with_secret(&json!({"authSecret": CANARY})),
            "serviceSecrets[0].serviceId",
        ),
        (
            "null id",
            with_secret(&json!({"serviceId": null, "authSecret": CANARY})),
            "serviceSecrets[0].serviceId",
        ),
        (
            "number for an id",
            with_secret(&json!({"serviceId": 7, "authSecret": CANARY})),
            "serviceSecrets[0].serviceId",
        ),
        (
            "no secret",
            with_secret(&json!({"serviceId": "chat:"})),
            "serviceSecrets[0].authSecret",
        ),
        (
            "null secret",
            with_secret(&json!({"serviceId": "chat:", "authSecret": null})),
            "serviceSecrets[0].authSecret",
        ),
        (
            "number for a secret",
            with_secret(&json!({"serviceId": "chat:", "authSecret": 7})),
            "serviceSecrets[0].authSecret",
        ),
        (
            "list for a secret",
            with_secret(&json!({"serviceId": "chat:", "authSecret": [CANARY]})),
            "serviceSecrets[0].authSecret",
        ),
        (
            "second entry",
            with(
                "/serviceSecrets",
                json!([{"serviceId": "", "authSecret": CANARY}, {"serviceId": ""}]),
            ),
            "serviceSecrets[1].authSecret",
        ),
    ]
    .map(|(name, body, member)| (name.to_owned(), body, member.to_owned()))
    .to_vec()
}

/// Secrets that no header can carry, and URLs to which none can be bound.
fn unusable_secrets() -> Vec<InvalidRequest> {
    let mut rows = Vec::new();
    for control in ["\n", "\r\nX-Injected: 1", "\0", "\t", "\u{7f}", "\u{85}"] {
        let body =
            with_secret(&json!({"serviceId": "chat:", "authSecret": format!("{CANARY}{control}")}));
        rows.push((
            format!("control character {control:?}"),
            body,
            "serviceSecrets[0].authSecret".to_owned(),
        ));
    }
    for url in [
        json!(7),
        json!({}),
        json!([]),
        json!([7]),
        json!(["https://a.example", null]),
        json!(""),
        json!("llm.example"),
        json!("//llm.example"),
        json!("ftp://llm.example"),
        json!(format!("https://{CANARY}@llm.example")),
        json!([
            "https://a.example",
            format!("https://me:{CANARY}@llm.example")
        ]),
    ] {
        let body = with_secret(&json!({"serviceId": "chat:", "authSecret": CANARY, "url": url}));
        rows.push((
            format!("url {url}"),
            body,
            "serviceSecrets[0].url".to_owned(),
        ));
    }
    rows
}

/// Limits that are missing, or that are no positive integers.
fn unusable_limits() -> Vec<InvalidRequest> {
    let mut rows = Vec::new();
    for scope in ["perClientRequestLimits", "globalRequestLimits"] {
        let path = format!("/requestQuotas/{scope}");
        rows.push((format!("no {scope}"), without(&path), scope.to_owned()));
        for value in [json!(null), json!(CANARY), json!([60, 600, 600])] {
            rows.push((
                format!("{scope} {value}"),
                with(&path, value),
                scope.to_owned(),
            ));
        }
        for limit in ["requestsPerMinute", "requestsPerHour", "requestsPerDay"] {
            let limit_path = format!("{path}/{limit}");
            let member = format!("{scope}.{limit}");
            rows.push((format!("no {member}"), without(&limit_path), member.clone()));
            for value in [
                json!(0),
                json!(-1),
                json!(1.5),
                json!(0.1),
                json!(-0.0),
                json!("60"),
                json!(null),
                json!(true),
                json!([60]),
                json!(1e300),
                json!(CANARY),
            ] {
                rows.push((
                    format!("{member} {value}"),
                    with(&limit_path, value),
                    member.clone(),
                ));
            }
        }
    }

    rows
}

#[test]
fn every_unusable_member_is_named() {
    let server = Server::start(&[]);

    for (row, body, member) in [mistyped_members(), unusable_secrets(), unusable_limits()].concat()
    {
        let response = server.send(&Request::mint(&body));
        assert_error(&row, &response, 400, &member);
        assert!(
            !response.text().contains(CANARY),
            "{row} is repeated: {}",
            response.message()
        );
    }
}

#[test]
fn body_that_is_no_json_object_is_refused_unrepeated() {
    let server = Server::start(&[]);
    let mut truncated = DOCUMENTED.replace("sk_...", CANARY);
    truncated.truncate(truncated.len() - 30);
    let rows: [(&str, Vec<u8>); 9] = [
        ("empty", Vec::new()),
        ("truncated", truncated.into_bytes()),
        ("text", format!("\"{CANARY}\"").into_bytes()),
        ("list", format!("[\"{CANARY}\"]").into_bytes()),
        ("null", b"null".to_vec()),
        ("two values", format!("{DOCUMENTED}{CANARY}").into_bytes()),
        (
            "form",
            format!("grant_type=client_credentials&client_secret={CANARY}").into_bytes(),
        ),
        (
            "not UTF-8",
            [
                b"{\"requestAuthAndQuotas\": {\"x\": \"\xff\xfe".as_slice(),
                CANARY.as_bytes(),
                b"\"}}",
            ]
            .concat(),
        ),
        ("deep", "[".repeat(100_000).into_bytes()),
    ];

    for (row, body) in rows {
        let response = server.send(&Request::post("/api/v1/oauth/token", body));
        assert_error(row, &response, 400, "");
        assert!(
            !response.text().contains(CANARY),
            "{row} is repeated: {}",
            response.message()
        );
    }
}
