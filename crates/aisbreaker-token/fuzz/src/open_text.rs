//! No text opens, unless it is a key that was sealed.

use aisbreaker_token::{KeyRing, MAX_OPEN_CHARS, OpenError, PREFIX};
use serde_json::{Map, Value};

use super::vectors::{KEYS, RING, Sealed};

/// Opens the data as a whole text, as the text after the prefix, as the text after the header, and
/// as a ciphertext.
pub fn check(data: &[u8]) {
    let data = String::from_utf8_lossy(data);
    let header = KEYS[0]
        .text
        .split_once("..")
        .map_or("", |(header, _)| header);
    for text in [
        data.to_string(),
        format!("{PREFIX}{data}"),
        format!("{header}{data}"),
        format!("{header}..AAECAwQFBgcICQoLDA0ODxAREhMUFRYX.{data}.hS4DENvbAJIJdIZYvrk6GA"),
    ] {
        assert_only_sealed_opens(&RING, &KEYS, &text);
    }
}

/// Asserts that a text opens exactly if it is one of the sealed keys.
pub(super) fn assert_only_sealed_opens(ring: &KeyRing, keys: &[Sealed], text: &str) {
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
