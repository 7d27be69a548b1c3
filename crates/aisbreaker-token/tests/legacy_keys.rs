//! Legacy keys from `vectors/original-keys.json`, sealed by release 0.1.19 of the original
//! AIsBreaker server.
#![cfg(feature = "legacy")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use aisbreaker_token::{Grant, Host, KeyRing, OpenError, Opened, ServerKey, Version};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Vectors {
    minted_at_unix: u64,
    tokens: Vec<Vector>,
    extra_tokens: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    token: String,
    claims: Value,
    use_with_host_header: String,
    minted_with_keyphrase: String,
    upstream_status_when_used: u16,
}

const CURRENT: &str = "vectors-current-keyphrase-2f6c1d";
const PREVIOUS: &str = "vectors-previous-keyphrase-9ab0e4";

fn vectors() -> (SystemTime, Vec<Vector>) {
    let file: Vectors = serde_json::from_str(include_str!("vectors/original-keys.json")).unwrap();
    let minted = SystemTime::UNIX_EPOCH + Duration::from_secs(file.minted_at_unix);
    (
        minted,
        file.tokens.into_iter().chain(file.extra_tokens).collect(),
    )
}

fn vector(name: &str) -> Vector {
    vectors()
        .1
        .into_iter()
        .find(|vector| vector.name == name)
        .unwrap()
}

/// Opens with both phrases. Argon2id is slow, so all tests share this ring and the next.
static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    KeyRing::new(ServerKey::parse(CURRENT).unwrap())
        .with_opening_key(ServerKey::parse_for_opening(PREVIOUS).unwrap())
        .unwrap()
});

/// Seals with a raw key and opens with one phrase.
static ROTATED: LazyLock<KeyRing> = LazyLock::new(|| {
    KeyRing::new(ServerKey::from_bytes([1; 32]))
        .with_opening_key(ServerKey::parse_for_opening(CURRENT).unwrap())
        .unwrap()
});

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

#[test]
fn vectors_open_exactly_if_the_original_server_opens_them() {
    let ring = &*RING;
    let (minted, vectors) = vectors();
    assert_eq!(vectors.len(), 10);

    for vector in &vectors {
        let host = host(&vector.use_with_host_header);
        let opened: Result<Opened<Grant>, OpenError> =
            ring.open_grant(&vector.token, &host, minted);

        // The original server opens a key without quotas, and responds with 429.
        let original_opens = matches!(vector.upstream_status_when_used, 200 | 429);
        match opened {
            Ok(opened) => {
                assert!(original_opens, "{}", vector.name);
                assert_eq!(opened.version(), Version::V1, "{}", vector.name);
                assert_eq!(
                    opened.expires_at(),
                    at(&vector.claims["exp"]),
                    "{}",
                    vector.name
                );
                assert_eq!(
                    opened.issued_at(),
                    Some(at(&vector.claims["iat"])),
                    "{}",
                    vector.name
                );
                assert_same_grant(opened.payload(), &vector.claims, &vector.name);
            }
            Err(error) => assert!(!original_opens, "{}: {error}", vector.name),
        }
    }
}

fn at(seconds: &Value) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.as_u64().unwrap())
}

fn assert_same_grant(grant: &Grant, claims: &Value, name: &str) {
    let quotas = grant
        .request_quotas
        .map(|quotas| serde_json::to_value(quotas).unwrap());
    assert_eq!(quotas.as_ref(), claims.get("requestQuotas"), "{name}");

    let secrets: Vec<_> = grant
        .service_secrets
        .iter()
        .map(|secret| {
            (
                secret.service_id.as_str(),
                secret.auth_secret.expose_secret(),
                secret.url.len(),
            )
        })
        .collect();
    let expected: Vec<_> = claims["serviceSecrets"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|secret| {
            (
                secret["serviceId"].as_str().unwrap(),
                secret["authSecret"].as_str().unwrap(),
                0,
            )
        })
        .collect();
    assert_eq!(secrets, expected, "{name}");
}

#[test]
fn refused_vectors_report_the_right_error() {
    let ring = &*RING;
    let (minted, vectors) = vectors();
    let refusal = |name: &str| {
        let vector = vectors.iter().find(|vector| vector.name == name).unwrap();
        ring.open_grant(&vector.token, &host(&vector.use_with_host_header), minted)
            .unwrap_err()
    };

    let two_seconds = Duration::from_secs(2);
    assert!(matches!(refusal("expired"), OpenError::Expired { ago, .. } if ago == two_seconds));
    assert!(matches!(refusal("other-host"), OpenError::WrongHost { .. }));
    let until_2100 = Duration::from_secs(4_102_444_800 - 1_795_396_968);
    let not_yet = refusal("extra-nbf-in-2100");
    assert!(matches!(not_yet, OpenError::NotYetValid { wait, .. } if wait == until_2100));
}

#[test]
fn removed_phrase_no_longer_opens() {
    let vector = vector("previous-keyphrase");
    assert_eq!(vector.minted_with_keyphrase, PREVIOUS);
    let (minted, _) = vectors();
    let host = host(&vector.use_with_host_header);

    let with = RING.open_grant(&vector.token, &host, minted);
    let without = ROTATED.open_grant(&vector.token, &host, minted);

    assert!(with.is_ok());
    assert_eq!(
        without.unwrap_err(),
        OpenError::NotAuthentic { server_key: None }
    );
}

#[test]
fn host_is_compared_in_canonical_form() {
    let ring = &*ROTATED;
    let (minted, _) = vectors();

    for (name, spelling, opens) in [
        ("doc-example", "API.EXAMPLE.COM.:8443", true),
        ("doc-example", "xapi.example.com", false),
        ("doc-example", "example.com", false),
        ("minimal-with-port", "localhost", true),
        ("extra-ipv6", "[0:0:0:0:0:0:0:1]:9", true),
        ("extra-ipv6", "[::2]", false),
        ("unicode-and-unknown-claims", "127.0.0.1:80", true),
    ] {
        let opened = ring.open_grant(&vector(name).token, &host(spelling), minted);

        assert_eq!(opened.is_ok(), opens, "{name} at {spelling}");
    }
}

#[test]
fn every_changed_character_is_refused() {
    let ring = &*ROTATED;
    let vector = vector("extra-ipv6");
    let host = host(&vector.use_with_host_header);
    let (minted, _) = vectors();
    assert!(ring.open_grant(&vector.token, &host, minted).is_ok());

    for position in 0..vector.token.len() {
        for replacement in ["A", "B", "-", "_", ".", "=", "é", ""] {
            let mut changed = vector.token.clone();
            changed.replace_range(position..=position, replacement);
            if changed != vector.token {
                let opened = ring.open_grant(&changed, &host, minted);
                assert!(opened.is_err(), "{position} {replacement:?}");
            }
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    let ring = &*ROTATED;
    let vector = vector("extra-ipv6");
    let host = host(&vector.use_with_host_header);
    let (minted, _) = vectors();

    for length in 0..vector.token.len() {
        assert!(
            ring.open_grant(&vector.token[..length], &host, minted)
                .is_err(),
            "{length}"
        );
    }
}

#[test]
fn id_is_the_digest_of_the_whole_text() {
    let ring = &*ROTATED;
    let vector = vector("doc-example");
    let (minted, _) = vectors();

    let opened = ring
        .open_grant(&vector.token, &host("api.example.com"), minted)
        .unwrap();

    assert_eq!(opened.id().as_bytes().len(), 32);
    assert_eq!(
        opened.id().to_string(),
        "2Dw2yjmwastwT5o84Yf_TMe5Po6B62BNJZGZzq-YegU"
    );
}

#[test]
fn a_ring_recognizes_the_keys_that_one_of_its_phrases_sealed() {
    let other = KeyRing::new(ServerKey::from_bytes([2; 32]));
    for vector in vectors().1 {
        let (name, key) = (&vector.name, &vector.token);
        // Whether it would open, for a host and at a time, does not matter.
        assert!(RING.recognizes(key), "{name}");
        let is_current = vector.minted_with_keyphrase == CURRENT;
        assert_eq!(ROTATED.recognizes(key), is_current, "{name}");
        assert!(!other.recognizes(key), "{name}");
        assert!(!RING.recognizes(&format!("{key}A")), "{name}");
    }
}
