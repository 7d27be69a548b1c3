//! Contract section 3: minting keys.

use serde_json::{Value, json};

use crate::support::{Answer, Request, Server, assert_error, call, grant, quotas, roomy, service};

/// The request of the documentation, byte for byte.
const DOCUMENTED: &str = r#"{
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

/// Stands wherever a caller might put a secret; no answer may repeat it.
const CANARY: &str = "sk-canary-7f3a";

fn mint_text(server: &Server, body: impl Into<Vec<u8>>) -> Answer {
    let request =
        Request::new("POST", "/api/v1/oauth/token").set("Content-Type", "application/json");
    server.send(&request.body(body))
}

fn minted(row: &str, answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{row}: {answer:?}");
    let body = answer.json();
    let key = body["access_token"].as_str().unwrap_or_default();
    assert!(key.starts_with("aisbreaker_eyJ2ZXIi"), "{row}: {answer:?}");
    assert_eq!(body["token_type"], "Bearer", "{row}: {answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/json"),
        "{row}: {answer:?}"
    );
    assert_eq!(
        answer.header("cache-control"),
        Some("no-store"),
        "{row}: {answer:?}"
    );
    body
}

/// A minting request with this member put at a path below `requestAuthAndQuotas`; `null` there
/// removes it.
fn with(path: &str, value: Value) -> Value {
    let mut body = grant(
        &roomy(),
        &json!([{"serviceId": "chat:openai.com", "authSecret": CANARY}]),
    );
    *body
        .pointer_mut(&format!("/requestAuthAndQuotas{path}"))
        .unwrap() = value;
    body
}

/// The same with the member left out.
fn without(path: &str) -> Value {
    let mut body = with(path, Value::Null);
    let (parent, member) = path.rsplit_once('/').unwrap();
    let parent = body
        .pointer_mut(&format!("/requestAuthAndQuotas{parent}"))
        .unwrap();
    parent.as_object_mut().unwrap().remove(member);
    body
}

#[test]
fn the_documented_call_works_to_the_letter() {
    let server = Server::start_as_delivered(&[]);
    let request = Request::new("POST", "/api/v1/oauth/token")
        .header("Host", "localhost:3000")
        .header("Content-Type", "application/json")
        .body(DOCUMENTED);

    let body = minted("documented", &server.send(&request));

    assert_eq!(body["expires_in"], 365 * 86_400);
    assert_eq!(
        body.as_object().unwrap().len(),
        3,
        "no warnings and nothing else: {body}"
    );
    let key = body["access_token"].as_str().unwrap();
    let answer = server.process(key, &call(service("chat:dummy"), "Hi"));
    assert!(answer.content().contains("DummyAssistantService"));
}

#[test]
fn a_key_is_a_jwe_in_compact_form_that_shows_nothing() {
    let server = Server::start(&[]);
    let body = grant(
        &roomy(),
        &json!([{"serviceId": "chat:openai.com", "authSecret": CANARY}]),
    );

    let keys = [server.mint(&body), server.mint(&body)];

    assert_ne!(keys[0], keys[1], "two keys are never the same");
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
fn a_span_is_what_humantime_and_the_original_read() {
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
    .map(|(span, seconds)| (span.to_owned(), seconds))
    .to_vec();
    for (seconds, names) in units {
        for name in names {
            rows.push((format!("1{name}"), seconds));
            rows.push((format!("1 {name}"), seconds));
            // A single `M` is a month to humantime.
            if *name != "m" {
                rows.push((format!("1 {}", name.to_uppercase()), seconds));
            }
        }
    }

    for (span, seconds) in rows {
        let answer = server.send(&Request::mint(
            &json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": span}),
        ));
        assert_eq!(minted(&span, &answer)["expires_in"], seconds, "{span}");
    }
}

#[test]
fn a_key_lives_two_hours_unless_it_says_otherwise() {
    let server = Server::start(&[]);

    for body in [
        json!({"requestAuthAndQuotas": {}}),
        json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": null}),
    ] {
        let answer = server.send(&Request::mint(&body));
        assert_eq!(
            minted(&body.to_string(), &answer)["expires_in"],
            7_200,
            "{body}"
        );
    }
}

#[test]
fn an_unusable_span_is_named_with_the_maximum() {
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
        let answer = server.send(&Request::mint(
            &json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": span}),
        ));
        assert_error(&row, &answer, 400, "expirationTimeSpan");
        assert!(
            answer.message().contains("30d"),
            "{row} names no maximum: {}",
            answer.message()
        );
        assert!(
            !answer.text().contains(CANARY),
            "{row} is repeated: {}",
            answer.message()
        );
    }
    let longest = json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": "30d"});
    assert_eq!(
        minted("30d", &server.send(&Request::mint(&longest)))["expires_in"],
        30 * 86_400
    );
}

#[test]
fn the_default_maximum_is_400_days() {
    let server = Server::start(&[]);

    for span in ["401d", "400d 1s", "2y"] {
        let answer = server.send(&Request::mint(
            &json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": span}),
        ));
        assert_error(span, &answer, 400, "expirationTimeSpan");
    }
}

#[test]
fn what_may_be_left_out_may_be_left_out() {
    let server = Server::start(&[]);
    let rows = [
        json!({"requestAuthAndQuotas": {}}),
        json!({"requestAuthAndQuotas": {"requestQuotas": null, "serviceSecrets": null}}),
        json!({"requestAuthAndQuotas": {"requestQuotas": roomy()}}),
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
        let answer = server.send(&Request::mint(&body));
        let told = minted(&body.to_string(), &answer);
        assert_eq!(told.get("warnings"), None, "{body}");
        assert!(!answer.text().contains(CANARY), "{body}");
    }
}

#[test]
fn a_key_without_secrets_in_it_is_as_good_as_another() {
    let server = Server::start(&[]);
    let key = server.mint(&json!({"requestAuthAndQuotas": {}}));

    assert_eq!(
        server
            .process(&key, &call(service("chat:dummy"), "Hi"))
            .status,
        200
    );
}

#[test]
fn every_member_that_cannot_be_sealed_is_named() {
    let server = Server::start(&[]);
    let secret = |entry: Value| with("/serviceSecrets", json!([entry]));
    let mut rows: Vec<(String, Value, String)> = [
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
            secret(json!(CANARY)),
            "serviceSecrets[0]",
        ),
        (
            "null for a secret",
            secret(json!(null)),
            "serviceSecrets[0]",
        ),
        (
            "no id",
            secret(json!({"authSecret": CANARY})),
            "serviceSecrets[0].serviceId",
        ),
        (
            "null id",
            secret(json!({"serviceId": null, "authSecret": CANARY})),
            "serviceSecrets[0].serviceId",
        ),
        (
            "number for an id",
            secret(json!({"serviceId": 7, "authSecret": CANARY})),
            "serviceSecrets[0].serviceId",
        ),
        (
            "no secret",
            secret(json!({"serviceId": "chat:"})),
            "serviceSecrets[0].authSecret",
        ),
        (
            "null secret",
            secret(json!({"serviceId": "chat:", "authSecret": null})),
            "serviceSecrets[0].authSecret",
        ),
        (
            "number for a secret",
            secret(json!({"serviceId": "chat:", "authSecret": 7})),
            "serviceSecrets[0].authSecret",
        ),
        (
            "list for a secret",
            secret(json!({"serviceId": "chat:", "authSecret": [CANARY]})),
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
    .to_vec();
    for control in ["\n", "\r\nX-Injected: 1", "\0", "\t", "\u{7f}", "\u{85}"] {
        let body =
            secret(json!({"serviceId": "chat:", "authSecret": format!("{CANARY}{control}")}));
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
        let body = secret(json!({"serviceId": "chat:", "authSecret": CANARY, "url": url}));
        rows.push((
            format!("url {url}"),
            body,
            "serviceSecrets[0].url".to_owned(),
        ));
    }
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
            let path = format!("{path}/{limit}");
            let member = format!("{scope}.{limit}");
            rows.push((format!("no {member}"), without(&path), member.clone()));
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
                    with(&path, value),
                    member.clone(),
                ));
            }
        }
    }

    for (row, body, member) in rows {
        let answer = server.send(&Request::mint(&body));
        assert_error(&row, &answer, 400, &member);
        assert!(
            !answer.text().contains(CANARY),
            "{row} is repeated: {}",
            answer.message()
        );
    }
}

#[test]
fn a_body_that_is_no_json_object_is_refused_and_not_repeated() {
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
        let answer = mint_text(&server, body);
        assert_error(row, &answer, 400, "");
        assert!(
            !answer.text().contains(CANARY),
            "{row} is repeated: {}",
            answer.message()
        );
    }
}

#[test]
fn unknown_members_are_ignored_and_named() {
    let server = Server::start(&[]);
    let limits = json!({"requestsPerMinute": 60, "requestsPerHour": 60, "requestsPerDay": 60, "requestsPerYear": 1});
    let mut quotas = quotas([60; 3], [60; 3]);
    quotas["perClientRequestLimits"] = limits;
    quotas["tokens"] = json!(1);
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
                &quotas,
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
        let answer = server.send(&Request::mint(&body));
        let told = minted(&body.to_string(), &answer);
        let mut warnings: Vec<&str> = told["warnings"]
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
        assert!(!answer.text().contains(CANARY), "{body}");
    }
}

#[test]
fn claims_that_the_caller_brings_are_ignored_like_other_unknown_members() {
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
        let told = minted(claim, &server.send(&Request::mint(&body)));
        let warning = format!("requestAuthAndQuotas.{claim} is not known and was ignored");
        assert_eq!(told["warnings"], json!([warning]), "{claim}");
        assert_eq!(told["expires_in"], 3_600, "{claim}");
        let key = told["access_token"].as_str().unwrap();
        assert_eq!(
            server
                .process(key, &call(service("chat:dummy"), "Hi"))
                .status,
            200,
            "{claim}"
        );
    }
}

#[test]
fn minting_takes_json_and_nothing_else() {
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
        let request = Request::new("POST", "/api/v1/oauth/token").body(DOCUMENTED);
        let request = match content_type {
            Some(content_type) => request.header("Content-Type", content_type),
            None => request,
        };
        let answer = server.send(&request);
        assert_eq!(answer.status, status, "{content_type:?}: {answer:?}");
        if status == 400 {
            assert_error(
                &format!("{content_type:?}"),
                &answer,
                400,
                "application/json",
            );
        }
    }
}

#[test]
fn anyone_may_mint_and_authorization_is_ignored() {
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
fn a_key_that_would_be_too_long_for_a_header_is_not_minted() {
    let server = Server::start(&[]);
    let secrets: Vec<Value> = (0..200)
        .map(|i| json!({"serviceId": format!("chat:{i}"), "authSecret": "x".repeat(100)}))
        .collect();

    let answer = server.send(&Request::mint(&grant(&roomy(), &Value::from(secrets))));

    assert_error("too long", &answer, 400, "serviceSecrets");
}

#[test]
fn the_body_may_be_coded_and_chunked_like_any_other() {
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
