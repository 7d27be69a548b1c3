//! Introspection (RFC 7662): what a key allows, told to its holder and to the operator.

use serde_json::{Value, json};

use crate::support::{
    Canaries, Request, Response, Server, assert_error, base64, dummy_call, grant, original_keys,
    quotas,
};

const PATH: &str = "/api/v1/oauth/introspect";
const ADMIN_SECRET: &str = "open+sesame: 100%";
const INACTIVE: &[u8] = b"{\"active\":false}";

fn form(body: impl Into<Vec<u8>>) -> Request {
    Request::post(PATH, body).set("Content-Type", "application/x-www-form-urlencoded")
}

/// A question about this key.
fn about(key: &str) -> Request {
    let encoded: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
    form(format!("token={encoded}&token_type_hint=access_token"))
}

fn as_operator(request: Request) -> Request {
    let credentials = base64::encode(format!("any:{ADMIN_SECRET}").as_bytes());
    request.set("Authorization", format!("Basic {credentials}"))
}

fn server() -> Server {
    Server::start(&[("AISBREAKER_ADMIN_SECRET", ADMIN_SECRET)])
}

/// A key of which something is known in every respect.
fn full_key(server: &Server) -> String {
    let secrets = json!([
        {"serviceId": "chat:openai.com", "authSecret": "sk-Fk7wZq3nXv9tRm2bLc8y",
         "url": "https://hidden-nz5xgt8kwp2v.example/", "fallback": "chat:mistral.ai"},
        {"serviceId": "chat:openai.com", "authSecret": "sk-Qm4kDx7pWv2sTn9c"},
        {"serviceId": "chat:mistral.ai", "authSecret": "sk-Rz6jHb3yUe8aLg5o"},
        {"serviceId": "chat:dummy", "authSecret": ""},
        {"serviceId": "", "authSecret": "INVALID"},
    ]);
    let mut minted = grant(&quotas([10, 20, 30], [40, 50, 60]), &secrets);
    minted["name"] = json!("for Ana");
    minted["expirationTimeSpan"] = json!("1h");
    minted["restrict"] = json!([{"services": ["chat:openai.com", "chat:dummy"]}]);
    server.mint(&minted)
}

#[track_caller]
fn answer(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("content-type"), Some("application/json"));
    response.json()
}

#[test]
fn the_holder_and_the_operator_get_everything_but_secrets_and_addresses() {
    let server = server();
    let key = full_key(&server);
    let canaries = Canaries::verbatim(&[
        ("secret", "sk-Fk7wZq3nXv9tRm2bLc8y"),
        ("second secret", "sk-Qm4kDx7pWv2sTn9c"),
        ("url", "hidden-nz5xgt8kwp2v"),
        ("key", &key[130..]),
    ]);
    let rows = [
        about(&key).bearer(&key),
        about(&key).header("x-api-key", &key),
        about(&key).header("api-key", &key),
        as_operator(about(&key)),
    ];
    for request in rows {
        let response = server.send(&request);

        let body = answer(&response);
        let iat = body["iat"].as_u64().unwrap();
        assert!(original_keys::unix_now().abs_diff(iat) < 60, "{body}");
        let quota = Request::get("/api/v1/quota").bearer(&key);
        let expected = json!({
            "active": true, "token_type": "Bearer", "aud": "localhost", "iat": iat,
            "exp": iat + 3_600, "jti": server.send(&quota).json()["keyId"], "name": "for Ana",
            "sealed": false, "ancestors": [], "services": ["chat:openai.com", "chat:dummy"],
            "restrict": [{"services": ["chat:openai.com", "chat:dummy"]}],
            "requestQuotas": quotas([10, 20, 30], [40, 50, 60]),
        });
        assert_eq!(body, expected);
        canaries.assert_not_in("the response", format!("{response:?}"));
    }
    canaries.assert_not_in("the log", server.log());
}

#[test]
fn a_child_names_all_keys_that_it_was_made_from() {
    let server = server();
    let mut keys = vec![full_key(&server)];
    for _ in 0..3 {
        let request = json!({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": keys.last(),
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "restrict": {"services": ["chat:openai.com"]},
        });
        keys.push(server.mint(&request));
    }
    let answers: Vec<_> = keys
        .iter()
        .map(|key| answer(&server.send(&about(key).bearer(key))))
        .collect();
    let ids: Vec<_> = answers.iter().map(|body| body["jti"].clone()).collect();
    for (depth, body) in answers.iter().enumerate() {
        assert_eq!(body["ancestors"], json!(ids[..depth]), "{body}");
        assert_eq!(body["restrict"].as_array().unwrap().len(), depth + 1);
        assert_eq!(body.get("requestQuotas").is_some(), depth == 0, "{body}");
        assert_eq!(body.get("name").is_some(), depth == 0, "{body}");
    }
    assert_eq!(answers[1]["services"], json!(["chat:openai.com"]));
}

#[test]
fn a_key_that_does_not_open_is_inactive_and_nothing_else_is_told() {
    let server = Server::start(&[
        ("AISBREAKER_ADMIN_SECRET", ADMIN_SECRET),
        ("AISBREAKER_PUBLIC_HOSTS", "localhost,b.example"),
    ]);
    let key = full_key(&server);
    let revoked = full_key(&server);
    let revocation = Request::post("/api/v1/oauth/revoke", format!("token={revoked}"))
        .set("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(server.send(&revocation).status, 200);
    let later = json!({
        "requestAuthAndQuotas": {}, "expirationTimeSpan": "390d", "notBefore": in_an_hour(),
    });
    let rows = [
        ("altered", format!("{}AAAA", &key[..key.len() - 4])),
        ("quoted", format!("\"{key}\"")),
        (
            "of another host",
            server.mint_at("b.example", &json!({"requestAuthAndQuotas": {}})),
        ),
        ("not valid yet", server.mint(&later)),
        ("revoked", revoked),
        ("no key", "sk-own".to_owned()),
        ("long", format!("aisbreaker_{}", "x".repeat(20_000))),
    ];
    for (row, token) in rows {
        let response = server.send(&as_operator(about(&token)));
        assert_eq!(answer(&response), json!({"active": false}), "{row}");
        assert_eq!(response.body, INACTIVE, "{row}");
        if token.len() < 10_000 {
            let response = server.send(&about(&token).bearer(&token));
            assert_eq!(response.body, INACTIVE, "{row}: {response:?}");
        }
    }
    assert_eq!(server.process(&key, &dummy_call()).status, 200);
}

fn in_an_hour() -> String {
    let time =
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(original_keys::unix_now() + 3_600);
    humantime::format_rfc3339_seconds(time).to_string()
}

#[test]
fn nobody_else_is_told_anything() {
    let server = server();
    let without_operator = Server::start(&[]);
    let (key, other) = (full_key(&server), full_key(&server));
    let basic = |credentials: &str| format!("Basic {}", base64::encode(credentials.as_bytes()));
    let rows = [
        ("nobody", about(&key)),
        ("another key", about(&key).bearer(&other)),
        ("another key about garbage", about("x").bearer(&other)),
        ("a secret", about(&key).bearer("sk-own")),
        (
            "the operator's secret as bearer",
            about(&key).bearer(ADMIN_SECRET),
        ),
        (
            "a wrong secret",
            about(&key).header("Authorization", basic("any:open sesame")),
        ),
        (
            "the secret as user",
            about(&key).header("Authorization", basic(&format!("{ADMIN_SECRET}:"))),
        ),
        (
            "no secret",
            about(&key).header("Authorization", basic("any:")),
        ),
    ];
    let expected = "only the holder of a key and the operator";
    for (row, request) in &rows {
        let response = server.send(request);
        assert_refused(row, &response, 401, "invalid_client", expected);
        let challenge = response.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic "), "{row}: {challenge}");
    }
    let response = without_operator.send(&as_operator(about(&key)));
    assert_refused("no operator", &response, 401, "invalid_client", expected);
}

#[track_caller]
fn assert_refused(row: &str, response: &Response, status: u16, code: &str, message: &str) {
    assert_eq!(response.status, status, "{row}: {response:?}");
    let body = response.json();
    assert_eq!(body["error"], code, "{row}: {body}");
    let text = body["message"].as_str().unwrap();
    assert!(text.contains(message), "{row}: {text}");
    assert!(body["error_description"].is_string(), "{row}: {body}");
}

#[test]
fn malformed_questions_are_refused() {
    let server = server();
    let key = full_key(&server);
    let rows = [
        (form("").bearer(&key), 400, "token is missing"),
        (form("token=").bearer(&key), 400, "token is missing"),
        (
            form(format!("token={key}&token={key}")).bearer(&key),
            400,
            "token must be sent once",
        ),
        (form("token=%ff").bearer("\u{fffd}"), 200, ""),
        (form([b'x', 0xff]).bearer(&key), 400, "UTF-8"),
        (
            Request::post(PATH, json!({"token": key}).to_string()).bearer(&key),
            400,
            "application/x-www-form-urlencoded",
        ),
        (Request::get(PATH).bearer(&key), 405, ""),
    ];
    for (request, status, message) in rows {
        let response = server.send(&request);
        match status {
            200 => assert_eq!(response.body, INACTIVE, "{response:?}"),
            405 => assert_error("GET", &response, 405, "POST"),
            _ => assert_refused(message, &response, status, "invalid_request", message),
        }
    }
    let preflight = server.send(&Request::new("OPTIONS", PATH));
    assert_eq!(preflight.status, 204);
    let methods = preflight.header("access-control-allow-methods");
    assert_eq!(methods, Some("POST, OPTIONS"));
}

#[test]
fn questions_are_as_few_as_quota_queries() {
    let server = Server::start(&[
        ("AISBREAKER_ADMIN_SECRET", ADMIN_SECRET),
        ("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8"),
    ]);
    let key = full_key(&server);
    let from = |request: Request| request.header("X-Forwarded-For", "192.0.2.1");
    for asked in 0..60 {
        let request = match asked % 3 {
            0 => about(&key).bearer(&key),
            1 => about(&key),
            _ => Request::get("/api/v1/quota").bearer(&key),
        };
        assert_ne!(server.send(&from(request)).status, 429, "request {asked}");
    }
    let refused = server.send(&from(as_operator(about(&key))));
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(
        server.send(&about(&key).bearer(&key)).status,
        200,
        "another client"
    );
}

#[test]
fn keys_of_the_original_server_are_told_about() {
    let vectors = original_keys::vectors();
    let server = Server::start(&original_keys::server_environment(&vectors));
    let now = original_keys::unix_now();
    let mut active = 0;
    for vector in vectors["tokens"].as_array().unwrap() {
        let name = &vector["name"];
        let expiry = vector["claims"]["exp"].as_u64().unwrap_or(0);
        let host = vector["use_with_host_header"].as_str().unwrap();
        let token = vector["token"].as_str().unwrap();
        let body = answer(&server.send(&about(token).bearer(token).set("Host", host)));
        if expiry <= now || vector["upstream_status_when_used"] == 401 {
            assert_eq!(body, json!({"active": false}), "{name}");
            continue;
        }
        assert_eq!(
            (&body["active"], &body["exp"]),
            (&json!(true), &json!(expiry)),
            "{name}"
        );
        active += 1;
    }
    assert!(active > 0, "all keys have expired");
}
