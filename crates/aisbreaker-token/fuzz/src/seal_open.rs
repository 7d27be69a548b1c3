//! A payload of any shape round-trips, at its host and before its expiry only.

use std::time::Duration;

use aisbreaker_token::{Grant, Host, MAX_SEAL_CHARS, OpenError, SealError};
use serde_json::{Map, Value};

use super::vectors::{KEYS, RING};

const RESERVED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// Reads two bytes as the lifetime in seconds and the rest as a JSON payload, then seals and opens
/// it.
pub fn check(data: &[u8]) {
    let Some((lifetime, json)) = data.split_first_chunk::<2>() else {
        return;
    };
    let lifetime = Duration::from_secs(u64::from(u16::from_be_bytes(*lifetime)));
    let Ok(payload) = serde_json::from_slice::<Value>(json) else {
        return;
    };
    let (host, now) = (&KEYS[0].host, KEYS[0].now);

    let sealed = match RING.seal(&payload, host, now, lifetime) {
        Ok(sealed) => sealed,
        Err(error) => return assert!(may_refuse(&error, &payload, lifetime), "{error}: {payload}"),
    };
    let text = sealed.expose();
    assert!(text.len() <= MAX_SEAL_CHARS, "{} characters", text.len());

    let opened = RING
        .open::<Map<String, Value>>(text, host, now)
        .unwrap_or_else(|error| unreachable!("{error}: {payload}"));
    assert_eq!(
        (opened.id(), opened.expires_at()),
        (sealed.id(), now + lifetime)
    );
    assert_eq!(Value::Object(opened.into_payload()), payload);

    let refusal = |host: &Host, now| RING.open::<Map<String, Value>>(text, host, now).err();
    let other_host = Host::parse("other.example.com").ok();
    let id = sealed.id();
    assert_eq!(
        other_host.and_then(|host| refusal(&host, now)),
        Some(OpenError::WrongHost { id })
    );
    assert_eq!(
        refusal(host, now + lifetime),
        Some(OpenError::Expired {
            id,
            ago: Duration::ZERO
        })
    );
    assert_same_grant(text, &payload);
}

fn may_refuse(error: &SealError, payload: &Value, lifetime: Duration) -> bool {
    if let SealError::ReservedMember(name) = error {
        return RESERVED.contains(name) && payload.get(name).is_some();
    }
    if let SealError::TooLong { chars, .. } = error {
        return *chars > MAX_SEAL_CHARS && payload.to_string().len() > MAX_SEAL_CHARS / 2;
    }
    matches!(error, SealError::Lifetime) && lifetime.is_zero()
        || matches!(error, SealError::NotAnObject) && !payload.is_object()
}

/// A key opens to the same grant that serde alone deserializes from the payload.
fn assert_same_grant(text: &str, payload: &Value) {
    let opened = RING.open::<Grant>(text, &KEYS[0].host, KEYS[0].now);
    let plain = serde_json::from_value::<Grant>(payload.clone());
    let json = |grant: &Grant| serde_json::to_value(grant).unwrap_or_default();
    assert_eq!(
        opened.ok().map(|opened| json(opened.payload())),
        plain.ok().map(|grant| json(&grant))
    );
}
