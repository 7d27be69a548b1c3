//! The token exchange (RFC 8693): narrower keys from a key.

mod errors;
mod shared_quotas;

use serde_json::{Value, json};

use super::revoke;
use crate::support::{
    Canaries, Provider, Request, Response, Server, ample_quotas, assert_error, call, dummy_call,
    grant, offline_key, original_keys, quotas, service,
};

const PATH: &str = "/api/v1/oauth/token";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The members of an exchange of this key, with these members over them; `null` removes one.
fn exchange(parent: &str, members: &Value) -> Value {
    let mut body = json!({
        "grant_type": GRANT_TYPE, "subject_token": parent, "subject_token_type": ACCESS_TOKEN,
    });
    let body_members = body.as_object_mut().unwrap();
    for (name, value) in members.as_object().unwrap() {
        if value.is_null() {
            body_members.remove(name);
        } else {
            body_members.insert(name.clone(), value.clone());
        }
    }
    body
}

fn as_json(body: &Value) -> Request {
    Request::post(PATH, body.to_string())
}

/// The same members as a form, in which objects and lists are JSON text.
fn as_form(body: &Value) -> Request {
    let mut pairs = Vec::new();
    for (name, value) in body.as_object().unwrap() {
        let text = match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string(),
        };
        pairs.push(format!("{name}={}", percent_encoded(&text)));
    }
    form(pairs.join("&"))
}

fn form(body: impl Into<Vec<u8>>) -> Request {
    Request::post(PATH, body).set("Content-Type", "application/x-www-form-urlencoded")
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Exchanges a key, and returns the narrower one.
#[track_caller]
fn child(server: &Server, parent: &str, members: &Value) -> String {
    let response = server.send(&as_json(&exchange(parent, members)));
    assert_eq!(response.status, 200, "{response:?}");
    key_in(&response)
}

#[track_caller]
fn key_in(response: &Response) -> String {
    let key = response.json()["access_token"].clone();
    key.as_str().expect("a key").to_owned()
}

fn quota(server: &Server, key: &str) -> Value {
    server
        .send(&Request::get("/api/v1/quota").bearer(key))
        .json()
}

fn parent(server: &Server) -> String {
    server.mint_with_secrets(&json!([{"serviceId": "chat:dummy", "authSecret": ""}]))
}

#[test]
fn json_and_form_get_a_key_that_works() {
    let server = Server::start(&[]);
    let parent = parent(&server);
    let parent_id = quota(&server, &parent)["keyId"].clone();
    let members = json!({
        "expirationTimeSpan": "1h", "name": "for Ana", "delegation": 1,
        "restrict": {"services": ["chat:dummy"]},
        "requestQuotas": quotas([7, 70, 700], [8, 80, 800]),
        "requested_token_type": ACCESS_TOKEN, "resource": "https://localhost/api/v1/",
        "audience": "localhost",
    });
    let body = exchange(&parent, &members);
    for request in [as_json(&body), as_form(&body)] {
        let response = server.send(&request);

        assert_eq!(response.status, 200, "{response:?}");
        let answer = response.json();
        let key_id = answer["keyId"].as_str().unwrap();
        let key = key_in(&response);
        let expected = json!({
            "access_token": key, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer",
            "expires_in": 3_600, "keyId": key_id, "name": "for Ana",
        });
        assert_eq!(answer, expected);
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(server.process(&key, &dummy_call()).status, 200);
        assert_eq!(quota(&server, &key)["keyId"], key_id);
        let line = server.wait_for_request(response.header("x-request-id").unwrap());
        assert_eq!(
            (&line["key"], &line["parent"]),
            (&json!(key_id), &parent_id)
        );
    }
}

#[test]
fn a_child_has_no_more_time_than_its_parent() {
    let server = Server::start(&[]);
    let minted = json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": "90m"});
    let parent = server.mint(&minted);
    let rows = [
        (json!({}), 5_390..=5_400),
        (json!({"expirationTimeSpan": "1h"}), 3_600..=3_600),
        (json!({"expirationTimeSpan": "90m"}), 5_390..=5_400),
        (json!({"expirationTimeSpan": "365d"}), 5_390..=5_400),
    ];
    for (members, expected) in rows {
        let response = server.send(&as_json(&exchange(&parent, &members)));
        let seconds = response.json()["expires_in"].as_u64().unwrap();
        assert!(expected.contains(&seconds), "{members}: {seconds}");
        let quota = quota(&server, &key_in(&response));
        let left = quota["expiresInSeconds"].as_u64().unwrap();
        assert!((seconds - 10..=seconds).contains(&left), "{quota}");
    }
}

#[test]
fn a_child_that_begins_later_does_not_open_yet() {
    let server = Server::start(&[]);
    let minted = json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": "390d"});
    let parent = server.mint(&minted);
    let time = |seconds| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        humantime::format_rfc3339_seconds(time).to_string()
    };
    let later = time(original_keys::unix_now() + 3_600);

    let ahead = child(
        &server,
        &parent,
        &json!({"notBefore": later, "expirationTimeSpan": "2d"}),
    );
    let past = child(&server, &parent, &json!({"notBefore": time(0)}));

    assert_eq!(server.process(&ahead, &dummy_call()).status, 401);
    assert_eq!(server.process(&past, &dummy_call()).status, 200);
    let request = exchange(&ahead, &json!({}));
    assert_eq!(server.send(&as_json(&request)).status, 400);
}

#[test]
fn a_child_reaches_nothing_that_its_restrictions_do_not_allow() {
    let provider = Provider::with_response(200, crate::support::openai::completion("yes"));
    let other = Provider::with_response(200, crate::support::openai::completion("no"));
    let server = Server::with_loopback_egress(&[]);
    let entry = |id: &str, secret: &str, url: String| json!({"serviceId": id, "authSecret": secret, "url": url});
    let mut secrets = vec![
        entry("chat:openai.com", "sk-canary-of-the-one", provider.url()),
        entry("chat:mistral.ai", "sk-canary-of-the-other", other.url()),
        json!({"serviceId": "", "authSecret": "INVALID"}),
    ];
    secrets[0]["fallback"] = json!("chat:mistral.ai/large");
    let parent = server.mint_with_secrets(&json!(secrets));
    let restrict = json!({"restrict": {"services": ["chat:openai.com"]}});
    let child = child(&server, &parent, &restrict);
    assert!(child.len() < parent.len() + 60, "the other secret is gone");

    let allowed = server.process(&child, &call(service("chat:openai.com/gpt-4"), "Hi"));
    let refused = server.process(&child, &call(service("chat:mistral.ai/large"), "Hi"));

    assert_eq!(allowed.content(), "yes");
    assert_eq!(
        provider.only_request().header("authorization"),
        Some("Bearer sk-canary-of-the-one")
    );
    assert_error("the other service", &refused, 403, "services");
    assert_eq!(other.connections(), 0);
    let grandchild = json!({"restrict": {"services": ["chat:"]}});
    let grandchild = self::child(&server, &child, &grandchild);
    let refused = server.process(&grandchild, &call(service("chat:mistral.ai/large"), "Hi"));
    assert_error("a wider restriction", &refused, 403, "services");
    let canaries = Canaries::verbatim(&[("one", "sk-canary-of-the-one")]);
    canaries.assert_not_in("the log", server.log());
}

#[test]
fn delegation_ends_at_the_third_child_and_where_it_is_forbidden() {
    let server = Server::start(&[]);
    let mint =
        |levels: Value| server.mint(&json!({"requestAuthAndQuotas": {}, "delegation": levels}));
    let rows = [
        (mint(Value::Null), json!({}), 3),
        (mint(json!(0)), json!({}), 0),
        (mint(json!(2)), json!({}), 2),
        (mint(json!(2)), json!({"delegation": 3}), 2),
        (mint(Value::Null), json!({"delegation": 0}), 1),
    ];
    for (mut key, members, expected) in rows {
        let mut made = 0;
        let refused = loop {
            let response = server.send(&as_json(&exchange(&key, &members)));
            if response.status != 200 {
                break response;
            }
            key = key_in(&response);
            made += 1;
        };
        assert_eq!(made, expected, "{members}: {refused:?}");
        assert_eq!(refused.status, 400, "{refused:?}");
        assert_eq!(refused.json()["error"], "invalid_request");
        assert_eq!(server.process(&key, &dummy_call()).status, 200);
    }
}

#[test]
fn whoever_has_a_key_may_narrow_it_where_minting_takes_a_secret() {
    let environment = [("AISBREAKER_MINT_SECRET", "open sesame")];
    let server = Server::start(&environment);
    let mut minted = grant(&ample_quotas(), &json!([]));
    minted["clientSecret"] = json!("open sesame");
    let parent = server.mint(&minted);

    for members in [
        json!({}),
        json!({"client_id": "me", "client_secret": "wrong"}),
    ] {
        let response = server.send(&as_json(&exchange(&parent, &members)));
        assert_eq!(response.status, 200, "{response:?}");
        assert!(response.json().get("warnings").is_none(), "{response:?}");
    }
    let basic = as_json(&exchange(&parent, &json!({}))).header("Authorization", "Basic eDp5");
    assert_eq!(server.send(&basic).status, 200);
}

#[test]
fn what_is_not_known_is_named_in_warnings() {
    let server = Server::start(&[]);
    let parent = parent(&server);
    let mut limits = ample_quotas();
    limits["perHour"] = json!(1);
    let members = json!({"restrictions": {"services": []}, "requestQuotas": limits});
    let body = exchange(&parent, &members);

    for request in [as_json(&body), as_form(&body)] {
        let warnings = server.send(&request).json()["warnings"].clone();

        let expected = json!([
            "requestQuotas.perHour is not known and was ignored",
            "restrictions is not known and was ignored",
        ]);
        assert_eq!(warnings, expected);
    }
}

#[test]
fn keys_of_the_original_server_are_narrowed_as_well() {
    let vectors = original_keys::vectors();
    let server = Server::start(&original_keys::server_environment(&vectors));
    let now = original_keys::unix_now();

    let mut narrowed = 0;
    for vector in vectors["tokens"].as_array().unwrap() {
        let name = &vector["name"];
        let expiry = vector["claims"]["exp"].as_u64().unwrap_or(0);
        let host = vector["use_with_host_header"].as_str().unwrap();
        let token = vector["token"].as_str().unwrap();
        let members = json!({"restrict": {"services": []}});
        let request = as_json(&exchange(token, &members)).set("Host", host);
        let response = server.send(&request);
        if expiry <= now || vector["upstream_status_when_used"] == 401 {
            assert_eq!(response.status, 400, "{name}: {response:?}");
            continue;
        }
        assert_eq!(response.status, 200, "{name}: {response:?}");
        let key = key_in(&response);
        let refused = server.send(
            &Request::process(&dummy_call())
                .bearer(&key)
                .set("Host", host),
        );
        assert_error(&format!("{name}"), &refused, 403, "services");
        narrowed += 1;
    }
    assert!(narrowed > 0, "all keys have expired");
}

#[test]
fn a_key_that_was_sealed_offline_becomes_one_that_opens_fast() {
    let server = Server::start(&[]);
    let limited = json!({"requestQuotas": quotas([2; 3], [2; 3])});
    let offline = offline_key::seal(&server, &offline_key::claims(&limited));
    let narrower = child(&server, &offline, &json!({"name": "fast"}));

    assert!(narrower.len() < offline.len() + 200, "{narrower}");
    let statuses =
        [&narrower, &offline, &narrower].map(|key| server.process(key, &dummy_call()).status);
    assert_eq!(statuses, [200, 200, 429]);
    let id = quota(&server, &offline)["keyId"].clone();
    assert_eq!(quota(&server, &narrower)["ancestors"][0]["keyId"], id);
    for (key, is_sealed) in [(&offline, true), (&narrower, false)] {
        let about = form(format!("token={key}")).path("/api/v1/oauth/introspect");
        let answer = server.send(&about.bearer(key)).json();
        assert_eq!(answer["sealed"], is_sealed, "{answer}");
    }
}

#[test]
fn a_revoked_key_has_no_new_children_and_ends_those_that_it_has() {
    let server = Server::start(&[]);
    let parent = parent(&server);
    let between = child(&server, &parent, &json!({}));
    let grandchild = child(&server, &between, &json!({}));
    let (sibling, other) = (child(&server, &parent, &json!({})), self::parent(&server));

    assert_eq!(revoke(&server, &between).status, 200);

    let accepted = [&parent, &between, &grandchild, &sibling, &other]
        .map(|key| server.process(key, &dummy_call()).status);
    assert_eq!(accepted, [200, 401, 401, 200, 200]);
    for key in [&between, &grandchild] {
        let response = server.send(&as_json(&exchange(key, &json!({}))));
        assert_eq!(response.status, 400, "{response:?}");
        assert_eq!(response.json()["error"], "invalid_request");
    }
}

#[test]
fn an_exchange_is_charged_as_minting_is() {
    let limits = quotas([1_000; 3], [1_000, 1_000, 3]).to_string();
    let server = Server::start(&[("AISBREAKER_MINT_QUOTAS", &limits)]);
    let parent = parent(&server);
    let request = exchange(&parent, &json!({}));
    let malformed = exchange(&parent, &json!({"restrict": 1}));
    assert_eq!(server.send(&as_json(&malformed)).status, 400);
    let first = server.send(&as_json(&request));
    let unknown = server.send(&as_form(&exchange("aisbreaker_x", &json!({}))));
    let third = server.send(&as_form(&request));

    assert_eq!(
        first.header("x-ratelimit-remaining-requests"),
        Some("1"),
        "{first:?}"
    );
    assert_eq!(unknown.status, 400);
    assert_eq!(third.status, 429, "{third:?}");
    assert!(third.header("retry-after").is_some());
}
