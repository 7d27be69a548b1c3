//! Of all edits of a key of version 2, only the exact text that was sealed opens.

use super::{
    open_text::assert_only_sealed_opens,
    vectors::{KEYS, RING, edited},
};

/// Selects a key by the first byte and edits it by the others.
pub fn check(data: &[u8]) {
    let Some((selector, edits)) = data.split_first() else {
        return;
    };
    let key = &KEYS[usize::from(*selector) % KEYS.len()];
    assert_only_sealed_opens(&RING, &KEYS, &edited(&key.text, edits));
}
