//! Offline keys of other implementations, and headers and points that no key may have.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::Value;

use super::{sealing::Drawn, *};
use crate::{
    ClaimsFault, Host, KeyRing, MAX_OPEN_CHARS, MAX_SEAL_CHARS, OpenError, Opened, RingError,
    SealError, ServerKey, ServerKeyId, ValidityPeriod, Version,
};

/// Sealed by jose 6.2.18 (Node.js).
const SAMPLE: &str = concat!(
    "aisbreaker_eyJ0eXAiOiJKV1QiLCJhbGciOiJFQ0RILUVTIiwiZW5jIjoiQTI1NkdDTSIsImtpZCI6InBUZXN0MSIs",
    "ImVwayI6eyJ4IjoiWlFqcmlWQjR3aXBwX2NYM0N2SnljdEduVDNvVWE5RGJmTzZROGJ3V0EwWSIsImNydiI6IlgyNTUx",
    "OSIsImt0eSI6Ik9LUCJ9fQ..Jz_Duw7P5Ff5Ly8N.jJpDPZ8ZhDXp4QDyFV0OCj5FLSPM41wMStDBmeyvxD-ABIWaPM",
    "9Kt5FdepKihScF2B2vnwMAGPxyqGkQvbgrC6L2K2ZQbKtXCdHq8gtt32S6gBFElGLZGSOdknbmBcC_Pw3a9o_bk7sV2z",
    "4vzAzitO7iGZg.MKw74BM6eA6NVbLYmgrFiw",
);
const SAMPLE_TIME: u64 = 1_800_000_000;

#[derive(Deserialize)]
struct Vector {
    name: String,
    server_key: String,
    public_key: Value,
    thumbprint: String,
    host: String,
    now: u64,
    expires_at: u64,
    ephemeral_hex: String,
    iv_hex: String,
    id: String,
    payload: Value,
    key: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../../tests/vectors/offline-keys.json")).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn valid_for(seconds: u64) -> ValidityPeriod {
    ValidityPeriod::new(at(SAMPLE_TIME), Duration::from_secs(seconds))
}

fn host() -> Host {
    Host::parse("h.example").unwrap()
}

/// Returns a ring whose key pair is that of the sample.
fn sample_ring() -> KeyRing {
    let key_pair = AgreementKey::new(ServerKeyId::parse(b"pTest1").unwrap(), &[7; KEY_BYTES]);
    KeyRing::new(ServerKey::from_bytes([1; 32]))
        .with_key_pair(key_pair)
        .with_offline_keys()
}

fn open(ring: &KeyRing, key: &str) -> Result<Opened<Value>, OpenError> {
    ring.open(key, &host(), at(SAMPLE_TIME))
}

fn refusal(key: &str) -> OpenError {
    open(&sample_ring(), key).unwrap_err()
}

fn not_authentic() -> OpenError {
    OpenError::NotAuthentic {
        server_key: Some(ServerKey::from_bytes([1; 32]).id()),
    }
}

/// Seals claims for the key pair of the sample.
fn seal_claims(claims: &str) -> String {
    let drawn = Drawn {
        ephemeral: [9; KEY_BYTES].into(),
        iv: [9; IV_BYTES],
    };
    let public_key = sample_ring().public_key();
    let text = public_key.encrypt(&drawn, claims.as_bytes().to_vec().into());
    text.expose_secret().to_owned()
}

#[test]
fn opens_a_key_that_jose_sealed() {
    let opened = open(&sample_ring(), SAMPLE).unwrap();

    assert_eq!(
        opened.id().to_string(),
        "6rHI2bx7BKzdXAccu18lWCJOHRHCKhf8Aag8Z2TSxF4"
    );
    assert_eq!(opened.version(), Version::Offline);
    assert!(opened.is_offline());
    assert_eq!(opened.issued_at(), Some(at(SAMPLE_TIME)));
    assert_eq!(opened.expires_at(), at(SAMPLE_TIME + 3600));
    assert_eq!(
        *opened.payload(),
        serde_json::json!({"serviceSecrets": [{"serviceId": "chat:dummy", "authSecret": "s"}]})
    );
}

#[test]
fn agrees_with_another_implementation() {
    for vector in vectors() {
        let name = &vector.name;
        let ring = KeyRing::new(ServerKey::parse(&vector.server_key).unwrap()).with_offline_keys();
        let public_key = ring.public_key();
        let (host, now) = (Host::parse(&vector.host).unwrap(), at(vector.now));
        let lifetime = Duration::from_secs(vector.expires_at - vector.now);
        let mut draws = [vector.iv_hex, vector.ephemeral_hex]
            .map(|hex| unhex(&hex))
            .to_vec();
        let random = |bytes: &mut [u8]| {
            bytes.copy_from_slice(&draws.pop().unwrap());
            Ok(())
        };

        let sealed = public_key
            .seal_with_random(
                &vector.payload,
                &host,
                (ValidityPeriod::new(now, lifetime), MAX_SEAL_CHARS),
                random,
            )
            .unwrap();
        let opened = ring.open::<Value>(&vector.key, &host, now).unwrap();

        let jwk: Value = serde_json::from_str(&public_key.to_jwk()).unwrap();
        assert_eq!(jwk, vector.public_key, "{name}");
        assert_eq!(public_key.thumbprint(), vector.thumbprint, "{name}");
        assert_eq!(sealed.expose(), vector.key, "{name}");
        assert_eq!(sealed.id().to_string(), vector.id, "{name}");
        assert_eq!(opened.id(), sealed.id(), "{name}");
        let mut payload = vector.payload;
        let client_secret = payload.as_object_mut().unwrap().remove("clientSecret");
        assert_eq!(
            opened.client_secret().map(|secret| secret.expose_secret()),
            client_secret.as_ref().and_then(Value::as_str),
            "{name}"
        );
        assert_eq!(*opened.payload(), payload, "{name}");
    }
}

#[test]
fn opens_keys_that_libraries_sealed() {
    #[derive(Deserialize)]
    struct Sealed {
        source: String,
        server_key: String,
        host: String,
        now: u64,
        id: String,
        payload: Value,
        key: String,
    }

    let file = include_str!("../../tests/vectors/offline-keys-of-libraries.json");
    let keys: Vec<Sealed> = serde_json::from_str(file).unwrap();
    assert_eq!(keys.len(), 5);
    for key in keys {
        let source = &key.source;
        let ring = KeyRing::new(ServerKey::parse(&key.server_key).unwrap()).with_offline_keys();
        let host = Host::parse(&key.host).unwrap();

        let opened = ring.open::<Value>(&key.key, &host, at(key.now)).unwrap();

        assert_eq!(opened.id().to_string(), key.id, "{source}");
        assert_eq!(*opened.payload(), key.payload, "{source}");
    }
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn malformed_parts_are_refused_before_any_key_agreement() {
    let parts: Vec<_> = SAMPLE.split('.').collect();
    let [header, _, iv, ciphertext, tag] = parts[..] else {
        unreachable!()
    };
    for (name, key) in [
        (
            "encrypted key",
            format!("{header}.AA.{iv}.{ciphertext}.{tag}"),
        ),
        (
            "no encrypted key",
            format!("{header}.{iv}.{ciphertext}.{tag}"),
        ),
        ("six parts", format!("{SAMPLE}.")),
        ("four parts", format!("{header}..{iv}.{ciphertext}")),
        (
            "short iv",
            format!("{header}..{}.{ciphertext}.{tag}", &iv[4..]),
        ),
        ("long iv", format!("{header}..AAAA{iv}.{ciphertext}.{tag}")),
        (
            "native nonce",
            format!("{header}..{iv}{iv}.{ciphertext}.{tag}"),
        ),
        (
            "short tag",
            format!("{header}..{iv}.{ciphertext}.{}", &tag[4..]),
        ),
        ("long tag", format!("{SAMPLE}AAAA")),
        ("padded tag", format!("{SAMPLE}==")),
        (
            "padded ciphertext",
            format!("{header}..{iv}.{ciphertext}=.{tag}"),
        ),
        (
            "stray bits",
            format!("{header}..{iv}.{ciphertext}.{}x", &tag[..21]),
        ),
    ] {
        assert_eq!(refusal(&key), OpenError::Malformed, "{name}");
        assert!(!sample_ring().takes_key_agreement(&key), "{name}");
    }
    let too_long = format!("{SAMPLE}{}", "A".repeat(MAX_OPEN_CHARS));
    assert_eq!(refusal(&too_long), OpenError::TooLong);
    assert!(!sample_ring().takes_key_agreement(&too_long));
}

#[test]
fn claims_are_checked_as_those_of_other_keys() {
    let valid = r#"{"aud":"h.example","iat":1800000000,"exp":1800000001,"a":1}"#;
    let claims = |from: &str, to: &str| {
        assert!(valid.contains(from), "{from}");
        seal_claims(&valid.replacen(from, to, 1))
    };
    let server_key = Some(ServerKey::from_bytes([1; 32]).id());
    let fault = |fault| Some(OpenError::InvalidClaims { server_key, fault });
    for (name, key, expected) in [
        ("as sealed", claims("", ""), None),
        ("jti of any type", claims("{", r#"{"jti":[1],"#), None),
        ("a minute ahead", claims("1800000000", "1800000060"), None),
        (
            "no aud",
            claims(r#""aud":"h.example","#, ""),
            fault(ClaimsFault::Missing("aud")),
        ),
        (
            "no iat",
            claims(r#""iat":1800000000,"#, ""),
            fault(ClaimsFault::Missing("iat")),
        ),
        (
            "no exp",
            claims(r#""exp":1800000001,"#, ""),
            fault(ClaimsFault::Missing("exp")),
        ),
        (
            "fraction",
            claims("1800000001", "1800000001.5"),
            fault(ClaimsFault::Invalid("exp")),
        ),
        (
            "exp twice",
            claims("{", r#"{"exp":1900000000,"#),
            fault(ClaimsFault::Duplicate("exp")),
        ),
        (
            "jti twice",
            claims("{", r#"{"jti":"a","jti":"b","#),
            fault(ClaimsFault::Duplicate("jti")),
        ),
        (
            "ancestors",
            claims("{", r#"{"up":[],"#),
            fault(ClaimsFault::Invalid("up")),
        ),
        (
            "secret twice",
            claims("{", r#"{"clientSecret":"a","clientSecret":"b","#),
            fault(ClaimsFault::Duplicate("clientSecret")),
        ),
        (
            "secret no string",
            claims("{", r#"{"clientSecret":1,"#),
            fault(ClaimsFault::Invalid("clientSecret")),
        ),
        (
            "no object",
            seal_claims("[]"),
            fault(ClaimsFault::NotAnObject),
        ),
    ] {
        assert_eq!(open(&sample_ring(), &key).err(), expected, "{name}");
    }
    let expired = claims("1800000001", "1800000000");
    assert!(matches!(refusal(&expired), OpenError::Expired { .. }));
    let in_future = claims("1800000000", "1800000061");
    assert!(matches!(
        refusal(&in_future),
        OpenError::IssuedInFuture { .. }
    ));
    let elsewhere = claims("h.example", "g.example");
    assert!(matches!(refusal(&elsewhere), OpenError::WrongHost { .. }));
    let later = claims("{", r#"{"nbf":1800000001,"#);
    assert!(matches!(refusal(&later), OpenError::NotYetValid { .. }));
}

/// Else a sealer would take the id of another key, to use up its quotas or to revoke it.
#[test]
fn a_jti_inside_does_not_become_the_id() {
    let claims =
        r#"{"aud":"h.example","iat":1800000000,"exp":1800000001,"jti":"AAAAAAAAAAAAAAAAAAAAAA"}"#;
    let key = seal_claims(claims);

    let opened = open(&sample_ring(), &key).unwrap();

    assert_eq!(opened.id(), crate::KeyId::digest_of(&key));
}

#[test]
fn a_ring_opens_offline_keys_only_if_it_is_told_to() {
    let key = ServerKey::from_bytes([1; 32]);
    let public_key = key.public_key();
    let sealed = public_key
        .seal(&serde_json::json!({}), &host(), valid_for(1))
        .unwrap();
    let ring = KeyRing::new(key);

    assert_eq!(
        open(&ring, sealed.expose()).err(),
        Some(OpenError::UnsupportedHeader)
    );
    assert!(!ring.takes_key_agreement(sealed.expose()));
    let ring = ring.with_offline_keys();
    assert!(ring.takes_key_agreement(sealed.expose()));
    assert_eq!(open(&ring, sealed.expose()).unwrap().id(), sealed.id());
    let native = ring
        .seal_for(&serde_json::json!({}), &host(), valid_for(1))
        .unwrap();
    assert!(!ring.takes_key_agreement(native.expose()));
    assert!(!open(&ring, native.expose()).unwrap().is_offline());
}

#[test]
fn every_server_key_of_a_ring_opens_what_was_sealed_for_it() {
    let ring = KeyRing::new(ServerKey::from_bytes([1; 32]))
        .with_opening_key(ServerKey::from_bytes([2; 32]))
        .unwrap()
        .with_offline_keys()
        .with_opening_key(ServerKey::from_bytes([3; 32]))
        .unwrap();
    let opens = |byte| {
        let sealed = ServerKey::from_bytes([byte; 32])
            .public_key()
            .seal(&serde_json::json!({}), &host(), valid_for(1))
            .unwrap();
        open(&ring, sealed.expose()).err()
    };

    assert_eq!([1, 2, 3].map(opens), [None; 3]);
    assert_eq!(opens(4), Some(OpenError::UnknownServerKey));
    assert_eq!(
        ring.public_key(),
        ServerKey::from_bytes([1; 32]).public_key()
    );
}

#[test]
fn two_key_pairs_with_one_kid_are_refused() {
    let other = ServerKey::from_bytes([2; 32]);
    let id = other.public_key().id();
    let ring = KeyRing::new(ServerKey::from_bytes([1; 32]))
        .with_key_pair(AgreementKey::new(id, &[7; KEY_BYTES]));

    assert_eq!(
        ring.with_opening_key(other).err(),
        Some(RingError::SameId(id))
    );
}

#[test]
fn debug_shows_no_secret() {
    let secret = "open sesame".into();
    let payload = serde_json::json!({});
    let claims = OfflinePayload::new(&payload).with_client_secret(&secret);
    let key = ServerKey::from_bytes([1; 32]);
    let sealed = key
        .public_key()
        .seal(&claims, &host(), valid_for(9))
        .unwrap();
    let ring = KeyRing::new(key).with_offline_keys();
    let opened = open(&ring, sealed.expose()).unwrap();

    assert_eq!(
        opened.client_secret().unwrap().expose_secret(),
        "open sesame"
    );
    let shown = format!("{claims:?} {ring:?} {sealed:?} {opened:?}");
    assert!(!shown.contains("sesame"), "{shown}");
    assert!(!shown.contains(&sealed.expose()[40..80]), "{shown}");
}

proptest! {
    #[test]
    fn any_changed_character_is_refused(
        vector in 0_usize..2,
        position in any::<prop::sample::Index>(),
        replacement in "[A-Za-z0-9_.=+/ -]|\\PC",
    ) {
        let vector = &vectors()[vector];
        let (host, now) = (Host::parse(&vector.host).unwrap(), at(vector.now));
        let ring = KeyRing::new(ServerKey::from_bytes(std::array::from_fn(|byte| u8::try_from(byte).unwrap())))
            .with_offline_keys();
        let position = position.index(vector.key.len());
        let mut changed = vector.key.clone();
        changed.replace_range(position..=position, &replacement);

        let opened = ring.open::<Value>(&changed, &host, now);

        prop_assert!(changed == vector.key || opened.is_err());
    }
}

#[test]
fn every_changed_character_is_refused() {
    let ring = sample_ring();
    for position in 0..SAMPLE.len() {
        for replacement in "AQgwxyz019-_.= ".chars() {
            let mut changed = SAMPLE.to_owned();
            changed.replace_range(position..=position, replacement.encode_utf8(&mut [0; 4]));
            assert!(
                changed == SAMPLE || open(&ring, &changed).is_err(),
                "{replacement:?} at {position}"
            );
        }
    }
}

mod headers;
mod nesting;
mod public_keys;
