//! Contract section 3: minting keys. Invalid requests are in
//! [`minting_validation`](super::minting_validation).

use serde_json::{Value, json};

use crate::support::{
    Request, Response, Server, ample_quotas, assert_error, dummy_call, grant, quotas,
};

/// The documented request, verbatim.
pub(crate) const DOCUMENTED: &str = r#"{
  "requestAuthAndQuotas": {
    "requestQuotas": {
      "perClientRequestLimits": {"requestsPerMinute": 60, "requestsPerHour": 600, "requestsPerDay": 600},
      "globalRequestLimits": {"requestsPerMinute": 120, "requestsPerHour": 1200, "requestsPerDay": 1200}
    },
    "serviceSecrets": [
      {"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"},
      {"serviceId": "chat:openai.com", "authSecret": "sk_..."},
      {"serviceId": "chat:dummy", "authSecret": ""},
      {"serviceId": "", "authSecret": "INVALID"}
    ]
  },
  "expirationTimeSpan": "365d"
}"#;

/// Used wherever a caller may put a secret. No response may repeat it.
pub(crate) const CANARY: &str = "sk-canary-7f3a";

/// Asserts that a key was minted, and returns the response.
pub(crate) fn minted(row: &str, response: &Response) -> Value {
    assert_eq!(response.status, 200, "{row}: {response:?}");
    let body = response.json();
    let key = body["access_token"].as_str().unwrap_or_default();
    assert!(
        key.starts_with("aisbreaker_eyJ2ZXIi"),
        "{row}: {response:?}"
    );
    assert_eq!(body["token_type"], "Bearer", "{row}: {response:?}");
    assert_eq!(
        response.header("content-type"),
        Some("application/json"),
        "{row}: {response:?}"
    );
    assert_eq!(
        response.header("cache-control"),
        Some("no-store"),
        "{row}: {response:?}"
    );
    body
}

#[test]
fn documented_request_mints_a_working_key() {
    let server = Server::start_with_built_in_quotas(&[]);
    let request = Request::new("POST", "/api/v1/oauth/token")
        .header("Host", "localhost:3000")
        .header("Content-Type", "application/json")
        .body(DOCUMENTED);

    let body = minted("documented", &server.send(&request));

    assert_eq!(body["expires_in"], 365 * 86_400);
    let mut members: Vec<_> = body.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(
        members,
        ["access_token", "expires_in", "keyId", "token_type"]
    );
    let key = body["access_token"].as_str().unwrap();
    let response = server.process(key, &dummy_call());
    assert!(response.content().contains("DummyAssistantService"));
}

#[test]
fn key_is_a_unique_compact_jwe() {
    let server = Server::start(&[]);
    let body = grant(
        &ample_quotas(),
        &json!([{"serviceId": "chat:openai.com", "authSecret": CANARY}]),
    );

    let keys = [server.mint(&body), server.mint(&body)];

    assert_ne!(keys[0], keys[1], "keys are unique");
    for key in keys {
        let parts: Vec<&str> = key
            .strip_prefix("aisbreaker_")
            .unwrap()
            .split('.')
            .collect();
        assert_eq!(parts.len(), 5, "{key}");
        assert_eq!(
            parts[1], "",
            "direct encryption has no encrypted key: {key}"
        );
        assert!(
            key.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)),
            "{key}"
        );
        assert!(key.len() <= 6 << 10, "{} bytes", key.len());
    }
}

#[test]
fn expiration_accepts_humantime_and_original_grammars() {
    let server = Server::start(&[]);
    let units = [
        (1, ["s", "sec", "secs", "second", "seconds"].as_slice()),
        (60, &["m", "min", "mins", "minute", "minutes"]),
        (3_600, &["h", "hr", "hrs", "hour", "hours"]),
        (86_400, &["d", "day", "days"]),
        (604_800, &["w", "week", "weeks"]),
        (31_557_600, &["y", "yr", "yrs", "year", "years"]),
    ];
    let mut rows: Vec<(String, u64)> = [
        ("365d", 31_536_000),
        ("1h 30m", 5_400),
        ("2days 3h", 183_600),
        ("1h30m", 5_400),
        ("2 hours", 7_200),
        ("1.5h", 5_400),
        ("1.5 Hours", 5_400),
        ("0.5d", 43_200),
        ("365D", 31_536_000),
        ("2 HOURS", 7_200),
        ("90 Sec", 90),
        ("400d", 34_560_000),
    ]
    .map(|(expiration, seconds)| (expiration.to_owned(), seconds))
    .to_vec();
    for (seconds, names) in units {
        for name in names {
            rows.push((format!("1{name}"), seconds));
            rows.push((format!("1 {name}"), seconds));
            // In humantime, a single `M` is a month.
            if *name != "m" {
                rows.push((format!("1 {}", name.to_uppercase()), seconds));
            }
        }
    }

    for (expiration, seconds) in rows {
        let response = server.send(&Request::mint(
            &json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": expiration}),
        ));
        assert_eq!(
            minted(&expiration, &response)["expires_in"],
            seconds,
            "{expiration}"
        );
    }
}

#[test]
fn key_lifetime_defaults_to_two_hours() {
    let server = Server::start(&[]);

    for body in [
        json!({"requestAuthAndQuotas": {}}),
        json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": null}),
    ] {
        let response = server.send(&Request::mint(&body));
        assert_eq!(
            minted(&body.to_string(), &response)["expires_in"],
            7_200,
            "{body}"
        );
    }
}

#[test]
fn maximum_lifetime_defaults_to_400_days() {
    let server = Server::start(&[]);

    for expiration in ["401d", "400d 1s", "2y"] {
        let response = server.send(&Request::mint(
            &json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": expiration}),
        ));
        assert_error(expiration, &response, 400, "expirationTimeSpan");
    }
}

#[test]
fn optional_members_may_be_omitted() {
    let server = Server::start(&[]);
    let rows = [
        json!({"requestAuthAndQuotas": {}}),
        json!({"requestAuthAndQuotas": {"requestQuotas": null, "serviceSecrets": null}}),
        json!({"requestAuthAndQuotas": {"requestQuotas": ample_quotas()}}),
        json!({"requestAuthAndQuotas": {"serviceSecrets": []}}),
        json!({"clientId": "me", "clientSecret": CANARY, "requestAuthAndQuotas": {}}),
        json!({"clientId": null, "clientSecret": 7, "requestAuthAndQuotas": {}}),
        json!({"requestAuthAndQuotas": {"serviceSecrets": [
            {"serviceId": "chat:openai.com", "authSecret": CANARY, "url": "https://llm.example"},
            {"serviceId": "chat:", "authSecret": "", "url": ["https://a.example/x", "http://b.example:81"]},
            {"serviceId": "chat:openai.com/gpt-4", "authSecret": "s\u{fc}per-\u{1f511}"},
            {"serviceId": "", "authSecret": "INVALID", "url": null},
        ]}}),
    ];

    for body in rows {
        let response = server.send(&Request::mint(&body));
        let minted_body = minted(&body.to_string(), &response);
        assert_eq!(minted_body.get("warnings"), None, "{body}");
        assert!(!response.text().contains(CANARY), "{body}");
    }
}

#[test]
fn unknown_members_are_ignored_with_a_warning() {
    let server = Server::start(&[]);
    let limits = json!({"requestsPerMinute": 60, "requestsPerHour": 60, "requestsPerDay": 60, "requestsPerYear": 1});
    let mut with_unknown = quotas([60; 3], [60; 3]);
    with_unknown["perClientRequestLimits"] = limits;
    with_unknown["tokens"] = json!(1);
    let rows = [
        (
            json!({"requestAuthAndQuotas": {"foo": CANARY}}),
            vec!["requestAuthAndQuotas.foo"],
        ),
        (
            json!({"requestAuthAndQuotas": {}, "scope": CANARY}),
            vec!["scope"],
        ),
        (
            grant(
                &with_unknown,
                &json!([{"serviceId": "", "authSecret": "", "note": CANARY}]),
            ),
            vec![
                "requestAuthAndQuotas.requestQuotas.perClientRequestLimits.requestsPerYear",
                "requestAuthAndQuotas.requestQuotas.tokens",
                "requestAuthAndQuotas.serviceSecrets[0].note",
            ],
        ),
    ];

    for (body, members) in rows {
        let response = server.send(&Request::mint(&body));
        let minted_body = minted(&body.to_string(), &response);
        let mut warnings: Vec<&str> = minted_body["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|warning| warning.as_str().unwrap())
            .collect();
        warnings.sort_unstable();
        let expected: Vec<String> = members
            .iter()
            .map(|member| format!("{member} is not known and was ignored"))
            .collect();
        assert_eq!(warnings, expected, "{body}");
        assert!(!response.text().contains(CANARY), "{body}");
    }
}

#[test]
fn claims_in_the_request_are_ignored_with_a_warning() {
    let server = Server::start(&[]);
    let rows = [
        ("sub", json!("elsewhere.example#aisbreaker")),
        ("aud", json!("elsewhere.example")),
        ("iat", json!(4_000_000_000_u64)),
        ("exp", json!(1)),
        ("nbf", json!(4_000_000_000_u64)),
        ("jti", json!("mine")),
    ];

    for (claim, value) in rows {
        let body = json!({"requestAuthAndQuotas": {claim: value}, "expirationTimeSpan": "1h"});
        let minted_body = minted(claim, &server.send(&Request::mint(&body)));
        let warning = format!("requestAuthAndQuotas.{claim} is not known and was ignored");
        assert_eq!(minted_body["warnings"], json!([warning]), "{claim}");
        assert_eq!(minted_body["expires_in"], 3_600, "{claim}");
        let key = minted_body["access_token"].as_str().unwrap();
        assert_eq!(server.process(key, &dummy_call()).status, 200, "{claim}");
    }
}

#[test]
fn minting_accepts_only_json() {
    let server = Server::start(&[]);
    let rows = [
        (Some("application/json"), 200),
        (Some("application/json; charset=utf-8"), 200),
        (Some("application/json;charset=UTF-8"), 200),
        (Some("Application/JSON"), 200),
        (Some("text/plain"), 400),
        (Some("application/x-www-form-urlencoded"), 400),
        (Some("application/jsonp"), 400),
        (Some("application/json-patch+json"), 400),
        (Some("text/json"), 400),
        (Some(""), 400),
        (None, 400),
    ];

    for (content_type, status) in rows {
        let mut request = Request::new("POST", "/api/v1/oauth/token").body(DOCUMENTED);
        if let Some(content_type) = content_type {
            request = request.header("Content-Type", content_type);
        }
        let response = server.send(&request);
        assert_eq!(response.status, status, "{content_type:?}: {response:?}");
        if status == 400 {
            assert_error(
                &format!("{content_type:?}"),
                &response,
                400,
                "application/json",
            );
        }
    }
}

#[test]
fn minting_ignores_authorization() {
    let server = Server::start(&[]);

    for authorization in [
        "Bearer aisbreaker_nonsense",
        "Bearer sk-own",
        "Basic bWU6cHc=",
        "Bearer",
        "",
        "x y z",
    ] {
        let request =
            Request::mint(&json!({"requestAuthAndQuotas": {}})).set("Authorization", authorization);
        minted(authorization, &server.send(&request));
    }
}

#[test]
fn refuses_a_key_too_long_for_a_header() {
    let server = Server::start(&[]);
    let secrets: Vec<Value> = (0..200)
        .map(|i| json!({"serviceId": format!("chat:{i}"), "authSecret": "x".repeat(100)}))
        .collect();

    let response = server.send(&Request::mint(&grant(
        &ample_quotas(),
        &Value::from(secrets),
    )));

    assert_error("too long", &response, 400, "serviceSecrets");
}

#[test]
fn body_may_be_chunked_or_have_a_byte_order_mark() {
    let server = Server::start(&[]);
    let chunked = Request::new("POST", "/api/v1/oauth/token")
        .header("Content-Type", "application/json")
        .header("Transfer-Encoding", "chunked")
        .body(format!(
            "{:x}\r\n{DOCUMENTED}\r\n0\r\n\r\n",
            DOCUMENTED.len()
        ));
    let marked = Request::new("POST", "/api/v1/oauth/token")
        .header("Content-Type", "application/json")
        .body(format!("\u{feff}{DOCUMENTED}"));

    minted("chunked", &server.send(&chunked));
    minted("byte order mark", &server.send(&marked));
}
