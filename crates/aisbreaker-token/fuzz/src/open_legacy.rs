//! Keys of the original server with any characters changed: only the very text that it sealed
//! opens.

use super::{
    open_text::refuse_unless_sealed,
    vectors::{ORIGINAL_KEYS, ORIGINAL_RING, edited},
};

/// The first byte chooses the key, the others edit it; the highest bit puts them behind the header
/// as they are.
pub fn check(data: &[u8]) {
    let Some((choice, edits)) = data.split_first() else {
        return;
    };
    let key = &ORIGINAL_KEYS[usize::from(choice & 0x7f) % ORIGINAL_KEYS.len()];
    let text = if choice & 0x80 == 0 {
        edited(&key.text, edits)
    } else {
        let header = key.text.split_once("..").map_or("", |(header, _)| header);
        format!("{header}{}", String::from_utf8_lossy(edits))
    };
    refuse_unless_sealed(&ORIGINAL_RING, &ORIGINAL_KEYS, &text);
}
