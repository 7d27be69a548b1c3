//! The keys of `tests/vectors`, and rings that open them.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use aisbreaker_token::{Host, KeyRing, ServerKey};
use serde_json::Value;

const V2: &str = include_str!("../../tests/vectors/v2-keys.json");
const OFFLINE: &str = include_str!("../../tests/vectors/offline-keys.json");
const LEGACY: &str = include_str!("../../tests/vectors/original-keys.json");

/// A sealed key, and the host and time at which it opens.
pub(super) struct Sealed {
    pub(super) text: String,
    pub(super) host: Host,
    pub(super) now: SystemTime,
}

/// The keys of version 2 that [`RING`] opens.
pub(super) static KEYS: LazyLock<Vec<Sealed>> = LazyLock::new(|| keys_of(V2));

/// The offline keys that [`OFFLINE_RING`] opens.
pub(super) static OFFLINE_KEYS: LazyLock<Vec<Sealed>> = LazyLock::new(|| keys_of(OFFLINE));

fn keys_of(file: &str) -> Vec<Sealed> {
    let vectors: Vec<Value> = serde_json::from_str(file).unwrap_or_default();
    let mut keys = Vec::new();
    for vector in &vectors {
        if text(vector, "server_key").len() == 43 {
            let now = vector["now"].as_u64().unwrap_or_default();
            keys.push(sealed(vector, "key", "host", now));
        }
    }
    assert_eq!(keys.len(), 2, "the file of vectors changed");
    keys
}

/// Contains raw keys only, since deriving a key from a phrase is slow.
pub(super) static RING: LazyLock<KeyRing> = LazyLock::new(raw_ring);

/// The same ring, which opens offline keys too.
pub(super) static OFFLINE_RING: LazyLock<KeyRing> =
    LazyLock::new(|| raw_ring().with_offline_keys());

fn raw_ring() -> KeyRing {
    let mut bytes = [0; 32];
    for (byte, value) in bytes.iter_mut().zip(0..) {
        *byte = value;
    }
    KeyRing::new(ServerKey::from_bytes([7; 32]))
        .with_opening_key(ServerKey::from_bytes(bytes))
        .unwrap_or_else(|error| unreachable!("{error}"))
}

/// The legacy keys that [`LEGACY_RING`] opens.
pub(super) static LEGACY_KEYS: LazyLock<Vec<Sealed>> = LazyLock::new(|| {
    let file: Value = serde_json::from_str(LEGACY).unwrap_or_default();
    let minted = file["minted_at_unix"].as_u64().unwrap_or_default();
    let mut keys = Vec::new();
    for list in [&file["tokens"], &file["extra_tokens"]] {
        for vector in list.as_array().into_iter().flatten() {
            let status = vector["upstream_status_when_used"].as_u64();
            if matches!(status, Some(200 | 429)) {
                keys.push(sealed(vector, "token", "use_with_host_header", minted));
            }
        }
    }
    assert_eq!(keys.len(), 7, "the file of vectors changed");
    keys
});

/// Derived from phrases, once per process, since the vectors were sealed with phrases.
pub(super) static LEGACY_RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let phrases = [
        "vectors-current-keyphrase-2f6c1d",
        "vectors-previous-keyphrase-9ab0e4",
    ];
    let mut ring = KeyRing::new(ServerKey::from_bytes([7; 32]));
    for phrase in phrases {
        let key =
            ServerKey::parse_for_opening(phrase).unwrap_or_else(|error| unreachable!("{error}"));
        ring = ring
            .with_opening_key(key)
            .unwrap_or_else(|error| unreachable!("{error}"));
    }
    ring
});

fn sealed(vector: &Value, key: &str, host: &str, now: u64) -> Sealed {
    Sealed {
        text: text(vector, key).to_owned(),
        host: Host::parse(text(vector, host)).unwrap_or_else(|error| unreachable!("{error}")),
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(now),
    }
}

fn text<'a>(vector: &'a Value, member: &str) -> &'a str {
    vector[member].as_str().unwrap_or_default()
}

/// Applies edits to a text, four bytes each: the kind, the position (two bytes) and the character.
pub(super) fn edited(text: &str, edits: &[u8]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits.as_chunks::<4>().0.iter().take(64) {
        let [kind, high, low, byte] = *edit;
        let start = usize::from(u16::from_be_bytes([high, low])) % (chars.len() + 1);
        let end = chars.len().min(start + usize::from(byte));
        match kind % 6 {
            0 if start < chars.len() => chars[start] = char::from(byte),
            1 => chars.insert(start, char::from(byte)),
            2 => drop(chars.drain(start..end)),
            3 => chars.extend_from_within(start..end),
            4 if end > start => chars.swap(start, end - 1),
            5 => chars.rotate_left(start),
            _ => {}
        }
    }
    chars.into_iter().collect()
}
