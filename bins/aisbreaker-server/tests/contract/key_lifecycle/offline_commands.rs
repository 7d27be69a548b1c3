//! The subcommands `public-key` and `seal`, which need no server and no server key to seal.

use std::time::{Duration, SystemTime};

use aisbreaker_token::{Host, KeyRing, ServerKey};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::support::{ConfigFile, KEY, Request, Server, dummy_call, offline_key, run};

const OTHER_KEY: &str = "b3RoZXIta2V5LWZvci10aGUtdGVzdHMtLTMyLWJ5dGU";
const PROVIDER_SECRET: &str = "sk-sealed-offline-4711";

/// Runs a subcommand that must succeed, and returns what it printed, and its warnings.
fn printed(arguments: &[&str], environment: &[(&str, &str)]) -> (String, String) {
    let output = run(arguments, environment);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    (String::from_utf8(output.stdout).unwrap(), errors)
}

/// Runs a subcommand that must fail, and returns its explanation.
fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    errors
}

fn public_key(server_key: &str) -> String {
    let environment = [("AUTH_ENCRYPTION_KEYPHRASE", server_key)];
    printed(&["public-key"], &environment).0
}

/// Opens a key as the server does, and returns its only secret.
fn secret_in(key: &str) -> String {
    let ring = KeyRing::new(ServerKey::parse(KEY).unwrap()).with_offline_keys();
    let host = Host::parse("localhost").unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(offline_key::seconds_now());
    let opened = ring.open_grant(key, &host, now).unwrap();
    let [entry] = opened.payload().service_secrets.as_slice() else {
        panic!("{opened:?}");
    };
    entry.auth_secret.expose_secret().to_owned()
}

#[test]
fn the_public_key_is_printed_with_its_thumbprint() {
    // Calculated by another implementation, tests/interop/interop.py of aisbreaker-token.
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    let output = public_key(key);

    let lines: Vec<_> = output.lines().collect();
    let jwk: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(
        jwk,
        json!({
            "kty": "OKP",
            "crv": "X25519",
            "x": "oYB-UUCFr6CvBH6GeWz7cMirgtPSfWqqTLEzMfpk1VE",
            "kid": "LFQPHk",
            "use": "enc",
            "alg": "ECDH-ES",
        })
    );
    assert_eq!(lines[1..], ["PjTlySWj3ixbKaHnynMk9WJBdLvq0N1yAzbLd6BSiPQ"]);
    assert!(!output.contains(key));
    let explanation = refused(&["public-key"], &[]);
    assert!(
        explanation.contains("AUTH_ENCRYPTION_KEYPHRASE"),
        "{explanation}"
    );
}

#[test]
fn a_key_sealed_offline_works_at_the_server() {
    let server = Server::start(&[]);
    let jwks = format!("{}/.well-known/jwks.json", server.url());
    let output = public_key(KEY);
    let (jwk, thumbprint) = output.trim_end().split_once('\n').unwrap();
    let as_printed = ConfigFile::new(&output);
    let set = ConfigFile::new(&format!("{{\"keys\":[{jwk}]}}"));
    let sources: [&[&str]; 6] = [
        &["--jwks", &jwks],
        &["--jwks", &jwks, "--thumbprint", thumbprint],
        &["--jwks", set.path()],
        &["--public-key", jwk],
        &["--public-key", as_printed.path()],
        &[
            "--public-key",
            as_printed.path(),
            "--thumbprint",
            thumbprint,
        ],
    ];
    let service = "chat:openai.com=env:THE_SECRET";
    for source in sources {
        let seal = ["seal", "--host", "localhost", "--service", service];
        let arguments = [&seal[..], source, &["--name", "ana", "--expires", "30d"]].concat();

        let (key, _) = printed(&arguments, &[("THE_SECRET", PROVIDER_SECRET)]);

        let key = key.strip_suffix('\n').expect("one line");
        assert!(key.starts_with("aisbreaker_eyJ0eXAi"), "{source:?}");
        assert!(!key.contains('\n'), "the key alone: {source:?}");
        assert_eq!(server.process(key, &dummy_call()).status, 200, "{source:?}");
        assert_eq!(secret_in(key), PROVIDER_SECRET, "{source:?}");
    }
    let plain = printed(&["seal", "--host", "localhost", "--jwks", &jwks], &[]);
    assert!(plain.1.contains("--thumbprint"), "{}", plain.1);
}

#[test]
fn the_secret_is_read_from_a_file_too() {
    let output = public_key(KEY);
    let jwk = output.lines().next().unwrap();
    let file = ConfigFile::new(PROVIDER_SECRET);
    let service = format!("chat:openai.com=file:{}", file.path());
    let arguments = [
        "seal",
        "--host",
        "localhost",
        "--public-key",
        jwk,
        "--service",
        &service,
    ];

    let (key, _) = printed(&arguments, &[]);

    assert_eq!(secret_in(key.trim_end()), PROVIDER_SECRET);
}

#[test]
fn all_options_are_sealed_as_minting_seals_them() {
    let server = Server::start(&[("AISBREAKER_MINT_SECRET", "open sesame")]);
    let output = public_key(KEY);
    let jwk = output.lines().next().unwrap();
    let quotas = json!({
        "perClientRequestLimits": {"requestsPerMinute": 1, "requestsPerHour": 2, "requestsPerDay": 3},
        "globalRequestLimits": {"requestsPerMinute": 4, "requestsPerHour": 5, "requestsPerDay": 6},
    });
    let quotas = quotas.to_string();
    let arguments = [
        "seal",
        "--host",
        "localhost",
        "--public-key",
        jwk,
        "--quotas",
        &quotas,
        "--name",
        "ana",
        "--delegation",
        "0",
        "--alias",
        "fast=chat:openai.com/gpt-4o-mini",
        "--json",
        "--restrict-service",
        "chat:dummy",
        "--expires",
        "2h",
    ];

    let (json, _) = printed(&arguments, &[("AISBREAKER_MINT_SECRET", "open sesame")]);
    let answer: Value = serde_json::from_str(&json).unwrap();
    let without_secret = printed(&arguments, &[]).0;
    let without_secret: Value = serde_json::from_str(&without_secret).unwrap();

    assert_eq!(
        (&answer["name"], &answer["expires_in"]),
        (&json!("ana"), &json!(7_200))
    );
    let quota_of = |answer: &Value| {
        let key = answer["access_token"].as_str().unwrap();
        server.send(&Request::get("/api/v1/quota").bearer(key))
    };
    let state = quota_of(&answer).json();
    assert_eq!(state["keyId"], answer["keyId"]);
    let limits = state["limits"].as_array().unwrap();
    let numbers: Vec<_> = limits
        .iter()
        .map(|limit| limit["limit"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert_eq!(quota_of(&without_secret).status, 401);
}

#[test]
fn nothing_is_sealed_with_another_key_or_against_the_rules() {
    let output = public_key(KEY);
    let (jwk, _) = output.split_once('\n').unwrap();
    let other = public_key(OTHER_KEY);
    let (other_jwk, other_thumbprint) = other.trim_end().split_once('\n').unwrap();
    let two = ConfigFile::new(&format!("{{\"keys\":[{jwk},{other_jwk}]}}"));
    let with = |more: &[&'static str]| {
        let base = ["seal", "--host", "localhost", "--public-key"];
        [&base, &[jwk][..], more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let seal = |source: &[&str]| {
        let base = ["seal", "--host", "localhost"];
        [&base, source]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let rows = [
        (
            seal(&["--public-key", jwk, "--thumbprint", other_thumbprint]),
            "thumbprint",
        ),
        (seal(&["--jwks", two.path()]), "2 keys"),
        (seal(&["--public-key", "/nonexistent"]), "/nonexistent"),
        (seal(&["--public-key", "{}"]), "public key"),
        (
            seal(&["--public-key", &jwk.replace("X25519", "Ed25519")]),
            "crv",
        ),
        (seal(&["--jwks", "http://127.0.0.1:1/"]), "--jwks"),
        (seal(&[]), "--jwks"),
        (
            with(&["--service", "chat:openai.com=sk-secret"]),
            "never the secret itself",
        ),
        (with(&["--expires", "forever"]), "expirationTimeSpan"),
        (with(&["--name", "a\tb"]), "name"),
    ];
    for (arguments, explanation) in rows {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let errors = refused(&arguments, &[]);
        assert!(errors.contains(explanation), "{arguments:?}: {errors}");
        assert!(!errors.contains("sk-secret"), "{errors}");
    }
}
