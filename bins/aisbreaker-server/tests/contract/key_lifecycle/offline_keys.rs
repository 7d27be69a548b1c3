//! Keys that were sealed with the server's public key, by code that is not the server's.

use serde_json::{Value, json};

use crate::{
    own_api::bad_keys::assert_bad_key,
    support::{
        KEY, Provider, Request, Server, ample_quotas, call, dummy_call, grant, offline_key, quotas,
        service_at,
    },
};

const OTHER_KEY: &str = "b3RoZXIta2V5LWZvci10aGUtdGVzdHMtLTMyLWJ5dGU";

fn seal(server: &Server, members: &Value) -> String {
    offline_key::seal(server, &offline_key::claims(members))
}

fn key_id(server: &Server, key: &str) -> Value {
    server
        .send(&Request::get("/api/v1/quota").bearer(key))
        .json()["keyId"]
        .clone()
}

#[test]
fn a_secret_that_was_sealed_offline_reaches_its_provider() {
    let provider = Provider::with_response(200, json!({"choices": []}));
    let server = Server::with_loopback_egress(&[]);
    let entry = json!({
        "serviceId": "chat:openai.com",
        "authSecret": "sk-offline-4711",
        "url": provider.url(),
    });
    let key = seal(&server, &json!({"serviceSecrets": [entry]}));

    let service = service_at("chat:openai.com/gpt-4o", &provider.url());
    server.process(&key, &call(service, "Hi"));

    let request = provider.only_request();
    assert_eq!(
        request.header("authorization"),
        Some("Bearer sk-offline-4711")
    );
}

#[test]
fn an_offline_key_has_its_own_quotas_and_is_named_by_its_text() {
    let server = Server::start(&[]);
    let limited = json!({"requestQuotas": quotas([2, 2, 2], [2, 2, 2]), "name": "laptop"});
    let key = seal(&server, &limited);

    let statuses = [(); 3].map(|()| server.process(&key, &dummy_call()).status);

    assert_eq!(statuses, [200, 200, 429]);
    let id = key_id(&server, &key);
    assert_eq!(id.as_str().unwrap().len(), 43, "a SHA-256");
    let response = server.process(&key, &dummy_call());
    let request_id = response.header("x-request-id").unwrap();
    assert_eq!(server.wait_for_request(request_id)["key"], id);
}

/// A sealer knows the id of a victim's key, from a log or from an answer.
#[test]
fn offline_keys_with_the_id_of_another_key_change_nothing_for_it() {
    let server = Server::start(&[]);
    let ten = quotas([10, 10, 10], [10, 10, 10]);
    let victim = server.mint(&grant(&ten, &json!([])));
    let quota_of_victim = || {
        let request = Request::get("/api/v1/quota").bearer(&victim);
        server.send(&request).json()["limits"].clone()
    };
    assert_eq!(server.process(&victim, &dummy_call()).status, 200);
    let id = key_id(&server, &victim);
    let remaining = |limits: &Value| {
        let limits = limits.as_array().unwrap().iter();
        limits
            .map(|limit| limit["remaining"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let before = quota_of_victim();

    let thieves = ["a", "b"].map(|name| {
        seal(
            &server,
            &json!({"jti": id, "name": name, "requestQuotas": ten}),
        )
    });
    let forged_child = seal(
        &server,
        &json!({"up": [{"id": id, "iat": 1_800_000_000}], "requestQuotas": ten}),
    );

    for thief in &thieves {
        assert_eq!(server.process(thief, &dummy_call()).status, 200);
        assert_ne!(key_id(&server, thief), id);
    }
    assert_ne!(key_id(&server, &thieves[0]), key_id(&server, &thieves[1]));
    assert_bad_key("ancestors", &server.process(&forged_child, &dummy_call()));
    assert_eq!(remaining(&quota_of_victim()), remaining(&before));
    assert_eq!(server.process(&victim, &dummy_call()).status, 200);
}

#[test]
fn every_server_key_that_opens_opens_what_was_sealed_for_it() {
    let old = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", OTHER_KEY)]);
    let key = seal(&old, &json!({}));
    let rotated = Server::start(&[("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", OTHER_KEY)]);
    let other = Server::start(&[]);

    assert_eq!(rotated.process(&key, &dummy_call()).status, 200);
    assert_bad_key("another server", &other.process(&key, &dummy_call()));
}

/// What minting would refuse, and what is no key at all, gets the response of every bad key.
#[test]
fn offline_keys_that_minting_would_refuse_are_bad_keys() {
    let restricted = [
        ("AISBREAKER_MINT_SECRET", "open sesame"),
        ("AISBREAKER_MINT_SERVICES", "chat:openai.com"),
        ("AISBREAKER_MAX_EXPIRATION", "1h"),
    ];
    let server = Server::start(&restricted);
    let public_key = offline_key::public_key(&server);
    let now = offline_key::seconds_now();
    let with = |members: Value| {
        let mut claims = offline_key::claims(&json!({"clientSecret": "open sesame"}));
        let object = claims.as_object_mut().unwrap();
        object.extend(members.as_object().unwrap().clone());
        claims
    };
    let without_secret = offline_key::claims(&json!({}));
    let secret_for = |id: &str| json!({"serviceSecrets": [{"serviceId": id, "authSecret": "sk"}]});
    let good = [
        ("nothing but the secret", with(json!({}))),
        (
            "an allowed service",
            with(secret_for("chat:openai.com/gpt-4o")),
        ),
        ("sealed a minute ahead", with(json!({"iat": now + 50}))),
    ];
    let bad = [
        ("no secret", without_secret),
        (
            "another secret",
            with(json!({"clientSecret": "open sesamy"})),
        ),
        (
            "a secret that is no text",
            with(json!({"clientSecret": null})),
        ),
        ("another service", with(secret_for("chat:groq.com"))),
        ("every service", with(secret_for(""))),
        (
            "a second too long",
            with(json!({"exp": now + 3_601, "iat": now})),
        ),
        ("backdated", with(json!({"iat": now - 60}))),
        (
            "sealed later",
            with(json!({"iat": now + 3_000, "exp": now + 3_600})),
        ),
        ("without iat", with(json!({"iat": null}))),
        ("expired", with(json!({"iat": now - 60, "exp": now - 1}))),
        ("another host", with(json!({"aud": "elsewhere.example"}))),
        ("not yet valid", with(json!({"nbf": now + 3_000}))),
        ("an unknown member", with(json!({"restrictions": []}))),
        (
            "an unknown restriction",
            with(json!({"restrict": [{"models": []}]})),
        ),
        ("a long name", with(json!({"name": "x".repeat(65)}))),
        (
            "a url that is none",
            with(json!({"serviceSecrets": [
                {"serviceId": "chat:openai.com", "authSecret": "sk", "url": "openai.com"}
            ]})),
        ),
        ("ancestors", with(json!({"up": []}))),
        ("a list", json!([])),
    ];

    for (row, claims) in good {
        let key = offline_key::seal_for(&public_key, &claims);
        let response = server.send(&Request::get("/api/v1/quota").bearer(&key));
        assert_eq!(response.status, 200, "{row}: {response:?}");
    }
    for (row, claims) in bad {
        let key = offline_key::seal_for(&public_key, &claims);
        assert_bad_key(row, &server.process(&key, &dummy_call()));
    }
    assert!(!server.log().contains("open sesam"));
}

fn exchange(key: &str, restrict: &Value) -> Request {
    let body = json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": key,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "restrict": restrict,
    });
    Request::post("/api/v1/oauth/token", body.to_string())
}

/// Who uses an offline key often exchanges it for one that costs the server less to open.
#[test]
fn an_offline_key_is_exchanged_for_one_of_the_server() {
    let server = Server::start(&[]);
    let limits = quotas([3, 3, 3], [3, 3, 3]);
    let key = seal(&server, &json!({"requestQuotas": limits}));

    let response = server.send(&exchange(&key, &json!({"services": ["chat:dummy"]})));

    assert_eq!(response.status, 200, "{response:?}");
    let minted = response.json()["access_token"].as_str().unwrap().to_owned();
    assert!(
        minted.starts_with("aisbreaker_eyJ2ZXIi"),
        "a header of the server"
    );
    let statuses = [&minted, &key, &minted, &key, &minted]
        .map(|key| server.process(key, &dummy_call()).status);
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}

#[test]
fn the_failures_of_offline_keys_count_wherever_they_are_sent() {
    let server = Server::start(&[]);
    let bad = seal(&server, &json!({"name": ""}));
    let good = seal(&server, &json!({}));
    let status = |request: &Request| server.send(request).status;

    for _ in 0..20 {
        let as_subject = exchange(&bad, &json!({}));
        let in_quota = Request::get("/api/v1/quota").bearer(&bad);
        let in_process = Request::process(&dummy_call()).bearer(&bad);
        assert_eq!(
            [&as_subject, &in_quota, &in_process].map(status),
            [400, 401, 401]
        );
    }

    assert_eq!(status(&exchange(&good, &json!({}))), 400);
    assert_bad_key("good", &server.process(&good, &dummy_call()));
    // Nobody has looked, so that it is neither active nor inactive.
    let form = format!("token={good}");
    let question = Request::post("/api/v1/oauth/introspect", form)
        .set("Content-Type", "application/x-www-form-urlencoded")
        .bearer(&good);
    assert_eq!(status(&question), 429);
}

/// Else anybody could reach the operator's own network, since anybody can seal an address.
#[test]
fn an_offline_key_opens_no_address_that_minting_would_not_seal() {
    let provider = Provider::with_response(200, json!({"choices": []}));
    let allow = ("AISBREAKER_EGRESS_ALLOW", "127.0.0.0/8");
    let for_callers = ("AISBREAKER_EGRESS_ALLOW_CALLERS", "true");
    let of_a_minter = ("AISBREAKER_MINT_SECRET", "open sesame");
    let entry = json!({
        "serviceId": "chat:openai.com",
        "authSecret": "sk",
        "url": provider.url(),
    });
    let members = json!({"serviceSecrets": [entry], "clientSecret": "open sesame"});
    for (row, environment, opens) in [
        ("open mint", vec![allow], false),
        ("for callers", vec![allow, for_callers], true),
        ("restricted mint", vec![allow, of_a_minter], true),
    ] {
        let server = Server::start(&environment);
        let minted = grant(&ample_quotas(), &members["serviceSecrets"]);
        let mut request = minted.clone();
        request["clientSecret"] = json!("open sesame");
        let mints = server.send(&Request::mint(&request)).status == 200;

        let response = server.process(&seal(&server, &members), &dummy_call());

        assert_eq!(mints, opens, "minting: {row}");
        assert_eq!(response.status == 200, opens, "{row}: {response:?}");
        if !opens {
            assert_bad_key(row, &response);
        }
    }
}

#[test]
fn a_client_whose_offline_keys_fail_too_often_is_refused_unread() {
    let server = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", KEY)]);
    let mut forged_for = offline_key::public_key(&server);
    let other = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", OTHER_KEY)]);
    forged_for["x"] = offline_key::public_key(&other)["x"].clone();
    let forged = offline_key::seal_for(&forged_for, &offline_key::claims(&json!({})));
    let good = seal(&server, &json!({}));
    let minted = server.mint(&grant(&ample_quotas(), &json!([])));
    assert_eq!(server.process(&good, &dummy_call()).status, 200);

    for attempt in 0..100 {
        let response = server.process(&forged, &dummy_call());
        assert_bad_key(&format!("attempt {attempt}"), &response);
    }

    let unread = server.process(&good, &dummy_call());
    assert_bad_key("a good one", &unread);
    assert_eq!(server.process(&minted, &dummy_call()).status, 200);
    assert_eq!(server.process("", &dummy_call()).status, 200);
    // A line may be logged after the response has arrived.
    let (mut opened, mut unopened) = (0, 0);
    server.wait_for_log("all refusals", |line| {
        let cause = line["cause"].as_str().unwrap_or_default();
        opened += u32::from(cause.contains("key is not authentic"));
        unopened += u32::from(cause.contains("failed too often; not opened"));
        opened + unopened == 101
    });
    assert_eq!((opened, unopened), (60, 41));
}
