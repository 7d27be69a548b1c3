//! Contract section 3: which keys open where.

use serde_json::{Value, json};

use super::{
    SECOND_KEY,
    bad_keys::{assert_bad_key, call_at},
};
use crate::support::{
    KEY, Provider, Request, Server, assert_error, call, dummy_call, original_keys, run, service,
    service_at,
};

const THIRD_KEY: &str = "dGhpcmQtLWtleS1mb3ItdGhlLXRlc3RzLTMyLWJ5dGU";

#[test]
fn key_is_bound_to_the_minting_host() {
    let server = Server::start(&[]);
    let rows = [
        ("api.example.com", "api.example.com", true),
        ("api.example.com", "API.Example.COM", true),
        ("API.Example.COM", "api.example.com", true),
        ("api.example.com:3000", "api.example.com", true),
        ("api.example.com", "api.example.com:8443", true),
        ("api.example.com", "api.example.com.", true),
        ("api.example.com.:3000", "api.example.com", true),
        ("[::1]:3000", "[::1]", true),
        ("[::1]", "[0:0:0::1]:80", true),
        ("127.0.0.1:3000", "127.0.0.1", true),
        ("api.example.com", "api.example.org", false),
        ("api.example.com", "example.com", false),
        ("api.example.com", "www.api.example.com", false),
        ("api.example.com", "api.example.com.evil.example", false),
        ("localhost", "127.0.0.1", false),
        ("127.0.0.1", "[::ffff:127.0.0.1]", false),
        ("[::1]", "localhost", false),
    ];

    for (minted_at, used_at, opens) in rows {
        let row = format!("{minted_at} at {used_at}");
        let key = server.mint_at(minted_at, &json!({"requestAuthAndQuotas": {}}));
        let response = call_at(&server, used_at, &key);
        if opens {
            assert_eq!(response.status, 200, "{row}: {response:?}");
        } else {
            assert_bad_key(&row, &response);
        }
    }
}

#[test]
fn forwarded_host_counts_only_from_a_trusted_proxy() {
    let trusting = Server::start(&[("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8")]);
    let distrusting = Server::start(&[]);
    let key = trusting.mint_at("api.example.com", &json!({"requestAuthAndQuotas": {}}));
    let status_of_call = |server: &Server, host: &str, forwarded: &str| {
        let request = Request::process(&dummy_call())
            .header("Host", host)
            .header("X-Forwarded-Host", forwarded)
            .bearer(&key);
        server.send(&request).status
    };

    assert_eq!(
        status_of_call(&trusting, "inner.example", "api.example.com"),
        200
    );
    assert_eq!(
        status_of_call(&trusting, "api.example.com", "inner.example"),
        401
    );
    assert_eq!(
        status_of_call(&distrusting, "inner.example", "api.example.com"),
        401
    );
    assert_eq!(
        status_of_call(&distrusting, "api.example.com", "inner.example"),
        200
    );
}

#[test]
fn retired_server_key_opens_old_keys_while_configured() {
    let body = json!({"requestAuthAndQuotas": {}});
    let environment = |sealing, opening| {
        [
            ("AUTH_ENCRYPTION_KEYPHRASE", sealing),
            ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", opening),
        ]
    };
    let opening = format!("{SECOND_KEY}  {KEY}");
    let first = Server::start(&environment(KEY, ""));
    let rotated = Server::start(&environment(THIRD_KEY, &opening));
    let without_first_key = Server::start(&environment(THIRD_KEY, SECOND_KEY));
    let old = first.mint(&body);
    let new = rotated.mint(&body);

    assert_eq!(
        call_at(&rotated, "localhost", &old).status,
        200,
        "the old key after the rotation"
    );
    assert_eq!(
        call_at(&rotated, "localhost", &new).status,
        200,
        "the new key after the rotation"
    );
    assert_eq!(
        call_at(&without_first_key, "localhost", &new).status,
        200,
        "the new key on another server"
    );
    assert_bad_key(
        "the new key before the rotation",
        &call_at(&first, "localhost", &new),
    );
    assert_bad_key(
        "the old key where its server key is not configured",
        &call_at(&without_first_key, "localhost", &old),
    );
}

#[test]
fn keygen_key_survives_a_restart() {
    let generated = run(&["keygen"], &[]);
    let text = String::from_utf8(generated.stdout).unwrap();
    let key = text.strip_suffix('\n').unwrap();
    assert!(generated.status.success());
    assert_eq!(key.len(), 43, "32 bytes in base64url: {key}");
    assert_ne!(
        run(&["keygen"], &[]).stdout,
        text.as_bytes(),
        "keys are unique"
    );

    let environment = [("AUTH_ENCRYPTION_KEYPHRASE", key)];
    let minted = Server::start(&environment).mint(&json!({"requestAuthAndQuotas": {}}));

    assert_eq!(
        call_at(&Server::start(&environment), "localhost", &minted).status,
        200
    );
}

#[test]
fn random_server_key_ends_with_its_process_and_warns() {
    let start = || Server::start_with(&["--listen", "127.0.0.1:0"], &[]);
    let server = start();

    let key = server.mint(&json!({"requestAuthAndQuotas": {}}));

    server.wait_for_log("a warning", |line| {
        line["level"] == "WARN"
            && line["message"]
                .as_str()
                .unwrap()
                .contains("AUTH_ENCRYPTION_KEYPHRASE")
    });
    assert_eq!(call_at(&server, "localhost", &key).status, 200);
    assert_bad_key("another process", &call_at(&start(), "localhost", &key));
}

#[test]
fn keys_of_the_original_server_still_open() {
    let now = original_keys::unix_now();
    let vectors = original_keys::vectors();
    let environment = original_keys::server_environment(&vectors);
    let server = Server::start(&environment);
    let without_previous = Server::start(&environment[1..]);
    assert_eq!(
        environment[1].0, "AUTH_ENCRYPTION_KEYPHRASE",
        "the environment is not in alphabetical order"
    );
    let all_vectors = ["tokens", "extra_tokens"]
        .map(|list| vectors[list].as_array().unwrap().clone())
        .concat();

    let mut opened = 0;
    for vector in all_vectors {
        let name = vector["name"].as_str().unwrap();
        let host = vector["use_with_host_header"].as_str().unwrap();
        let key = vector["token"].as_str().unwrap();
        let is_expired = vector["claims"]["exp"]
            .as_u64()
            .is_some_and(|expiry| expiry <= now);
        let expected = match vector["upstream_status_when_used"].as_u64().unwrap() {
            _ if is_expired => 401,
            // The original server refused a key without quotas. Here, the default quotas apply.
            429 if name == "extra-no-quotas" => 200,
            status => status,
        };
        let response = call_at(&server, host, key);
        assert_eq!(u64::from(response.status), expected, "{name}: {response:?}");
        if expected == 401 {
            assert_bad_key(name, &response);
            continue;
        }
        opened += 1;
        assert_bad_key(
            &format!("{name} elsewhere"),
            &call_at(&server, "elsewhere.example", key),
        );
        let is_previous = vector["minted_with_keyphrase"] != environment[1].1;
        let status = call_at(&without_previous, host, key).status;
        assert_eq!(
            status,
            if is_previous { 401 } else { 200 },
            "{name} without the additional phrase"
        );
    }
    assert!(
        opened >= 1,
        "not even the key that lasts a hundred years opens"
    );
}

#[test]
fn secrets_and_quotas_of_original_keys_apply() {
    let vectors = original_keys::vectors();
    let vector = vectors["extra_tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(|vector| vector["name"] == "extra-100y")
        .unwrap();
    let key = vector["token"].as_str().unwrap();
    let phrase = vectors["server_env"]["AUTH_ENCRYPTION_KEYPHRASE"]
        .as_str()
        .unwrap();
    let server = Server::with_loopback_egress(&[("AUTH_ENCRYPTION_KEYPHRASE", phrase)]);
    let call_with_key = |service: Value| {
        let request = Request::process(&call(service, "Hi")).set("Host", "api.example.com");
        server.send(&request.bearer(key))
    };

    let response = call_with_key(service("chat:dummy"));
    let policy = response.header("ratelimit-policy").unwrap();
    for part in [
        "q=60;w=60",
        "q=600;w=3600",
        "q=600;w=86400",
        "q=120;w=60",
        "q=1200;w=3600",
        "q=1200;w=86400",
    ] {
        assert!(policy.contains(part), "{part} is not in {policy}");
    }
    // A secret without an address is bound to the service's own.
    let trap = Provider::trap();
    assert_error(
        "elsewhere",
        &call_with_key(service_at("chat:openai.com", &trap.url())),
        403,
        "",
    );
    assert_eq!(trap.connections(), 0);
}
