//! Revocation by holders and by the operator, in memory.

use std::time::{Duration, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    ADMIN, REVOKE, assert_oauth_error, id_of, is_accepted, operator_revocation, revocation, revoke,
};
use crate::support::{
    Canaries, Connection, Request, Server, dummy_call, grant, offline_key, original_keys, quotas,
    refused_start,
};

fn with_admin() -> Server {
    Server::start(&[("AISBREAKER_ADMIN_SECRET", ADMIN)])
}

fn key(server: &Server) -> String {
    server.mint_with_secrets(&json!([]))
}

#[test]
fn a_holder_ends_its_key_everywhere_it_was_accepted() {
    let server = Server::start(&[]);
    let (revoked, other) = (key(&server), key(&server));
    let id = id_of(&server, &revoked);
    assert!(is_accepted(&server, &revoked));

    for _again in 0..2 {
        let answer = revoke(&server, &revoked);
        assert_eq!((answer.status, answer.text()), (200, ""), "{answer:?}");
        assert!(!is_accepted(&server, &revoked));
    }

    let rows = [
        Request::get("/api/v1/quota").bearer(&revoked),
        Request::get("/v1/models").bearer(&revoked),
        Request::get("/v1/models").header("x-api-key", &revoked),
        Request::post("/v1/chat/completions", "{\"model\":\"x\"}").bearer(&revoked),
    ];
    for request in rows {
        assert_eq!(server.send(&request).status, 401, "{request:?}");
    }
    assert!(is_accepted(&server, &other));
    let line = server.wait_for_log("the revocation", |line| {
        line["message"] == "a key is revoked"
    });
    assert_eq!(line["key"], id);
    assert_eq!(
        (&line["by"], &line["kept_in"]),
        (&json!("holder"), &json!("memory"))
    );
    server.wait_for_log("the refusal", |line| line["cause"] == "key is revoked");
    assert!(
        server.log().contains("kept in memory only"),
        "{}",
        server.log()
    );
}

#[test]
fn revoking_what_is_not_valid_succeeds_as_well() {
    let server = Server::start(&[]);
    let key = key(&server);
    let altered = format!("{}AAAA", &key[..key.len() - 4]);
    for token in ["x", "sk-secret", "aisbreaker_x", &altered, "%00", "a%20b"] {
        let answer = revoke(&server, token);
        assert_eq!(
            (answer.status, answer.text()),
            (200, ""),
            "{token}: {answer:?}"
        );
    }
    assert!(is_accepted(&server, &key));
}

#[test]
fn who_has_a_key_revokes_it_wherever_and_before_it_is_valid() {
    let server = Server::start(&[]);
    let foreign = server.mint_at("b.example", &grant(&quotas([9; 3], [9; 3]), &json!([])));
    let not_before = UNIX_EPOCH + Duration::from_secs(original_keys::unix_now() + 1_800);
    let later = server.send(&Request::mint(&json!({
        "requestAuthAndQuotas": {},
        "notBefore": humantime::format_rfc3339_seconds(not_before).to_string(),
    })));
    let later = later.json();
    assert_eq!(
        revoke(&server, later["access_token"].as_str().unwrap()).status,
        200
    );
    server.wait_for_log("the key that is not valid yet", |line| {
        line["message"] == "a key is revoked" && line["key"] == later["keyId"]
    });
    assert_eq!(revoke(&server, &foreign).status, 200);
    let at_home = Request::process(&dummy_call())
        .bearer(&foreign)
        .set("Host", "b.example");
    assert_eq!(server.send(&at_home).status, 401);
    // As files and shells have it.
    let key = key(&server);
    assert_eq!(
        server.send(&revocation(&format!("token={key}%0A"))).status,
        200
    );
    assert!(!is_accepted(&server, &key));
}

/// A nested key does not show the key inside it to its holder.
#[test]
fn who_has_a_nested_key_ends_it_and_not_the_key_inside() {
    let server = Server::start(&[]);
    let not_before = UNIX_EPOCH + Duration::from_secs(original_keys::unix_now() + 1_800);
    let later = server.send(&Request::mint(&json!({
        "requestAuthAndQuotas": {},
        "notBefore": humantime::format_rfc3339_seconds(not_before).to_string(),
    })));
    let not_yet = later.json()["access_token"].as_str().unwrap().to_owned();
    let at_b = server.mint_at("b.example", &grant(&quotas([9; 3], [9; 3]), &json!([])));
    let valid = key(&server);
    let nest = |parent: &str, name: &str| {
        let mut claims = offline_key::claims(&json!({"name": name}));
        claims["parent"] = json!(parent);
        offline_key::seal(&server, &claims)
    };
    let parents = [&not_yet, &at_b, &valid].map(|parent| (parent.to_owned(), nest(parent, "a")));
    let ids = parents
        .each_ref()
        .map(|(parent, child)| (digest(child), parent));
    for (parent, child) in &parents {
        assert_eq!(revoke(&server, child).status, 200);
        assert!(!is_accepted(&server, child));
        if *parent == valid {
            assert!(is_accepted(&server, parent));
        }
    }
    for (child_id, _) in ids {
        server.wait_for_log("the nested key", |line| {
            line["message"] == "a key is revoked" && line["key"] == child_id
        });
    }
    let at_its_host = Request::process(&dummy_call())
        .bearer(&at_b)
        .set("Host", "b.example");
    assert_eq!(server.send(&at_its_host).status, 200);
    let log = server.log();
    assert_eq!(log.matches("a key is revoked").count(), 3, "{log}");
    // Who has the key inside ends both.
    let other = nest(&valid, "b");
    assert!(is_accepted(&server, &other));
    assert_eq!(revoke(&server, &valid).status, 200);
    assert!(!is_accepted(&server, &other) && !is_accepted(&server, &valid));
}

/// Minting may allow it another day. For how long it is kept is checked with the file.
#[test]
fn a_key_that_minting_would_refuse_is_kept_as_well() {
    let server = Server::start(&[("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0")]);
    let mut claims = offline_key::claims(&json!({}));
    claims["exp"] = json!(250_000_000_000_u64);
    let endless = offline_key::seal(&server, &claims);
    assert_eq!(revoke(&server, &endless).status, 200);
    let mut metrics = Connection::open(server.metrics_address());
    let text = metrics.send(&Request::get("/metrics")).text().to_owned();
    assert!(text.contains("aisbreaker_keys_revoked 1"), "{text}");
}

/// The id of a key that was sealed offline.
fn digest(key: &str) -> String {
    Base64UrlUnpadded::encode_string(&Sha256::digest(key))
}

#[test]
fn malformed_requests_are_refused_in_the_words_of_oauth() {
    let server = with_admin();
    let key = key(&server);
    let invalid = "invalid_request";
    let rows = [
        (
            "an empty form",
            revocation(""),
            400,
            invalid,
            "token is missing",
        ),
        (
            "no value",
            revocation("token="),
            400,
            invalid,
            "token is missing",
        ),
        (
            "a query",
            revocation("").path(&format!("{REVOKE}?token={key}")),
            400,
            invalid,
            "missing",
        ),
        (
            "twice",
            revocation(&format!("token={key}&token={key}")),
            400,
            invalid,
            "sent once",
        ),
        (
            "JSON",
            Request::post(REVOKE, format!("{{\"token\":\"{key}\"}}")),
            400,
            invalid,
            "Content-Type",
        ),
        (
            "no type",
            Request::new("POST", REVOKE).body("token=x"),
            400,
            invalid,
            "Content-Type",
        ),
        (
            "a bad id",
            operator_revocation("id=x"),
            400,
            invalid,
            "22 or 43 characters",
        ),
        (
            "too large",
            revocation(&"x".repeat(33 << 20)),
            413,
            invalid,
            "larger than",
        ),
        (
            "another coding",
            revocation("token=x").header("Content-Encoding", "br"),
            415,
            invalid,
            "Content-Encoding",
        ),
    ];
    for (row, request, status, error, message) in rows {
        assert_oauth_error(row, &server.send(&request), status, error, message);
    }
    assert!(is_accepted(&server, &key));
    for method in ["GET", "PUT", "DELETE"] {
        let answer = server.send(&Request::new(method, REVOKE));
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("POST, OPTIONS"))
        );
    }
    assert_eq!(server.send(&Request::new("OPTIONS", REVOKE)).status, 204);
    let hint = format!("token_type_hint=refresh_token&foo=1&token={key}");
    assert_eq!(server.send(&revocation(&hint)).status, 200);
    assert!(!is_accepted(&server, &key));
}

#[test]
fn keys_issued_before_a_time_are_refused() {
    let minting = Server::start(&[]);
    let old = key(&minting);
    let with = |before: &str| Server::start(&[("AISBREAKER_REVOKED_BEFORE", before)]);
    let earlier = with("2020-02-29T12:00:00+02:00");
    assert!(is_accepted(&earlier, &old));
    let later = with("2090-01-01T00:00:00Z");
    assert!(!is_accepted(&later, &old));
    assert!(
        !is_accepted(&later, &key(&later)),
        "a key that it minted itself"
    );
    later.wait_for_log("the warning", |line| {
        line["before"] == "2090-01-01T00:00:00Z" && line["level"] == "WARN"
    });
    for bad in [
        "",
        "yesterday",
        "2026-11-29",
        "2026-11-29T12:00:00",
        "1795953600",
    ] {
        let fault = refused_start(&[], &[("AISBREAKER_REVOKED_BEFORE", bad)]);
        assert!(
            fault.contains("AISBREAKER_REVOKED_BEFORE must be a time"),
            "{bad}: {fault}"
        );
    }
    for bad in ["", "short", " Qv8sKw3nXz5t"] {
        let fault = refused_start(&[], &[("AISBREAKER_ADMIN_SECRET", bad)]);
        assert!(fault.contains("AISBREAKER_ADMIN_SECRET "), "{bad}: {fault}");
    }
}

#[test]
fn a_default_key_ends_like_any_other() {
    let minting = Server::start(&[]);
    let default = key(&minting);
    let server = Server::start(&[("DEFAULT_AISBREAKER_API_KEY", &default)]);
    assert_eq!(server.process("", &dummy_call()).status, 200);
    assert_eq!(revoke(&server, &default).status, 200);
    let answer = server.process("", &dummy_call());
    assert_eq!(answer.status, 401);
    assert!(
        answer.message().contains("this server's default key"),
        "{answer:?}"
    );
    let before = [
        ("DEFAULT_AISBREAKER_API_KEY", &*default),
        ("AISBREAKER_REVOKED_BEFORE", "2090-01-01T00:00:00Z"),
    ];
    assert_eq!(
        Server::start(&before).process("", &dummy_call()).status,
        401
    );
}

#[test]
fn original_keys_are_revoked_by_their_text_and_by_id() {
    let vectors = original_keys::vectors();
    let mut environment = original_keys::server_environment(&vectors);
    environment.push(("AISBREAKER_ADMIN_SECRET", ADMIN));
    let server = Server::start(&environment);
    let before = [
        &environment[..],
        &[("AISBREAKER_REVOKED_BEFORE", "2001-01-01T00:00:00Z")],
    ]
    .concat();
    let recent = Server::start(&before);
    let mut revoked = 0;
    for vector in vectors["tokens"].as_array().unwrap() {
        let token = vector["token"].as_str().unwrap();
        let host = vector["use_with_host_header"].as_str().unwrap();
        let quota = Request::get("/api/v1/quota")
            .bearer(token)
            .set("Host", host);
        let answer = server.send(&quota);
        if answer.status != 200 {
            continue;
        }
        let has_iat = vector["claims"]["iat"].is_u64();
        assert_eq!(
            recent.send(&quota).status,
            if has_iat { 200 } else { 401 },
            "{vector}"
        );
        let id = answer.json()["keyId"].as_str().unwrap().to_owned();
        let request = if revoked % 2 == 0 {
            revocation(&format!("token={token}")).set("Host", host)
        } else {
            operator_revocation(&format!("id={id}"))
        };
        assert_eq!(server.send(&request).status, 200);
        assert_eq!(server.send(&quota).status, 401, "{vector}");
        revoked += 1;
    }
    assert!(revoked > 1, "all keys have expired");
}

#[test]
fn metrics_count_and_nothing_repeats_a_secret() {
    let server = Server::start(&[
        ("AISBREAKER_ADMIN_SECRET", ADMIN),
        ("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0"),
        ("AISBREAKER_LOG", "debug"),
    ]);
    let key = key(&server);
    let canaries = Canaries::verbatim(&[("key", &key[130..]), ("admin", ADMIN)]);
    let id = id_of(&server, &key);
    let answers = [
        revoke(&server, &key),
        server.send(&operator_revocation(&format!(
            "id={id}&id=AAAAAAAAAAAAAAAAAAAAAA"
        ))),
        server.send(&operator_revocation(&format!("id={key}"))),
        server.send(&revocation(&format!("token={key}&token={key}"))),
    ];
    for answer in answers {
        canaries.assert_not_in("an answer", format!("{answer:?}"));
    }
    let mut metrics = Connection::open(server.metrics_address());
    let text = metrics.send(&Request::get("/metrics")).text().to_owned();
    for line in [
        "aisbreaker_keys_revoked 2",
        "aisbreaker_revocations_total{outcome=\"revoked\"} 3",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    canaries.assert_not_in("the metrics", text);
    canaries.assert_not_in("the log", server.log());
}

#[test]
fn a_key_is_revoked_in_whatever_it_was_copied_with() {
    let server = Server::start(&[]);
    for (before, after) in [
        ("\"", "\""),
        ("'", "'"),
        ("Bearer ", ""),
        ("", ","),
        ("\u{feff}", "\u{200b}"),
    ] {
        let key = key(&server);
        let answer = revoke(&server, &format!("{before}{key}{after}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!is_accepted(&server, &key), "{before:?} {after:?}");
    }
}
