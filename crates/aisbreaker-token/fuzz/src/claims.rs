//! An authentic key opens exactly if a simple, slow reading of its claims accepts them.

use std::time::{Duration, SystemTime};

use aisbreaker_token::{KeyRing, ServerKey, fuzzing};
use serde_json::{Map, Value};

use super::vectors::KEYS;

const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// Seals the data as claims and opens the key.
pub fn check(data: &[u8]) {
    let ring = KeyRing::new(ServerKey::from_bytes([7; 32]));
    let (host, now) = (&KEYS[0].host, KEYS[0].now);
    let key = fuzzing::seal_claims(&ring, data);
    let opened = ring.open::<Map<String, Value>>(&key, host, now);

    let accepted = match serde_json::from_slice::<Map<String, Value>>(data) {
        Ok(claims) if is_valid(&claims, host.as_str(), now) && !has_duplicate(data) => Some(claims),
        _ => None,
    };
    let Ok(opened) = opened else {
        return assert_eq!(accepted, None, "{}", String::from_utf8_lossy(data));
    };
    let Some(mut payload) = accepted else {
        unreachable!("opens: {}", String::from_utf8_lossy(data));
    };
    assert_eq!(Some(opened.expires_at()), date(&payload, "exp"));
    assert_eq!(opened.issued_at(), date(&payload, "iat"));
    payload.retain(|name, _| !REGISTERED.contains(&&**name));
    assert_eq!(opened.into_payload(), payload);
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

/// Returns a date claim, unless its number is too large for a date.
fn date(claims: &Map<String, Value>, name: &str) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.get(name)?.as_u64()?))
}

/// Returns whether a registered claim is present twice, which a map would hide.
fn has_duplicate(data: &[u8]) -> bool {
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

    let Ok(Names(names)) = serde_json::from_slice(data) else {
        return false;
    };
    REGISTERED
        .iter()
        .any(|claim| names.iter().filter(|name| name == claim).count() > 1)
}
