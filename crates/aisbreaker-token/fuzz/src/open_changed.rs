//! Keys of version 2 with any characters changed: only the very text that was sealed opens.

use super::{
    open_text::refuse_unless_sealed,
    vectors::{KEYS, RING, edited},
};

/// The first byte chooses the key, the others edit it.
pub fn check(data: &[u8]) {
    let Some((choice, edits)) = data.split_first() else {
        return;
    };
    let key = &KEYS[usize::from(*choice) % KEYS.len()];
    refuse_unless_sealed(&RING, &KEYS, &edited(&key.text, edits));
}
