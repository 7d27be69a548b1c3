//! Base64 of what is no secret, and so not in constant time.
//!
//! Source: RFC 4648 sections 4 and 5.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const PADDING: u8 = b'=';
/// In [`VALUES`], for what is in no alphabet.
const INVALID: u8 = 0xff;
/// The value of each character, in either alphabet.
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut values = [INVALID; 256];
    let mut value = 0;
    while value < 64 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values[b'-' as usize] = 62;
    values[b'_' as usize] = 63;
    values
}

/// Two characters for each value of twelve bits.
static PAIRS: [[u8; 2]; 4096] = pairs();

const fn pairs() -> [[u8; 2]; 4096] {
    let mut pairs = [[0; 2]; 4096];
    let mut value = 0;
    while value < 4096 {
        pairs[value] = [ALPHABET[value >> 6], ALPHABET[value & 63]];
        value += 1;
    }
    pairs
}

/// Returns padded base64 of the standard alphabet.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let (triples, rest) = bytes.as_chunks::<3>();
    let mut text = vec![PADDING; bytes.len().div_ceil(3).saturating_mul(4)];
    let (quads, _) = text.as_chunks_mut::<4>();
    let mut quads = quads.iter_mut();
    for (triple, quad) in triples.iter().zip(&mut quads) {
        *quad = encode_triple(*triple);
    }
    if let Some(last) = quads.next() {
        let triple = [0, 1, 2].map(|at| rest.get(at).copied().unwrap_or_default());
        let digits = encode_triple(triple);
        // One byte takes two characters, two bytes take three.
        let used = rest.len().saturating_add(1);
        for (place, digit) in last.iter_mut().zip(digits).take(used) {
            *place = digit;
        }
    }
    // Base64 is always ASCII.
    String::from_utf8(text).unwrap_or_default()
}

fn encode_triple([a, b, c]: [u8; 3]) -> [u8; 4] {
    let bits = u32::from_be_bytes([0, a, b, c]);
    let pair = |bits: u32| PAIRS[(bits & 0xfff) as usize];
    let ([a, b], [c, d]) = (pair(bits >> 12), pair(bits));
    [a, b, c, d]
}

/// Returns the bytes of base64 of either alphabet, with any number of padding characters; `None` if
/// it has other characters, or bits that belong to no byte.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let (quads, rest) = text.trim_end_matches('=').as_bytes().as_chunks::<4>();
    let mut bytes = Vec::with_capacity(quads.len().saturating_add(1).saturating_mul(3));
    let mut is_valid = true;
    let mut add = |quad: [u8; 4], length: usize| {
        let [a, b, c, d] = quad.map(|digit| VALUES[usize::from(digit)]);
        is_valid &= (a | b | c | d) < 64;
        let triple = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
        let (triple, unused) = triple.split_at(length);
        is_valid &= unused.iter().all(|bits| *bits == 0);
        bytes.extend_from_slice(triple);
    };
    for quad in quads {
        add(*quad, 3);
    }
    match *rest {
        [] => {}
        [a, b] => add([a, b, b'A', b'A'], 1),
        [a, b, c] => add([a, b, c, b'A'], 2),
        _ => return None,
    }
    is_valid.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64, Base64Unpadded, Encoding as _};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn encodes_as_another_implementation(bytes in vec(any::<u8>(), 0..40)) {
            let text = encode(&bytes);
            prop_assert_eq!(&text, &Base64::encode_string(&bytes));
            prop_assert_eq!(decode(&text), Some(bytes));
        }

        #[test]
        fn decodes_as_another_implementation(text in "[A-Da-d0-3+/_=\\-]{0,6}|[ -~é]{0,12}") {
            let standard = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
            prop_assert_eq!(decode(&text), Base64Unpadded::decode_vec(&standard).ok());
        }
    }
}
