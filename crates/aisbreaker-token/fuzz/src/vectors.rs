//! The keys of `tests/vectors`, which every run of the fuzzer shares, and rings that open them.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use aisbreaker_token::{Host, KeyRing, ServerKey};
use serde_json::Value;

const V2: &str = include_str!("../../tests/vectors/v2-keys.json");
const ORIGINAL: &str = include_str!("../../tests/vectors/original-keys.json");

/// A key that was sealed before, and what it takes to open it.
pub(super) struct Sealed {
    pub(super) text: String,
    pub(super) host: Host,
    pub(super) now: SystemTime,
}

/// The keys of version 2 that [`RING`] opens.
pub(super) static KEYS: LazyLock<Vec<Sealed>> = LazyLock::new(|| {
    let vectors: Vec<Value> = serde_json::from_str(V2).unwrap_or_default();
    let with_raw_key = vectors
        .iter()
        .filter(|vector| text(vector, "server_key").len() == 43);
    let keys: Vec<_> = with_raw_key
        .map(|vector| {
            sealed(
                vector,
                "key",
                "host",
                vector["now"].as_u64().unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(keys.len(), 2, "the file of vectors has changed");
    keys
});

/// Opens with raw keys alone: deriving one from a phrase is slow.
pub(super) static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let mut bytes = [0; 32];
    for (byte, place) in bytes.iter_mut().zip(0..) {
        *byte = place;
    }
    let ring = KeyRing::new(ServerKey::from_bytes([7; 32]));
    let ring = ring.with_opening_key(ServerKey::from_bytes(bytes));
    ring.unwrap_or_else(|error| unreachable!("{error}"))
});

/// The keys of the original server that [`ORIGINAL_RING`] opens.
pub(super) static ORIGINAL_KEYS: LazyLock<Vec<Sealed>> = LazyLock::new(|| {
    let file: Value = serde_json::from_str(ORIGINAL).unwrap_or_default();
    let minted = file["minted_at_unix"].as_u64().unwrap_or_default();
    let lists = [&file["tokens"], &file["extra_tokens"]];
    let opening = lists
        .iter()
        .filter_map(|list| list.as_array())
        .flatten()
        .filter(|vector| {
            matches!(
                vector["upstream_status_when_used"].as_u64(),
                Some(200 | 429)
            )
        });
    let keys: Vec<_> = opening
        .map(|vector| sealed(vector, "token", "use_with_host_header", minted))
        .collect();
    assert_eq!(keys.len(), 7, "the file of vectors has changed");
    keys
});

/// Derived from phrases once in each run, since the vectors were made with phrases.
pub(super) static ORIGINAL_RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let phrases = [
        "vectors-current-keyphrase-2f6c1d",
        "vectors-previous-keyphrase-9ab0e4",
    ];
    phrases.iter().fold(
        KeyRing::new(ServerKey::from_bytes([7; 32])),
        |ring, phrase| {
            let key = ServerKey::parse_for_opening(phrase);
            let key = key.unwrap_or_else(|error| unreachable!("{error}"));
            ring.with_opening_key(key)
                .unwrap_or_else(|error| unreachable!("{error}"))
        },
    )
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

/// The text after the edits that these bytes stand for, four bytes each: kind, place (two bytes),
/// character.
pub(super) fn edited(text: &str, edits: &[u8]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits.as_chunks::<4>().0.iter().take(64) {
        let [kind, high, low, byte] = *edit;
        let place = usize::from(u16::from_be_bytes([high, low])) % (chars.len() + 1);
        let end = chars.len().min(place + usize::from(byte));
        match kind % 6 {
            0 if place < chars.len() => chars[place] = char::from(byte),
            1 => chars.insert(place, char::from(byte)),
            2 => drop(chars.drain(place..end)),
            3 => chars.extend_from_within(place..end),
            4 if end > place => chars.swap(place, end - 1),
            5 => chars.rotate_left(place),
            _ => {}
        }
    }
    chars.into_iter().collect()
}
