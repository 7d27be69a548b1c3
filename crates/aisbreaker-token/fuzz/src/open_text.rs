//! Any text at all: it never opens, unless it is one of the keys that were sealed.

use aisbreaker_token::{KeyRing, MAX_OPEN_CHARS, OpenError, PREFIX};
use serde_json::{Map, Value};

use super::vectors::{KEYS, RING, Sealed};

/// Opens the text as it is, and as what stands after the prefix, after the header and in the
/// ciphertext.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let header = KEYS[0]
        .text
        .split_once("..")
        .map_or("", |(header, _)| header);
    for text in [
        text.to_string(),
        format!("{PREFIX}{text}"),
        format!("{header}{text}"),
        format!("{header}..AAECAwQFBgcICQoLDA0ODxAREhMUFRYX.{text}.hS4DENvbAJIJdIZYvrk6GA"),
    ] {
        refuse_unless_sealed(&RING, &KEYS, &text);
    }
}

/// Asserts that the text opens exactly if it is one of these keys.
pub(super) fn refuse_unless_sealed(ring: &KeyRing, keys: &[Sealed], text: &str) {
    for key in keys {
        let opened = ring.open::<Map<String, Value>>(text, &key.host, key.now);
        let is_sealed = keys
            .iter()
            .any(|other| other.text == text && other.host == key.host);
        assert_eq!(opened.is_ok(), is_sealed, "{text:?}");
        let Err(error) = opened else { continue };
        assert_eq!(
            error == OpenError::NoPrefix,
            !text.starts_with(PREFIX),
            "{text:?}"
        );
        assert_eq!(
            error == OpenError::TooLong,
            text.starts_with(PREFIX) && text.len() > MAX_OPEN_CHARS
        );
    }
}
