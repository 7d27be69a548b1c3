//! Authentic keys with any claims at all: they open exactly when a slow reading of the claims says
//! so.

use std::time::{Duration, SystemTime};

use aisbreaker_token::{KeyRing, ServerKey, fuzzing};
use serde_json::{Map, Value};

use super::vectors::KEYS;

const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// The bytes are the claims.
pub fn check(data: &[u8]) {
    let ring = KeyRing::new(ServerKey::from_bytes([7; 32]));
    let (host, now) = (&KEYS[0].host, KEYS[0].now);
    let key = fuzzing::seal_claims(&ring, data);
    let opened = ring.open::<Map<String, Value>>(&key, host, now);

    let claims = serde_json::from_slice::<Map<String, Value>>(data).ok();
    let expected = claims.filter(|claims| is_valid(claims, host.as_str(), now) && !has_twice(data));
    let Ok(opened) = opened else {
        return assert_eq!(expected, None, "{}", String::from_utf8_lossy(data));
    };
    let mut expected =
        expected.unwrap_or_else(|| unreachable!("opens: {}", String::from_utf8_lossy(data)));
    assert_eq!(Some(opened.expires_at()), date(&expected, "exp"));
    assert_eq!(opened.issued_at(), date(&expected, "iat"));
    expected.retain(|name, _| !REGISTERED.contains(&&**name));
    assert_eq!(opened.into_payload(), expected);
}

fn is_valid(claims: &Map<String, Value>, host: &str, now: SystemTime) -> bool {
    let is_before = |name, limit| date(claims, name).is_some_and(|date| date <= limit);
    date(claims, "exp").is_some_and(|date| date > now)
        && is_before("iat", now + Duration::from_secs(60))
        && (!claims.contains_key("nbf") || is_before("nbf", now))
        && claims.get("aud").and_then(Value::as_str) == Some(host)
        && claims
            .get("jti")
            .and_then(Value::as_str)
            .is_some_and(|jti| !jti.is_empty())
}

/// Numbers beyond any date are no dates.
fn date(claims: &Map<String, Value>, name: &str) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.get(name)?.as_u64()?))
}

/// Whether a registered claim comes twice, which JSON maps hide.
fn has_twice(data: &[u8]) -> bool {
    struct Names(Vec<String>);

    impl<'de> serde::Deserialize<'de> for Names {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(NamesVisitor)
        }
    }

    struct NamesVisitor;

    impl<'de> serde::de::Visitor<'de> for NamesVisitor {
        type Value = Names;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
            let mut names = Vec::new();
            while let Some((name, serde::de::IgnoredAny)) = map.next_entry::<String, _>()? {
                names.push(name);
            }
            Ok(Names(names))
        }
    }

    let names = serde_json::from_slice::<Names>(data)
        .map(|Names(names)| names)
        .unwrap_or_default();
    REGISTERED
        .iter()
        .any(|claim| names.iter().filter(|name| name == claim).count() > 1)
}
