//! Writes JSON as `serde_json` does, but texts without escapes as fast as they can be copied.

use serde::Serialize;

/// How many bytes of a text with escapes are searched for them at once.
const CHUNK: usize = 32;

/// Appends a text as a JSON string.
pub fn text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len().saturating_add(2));
    out.push(b'"');
    if has_escapes(bytes) {
        for chunk in bytes.chunks(CHUNK) {
            if has_escapes(chunk) {
                escape(out, chunk);
            } else {
                out.extend_from_slice(chunk);
            }
        }
    } else {
        out.extend_from_slice(bytes);
    }
    out.push(b'"');
}

fn has_escapes(bytes: &[u8]) -> bool {
    // Without an early end, several bytes are compared at once.
    bytes
        .iter()
        .fold(false, |any, byte| any | needs_escape(*byte))
}

/// Appends any value.
pub(crate) fn value(out: &mut Vec<u8>, value: &impl Serialize) {
    // Writing to a vector does not fail, and no type here has map keys other than strings.
    let _written = serde_json::to_writer(out, value);
}

/// Appends an array.
pub(crate) fn list<T>(out: &mut Vec<u8>, entries: &[T], write: fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (position, entry) in entries.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write(out, entry);
    }
    out.push(b']');
}

fn needs_escape(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        let short = match *byte {
            byte if !needs_escape(byte) => {
                out.push(byte);
                continue;
            }
            b'\x08' => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            b'\x0c' => b'f',
            b'\r' => b'r',
            control if control < b' ' => {
                let digit = |value: u8| b"0123456789abcdef"[usize::from(value & 15)];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(control >> 4), digit(control)]);
                continue;
            }
            itself => itself,
        };
        out.extend_from_slice(&[b'\\', short]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn writes_texts_as_serde_json_does(content in "([\\x00-\\x7f]|é|\u{1f642}){0,100}|[a-z]{0,100}\"?") {
            let mut out = b"[".to_vec();
            text(&mut out, &content);
            let expected = serde_json::to_string(&content).unwrap();
            prop_assert_eq!(str::from_utf8(&out[1..]).unwrap(), expected);
        }
    }
}
