//! An independent implementation (`interop/interop.py`, built on joserfc for Python) opens keys of
//! this crate, and this crate opens its keys.
//!
//! The tests need `python3`, or the interpreter in `AISBREAKER_PYTHON`, with the packages of
//! `interop/requirements.txt`. Without them the tests are skipped, unless
//! `AISBREAKER_REQUIRE_INTEROP` is `1`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot be set up must fail"
)]

use std::{
    env,
    io::{self, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use aisbreaker_token::{Host, KeyRing, ServerKey};
use serde_json::{Value, json};

const RAW: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const PHRASE: &str = "correct horse bättery staple 🔑";
const NOW: u64 = 1_795_396_965;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn host() -> Host {
    Host::parse("api.example.com").unwrap()
}

fn python() -> Command {
    let interpreter = env::var_os("AISBREAKER_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(interpreter);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop"));
    command
}

fn is_missing() -> bool {
    let modules = "import argon2, cryptography, joserfc, Crypto";
    let found = python()
        .args(["-c", modules])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let is_required = env::var_os("AISBREAKER_REQUIRE_INTEROP").is_some_and(|value| value == "1");
    assert!(
        found || !is_required,
        "the packages of tests/interop/requirements.txt are not installed"
    );
    if !found {
        // Written directly, since the test harness hides the output of `eprintln!`.
        let skipped =
            "\n!!! SKIPPED: the packages of tests/interop/requirements.txt are not installed\n\n";
        io::stderr().write_all(skipped.as_bytes()).unwrap();
    }
    !found
}

fn run_interop(requests: &Value) -> Vec<Value> {
    let mut command = python();
    let mut child = command
        .arg("interop.py")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(requests.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "interop.py failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn python_opens_what_we_seal() {
    if is_missing() {
        return;
    }
    let payload = json!({
        "requestQuotas": null,
        "serviceSecrets": [{"serviceId": "", "authSecret": "ü\"\\🔑"}],
    });
    let servers = [RAW, PHRASE].map(|text| (text, KeyRing::new(ServerKey::parse(text).unwrap())));
    let sealed = servers.each_ref().map(|(_, ring)| {
        ring.seal(&payload, &host(), now(), Duration::from_secs(60))
            .unwrap()
    });
    let requests: Vec<_> = servers
        .iter()
        .zip(&sealed)
        .map(|((text, _), key)| json!({"do": "open", "server_key": text, "key": key.expose()}))
        .collect();

    let responses = run_interop(&requests.into());

    for (((text, ring), key), response) in servers.iter().zip(&sealed).zip(responses) {
        let kid = ring.sealing_key_id().to_string();
        let header = json!({
            "ver": "aisbreaker.org/jwt/v2",
            "typ": "JWT",
            "alg": "dir",
            "enc": "XC20P",
            "kid": kid,
        });
        assert_eq!(response["header"], header, "{text}");
        let mut claims = payload.clone();
        claims["aud"] = "api.example.com".into();
        claims["iat"] = NOW.into();
        claims["exp"] = (NOW + 60).into();
        claims["jti"] = key.id().to_string().into();
        assert_eq!(response["claims"], claims, "{text}");
    }
}

#[test]
fn we_open_what_python_seals() {
    if is_missing() {
        return;
    }
    let claims = json!({
        "serviceSecrets": [{"serviceId": "chat:", "authSecret": "ü\"\\🔑"}],
        "jti": "AAAAAAAAAAAAAAAAAAAAAA",
        "exp": NOW + 60,
        "aud": "api.example.com",
        "iat": NOW,
    });
    let seal = |text: &str| json!({"do": "seal", "server_key": text, "claims": claims});

    let responses = run_interop(&json!([seal(RAW), seal(PHRASE)]));

    for (text, response) in [RAW, PHRASE].iter().zip(responses) {
        let ring = KeyRing::new(ServerKey::parse(text).unwrap());
        let opened = ring
            .open::<Value>(response["key"].as_str().unwrap(), &host(), now())
            .unwrap();
        assert_eq!(opened.id().to_string(), "AAAAAAAAAAAAAAAAAAAAAA", "{text}");
        assert_eq!(
            *opened.payload(),
            json!({"serviceSecrets": claims["serviceSecrets"]}),
            "{text}"
        );
    }
}

#[cfg(feature = "ecdh-es")]
mod offline {
    use aisbreaker_token::{SealingPublicKey, ValidityPeriod};

    use super::*;

    #[test]
    fn python_derives_the_same_public_key() {
        if is_missing() {
            return;
        }
        let servers = [RAW, PHRASE];
        let requests = servers.map(|text| json!({"do": "public_key", "server_key": text}));

        let responses = run_interop(&json!(requests));

        for (text, response) in servers.iter().zip(responses) {
            let public_key = ServerKey::parse(text).unwrap().public_key();
            let jwk: Value = serde_json::from_str(&public_key.to_jwk()).unwrap();
            assert_eq!(response["jwk"], jwk, "{text}");
            assert_eq!(response["thumbprint"], public_key.thumbprint(), "{text}");
            let parsed = SealingPublicKey::from_jwk(&response["jwk"].to_string());
            assert_eq!(parsed, Ok(public_key), "{text}");
        }
    }

    #[test]
    fn python_opens_what_we_seal_offline() {
        if is_missing() {
            return;
        }
        let payload = json!({"serviceSecrets": [{"serviceId": "", "authSecret": "ü\"\\🔑"}]});
        let public_key = ServerKey::parse(RAW).unwrap().public_key();
        let period = ValidityPeriod::new(now(), Duration::from_secs(60));
        let key = public_key.seal(&payload, &host(), period).unwrap();
        let request = json!({"do": "open_offline", "server_key": RAW, "key": key.expose()});

        let response = run_interop(&json!([request])).remove(0);

        let mut claims = payload;
        claims["aud"] = "api.example.com".into();
        claims["iat"] = NOW.into();
        claims["exp"] = (NOW + 60).into();
        assert_eq!(response["claims"], claims);
    }

    #[test]
    fn we_open_what_python_seals_offline() {
        if is_missing() {
            return;
        }
        let claims = json!({
            "serviceSecrets": [{"serviceId": "chat:", "authSecret": "ü\"\\🔑"}],
            "jti": "AAAAAAAAAAAAAAAAAAAAAA",
            "clientSecret": "open sesame",
            "exp": NOW + 60,
            "aud": "api.example.com",
            "iat": NOW,
        });
        let server_key = ServerKey::parse(RAW).unwrap();
        let jwk: Value = serde_json::from_str(&server_key.public_key().to_jwk()).unwrap();
        let request = json!({"do": "seal_offline", "jwk": jwk, "claims": claims});

        let response = run_interop(&json!([request])).remove(0);

        let ring = KeyRing::new(server_key).with_offline_keys();
        let key = response["key"].as_str().unwrap();
        let opened = ring.open::<Value>(key, &host(), now()).unwrap();
        assert!(opened.is_offline());
        assert_ne!(opened.id().to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(
            *opened.payload(),
            json!({"serviceSecrets": claims["serviceSecrets"]})
        );
    }
}
