//! Of all edits of a legacy key, only the exact text that the original server sealed opens.

use super::{
    open_text::assert_only_sealed_opens,
    vectors::{LEGACY_KEYS, LEGACY_RING, edited},
};

/// Selects a key by the first byte and edits it by the others. If the highest bit of the first byte
/// is set, the others follow the header unchanged.
pub fn check(data: &[u8]) {
    let Some((selector, edits)) = data.split_first() else {
        return;
    };
    let key = &LEGACY_KEYS[usize::from(selector & 0x7f) % LEGACY_KEYS.len()];
    let text = if selector & 0x80 == 0 {
        edited(&key.text, edits)
    } else {
        let header = key.text.split_once("..").map_or("", |(header, _)| header);
        format!("{header}{}", String::from_utf8_lossy(edits))
    };
    assert_only_sealed_opens(&LEGACY_RING, &LEGACY_KEYS, &text);
}
