//! Refusals of an exchange: RFC 6749 section 5.2, RFC 8693 section 2.2.2.

use serde_json::{Value, json};

use super::{ACCESS_TOKEN, GRANT_TYPE, as_form, as_json, exchange, form, parent, percent_encoded};
use crate::support::{Canaries, Request, Response, Server, ample_quotas, assert_error};

/// Checks an error. `message` is a part of what it says.
#[track_caller]
fn assert_oauth_error(row: &str, response: &Response, code: &str, message: &str) {
    assert_eq!(response.status, 400, "{row}: {response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("cache-control"), Some("no-store"), "{row}");
    let body = response.json();
    assert_eq!(body["error"], code, "{row}: {body}");
    let text = body["message"].as_str().unwrap();
    assert!(text.contains(message), "{row}: {text}");
    let description = body["error_description"].as_str().unwrap();
    let is_allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    assert!(description.chars().all(is_allowed), "{row}: {description}");
}

/// Members of an exchange, the code of the refusal, and a part of what it says.
fn rows() -> Vec<(Value, &'static str, &'static str)> {
    let invalid = "invalid_request";
    vec![
        (
            json!({"grant_type": "password"}),
            "unsupported_grant_type",
            "grant_type",
        ),
        (
            json!({"grant_type": "client_credentials"}),
            "unsupported_grant_type",
            "grant_type",
        ),
        (
            json!({"grant_type": "token-exchange"}),
            "unsupported_grant_type",
            "grant_type",
        ),
        (
            json!({"subject_token": null}),
            invalid,
            "subject_token is missing",
        ),
        (
            json!({"subject_token": "aisbreaker_x"}),
            invalid,
            "Invalid aisbreaker access token",
        ),
        (
            json!({"subject_token": "sk-own"}),
            invalid,
            "Invalid aisbreaker access token",
        ),
        (
            json!({"subject_token_type": null}),
            invalid,
            "subject_token_type is missing",
        ),
        (
            json!({"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}),
            invalid,
            "subject_token_type must be urn:ietf:params:oauth:token-type:access_token",
        ),
        (
            json!({"subject_token_type": "access_token"}),
            invalid,
            "subject_token_type",
        ),
        (
            json!({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}),
            invalid,
            "requested_token_type",
        ),
        (
            json!({"actor_token": "x"}),
            invalid,
            "actor_token is not supported",
        ),
        (
            json!({"actor_token_type": ACCESS_TOKEN}),
            invalid,
            "actor_token_type",
        ),
        (json!({"scope": "chat"}), "invalid_scope", "restrict"),
        (
            json!({"resource": "https://other.example/"}),
            "invalid_target",
            "resource",
        ),
        (
            json!({"resource": "localhost"}),
            "invalid_target",
            "resource",
        ),
        (
            json!({"resource": "https://localhost/#a"}),
            "invalid_target",
            "resource",
        ),
        (
            json!({"resource": "ftp://localhost/"}),
            "invalid_target",
            "resource",
        ),
        (
            json!({"resource": "https://localhost@other.example/"}),
            "invalid_target",
            "resource",
        ),
        (
            json!({"audience": "other.example"}),
            "invalid_target",
            "audience",
        ),
        (
            json!({"audience": "https://other.example"}),
            "invalid_target",
            "audience",
        ),
        (
            json!({"expirationTimeSpan": "0s"}),
            invalid,
            "expirationTimeSpan",
        ),
        (
            json!({"expirationTimeSpan": "401d"}),
            invalid,
            "expirationTimeSpan",
        ),
        (
            json!({"expirationTimeSpan": "soon"}),
            invalid,
            "expirationTimeSpan",
        ),
        (json!({"notBefore": "tomorrow"}), invalid, "notBefore"),
        (
            json!({"notBefore": "2099-01-01T00:00:00Z"}),
            invalid,
            "notBefore",
        ),
        (json!({"name": "a\nb"}), invalid, "name"),
        (json!({"delegation": 4}), invalid, "delegation"),
        (json!({"delegation": -1}), invalid, "delegation"),
        (json!({"restrict": {"models": []}}), invalid, "restrict"),
        (
            json!({"restrict": [{}, {"services": 1}]}),
            invalid,
            "restrict[1].services",
        ),
        (json!({"restrict": vec![json!({}); 9]}), invalid, "restrict"),
        (
            json!({"requestQuotas": {}}),
            invalid,
            "requestQuotas.perClientRequestLimits",
        ),
        (json!({"requestQuotas": []}), invalid, "requestQuotas"),
        (
            json!({"requestAuthAndQuotas": {}}),
            invalid,
            "requestAuthAndQuotas is for minting",
        ),
        (
            json!({"serviceSecrets": []}),
            invalid,
            "serviceSecrets is for minting",
        ),
        (
            json!({"modelAliases": {}}),
            invalid,
            "modelAliases is for minting",
        ),
    ]
}

#[test]
fn json_and_forms_are_refused_alike() {
    let server = Server::start(&[]);
    let parent = parent(&server);
    for (members, code, message) in rows() {
        let body = exchange(&parent, &members);
        for (kind, request) in [("JSON", as_json(&body)), ("form", as_form(&body))] {
            let response = server.send(&request);
            assert_oauth_error(&format!("{kind} {members}"), &response, code, message);
        }
    }
}

#[test]
fn a_parameter_is_sent_once_unless_it_may_be_repeated() {
    let server = Server::start(&[]);
    let parent = parent(&server);
    let body = exchange(&parent, &json!({"restrict": {}}));
    let with = |more: &str| {
        let pairs = body.as_object().unwrap().iter().map(|(name, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            format!("{name}={}", percent_encoded(&text))
        });
        let pairs: Vec<_> = pairs.collect();
        form(format!("{}&{more}", pairs.join("&")))
    };
    let twice = "must not have a parameter twice";
    for repeated in [
        format!("grant_type={GRANT_TYPE}"),
        format!("subject_token={parent}"),
        format!("%73ubject_token={parent}"),
        format!("subject_token_type={ACCESS_TOKEN}"),
        "restrict={}".to_owned(),
        "x=1&x=2".to_owned(),
    ] {
        let response = server.send(&with(&repeated));
        assert_oauth_error(&repeated, &response, "invalid_request", twice);
    }
    let with_line_end = form(format!(
        "grant_type={GRANT_TYPE}&subject_token_type={ACCESS_TOKEN}&subject_token={parent}%0D%0A"
    ));
    assert_eq!(server.send(&with_line_end).status, 200);
    let localhost = "resource=https%3A%2F%2Flocalhost";
    for more in ["", "&&", "scope=&actor_token=", "restrict=", localhost] {
        assert_eq!(server.send(&with(more)).status, 200, "{more}");
    }
    let both = format!("{localhost}&{localhost}&audience=localhost&audience=LOCALHOST:3000");
    assert_eq!(server.send(&with(&both)).status, 200);
    let other = format!("{localhost}&resource=https%3A%2F%2Fother.example");
    assert_oauth_error(
        &other,
        &server.send(&with(&other)),
        "invalid_target",
        "resource",
    );
    for text in ["{", "\"", "{\"services\":[\"chat:\"],\"services\":[]}"] {
        let mut body = body.clone();
        body["restrict"] = json!(text);
        let response = server.send(&as_form(&body));
        assert_oauth_error(text, &response, "invalid_request", "restrict");
    }
}

#[test]
fn a_member_of_json_is_sent_once() {
    let server = Server::start(&[]);
    let parent = parent(&server);
    let body = exchange(&parent, &json!({})).to_string();
    let with =
        |more: &str| Request::post(super::PATH, body.replace("{\"", &format!("{{{more},\"")));
    for more in [
        "\"subject_token\":\"x\"",
        "\"restrict\":{},\"restrict\":{}",
        "\"restrict\":{\"services\":[\"chat:\"],\"services\":[]}",
    ] {
        let response = server.send(&with(more));
        assert_oauth_error(
            more,
            &response,
            "invalid_request",
            "must not have a member twice",
        );
    }
    assert_eq!(server.send(&with("\"scope\":null")).status, 200);
}

#[test]
fn every_subject_that_does_not_open_gets_one_answer() {
    let hosts = [("AISBREAKER_PUBLIC_HOSTS", "localhost,b.example")];
    let server = Server::start(&hosts);
    let other_server = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", "another long phrase")]);
    let parent = parent(&server);
    let altered = format!("{}AAAA", &parent[..parent.len() - 4]);
    let rows = [
        altered,
        format!("\"{parent}\""),
        format!("Bearer {parent}"),
        server.mint_at("b.example", &json!({"requestAuthAndQuotas": {}})),
        super::parent(&other_server),
        "aisbreaker_".to_owned(),
        "x".repeat(20_000),
    ];
    let mut answers = Vec::new();
    for subject in &rows {
        let response = server.send(&as_json(&exchange(subject, &json!({}))));
        assert_oauth_error(subject, &response, "invalid_request", "subject_token");
        answers.push(response.text_without_id());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    let line = server.wait_for_log("a cause", |line| line["cause"].is_string());
    assert!(!line.to_string().contains("aisbreaker_"), "{line}");
}

#[test]
fn a_request_without_a_grant_type_mints_as_ever() {
    let server = Server::start(&[]);
    let mint = json!({"requestAuthAndQuotas": {"requestQuotas": ample_quotas()}});
    let mut with_null = mint.clone();
    with_null["grant_type"] = Value::Null;
    for body in [mint, with_null] {
        let response = server.send(&as_json(&body));
        assert_eq!(response.status, 200, "{response:?}");
        assert!(response.json().get("issued_token_type").is_none());
    }
    let parent = parent(&server);
    let body = exchange(&parent, &json!({"grant_type": null}));
    assert_error(
        "JSON",
        &server.send(&as_json(&body)),
        400,
        "requestAuthAndQuotas",
    );
    assert_error("form", &server.send(&as_form(&body)), 400, "grant_type");
}

#[test]
fn no_refusal_repeats_the_key() {
    let server = Server::start(&[]);
    let parent = parent(&server);
    let canaries = Canaries::verbatim(&[("key", &parent[130..])]);
    for (members, ..) in rows() {
        let body = exchange(&parent, &members);
        for request in [as_json(&body), as_form(&body)] {
            let response = server.send(&request);
            canaries.assert_not_in("the response", format!("{response:?}"));
        }
    }
    canaries.assert_not_in("the log", server.log());
}
