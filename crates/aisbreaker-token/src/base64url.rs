//! Canonical base64url without padding (RFC 4648 section 5, RFC 7515 section 2).
//!
//! Encoding takes constant time. Decoding looks characters up in a table, so it is for what an
//! attacker may know, such as a sealed key; [`decode_secret`] is for the rest.

use base64ct::{Base64UrlUnpadded, Encoding};

/// Returns the number of characters that encode this many bytes.
pub(crate) const fn encoded_len(bytes: usize) -> usize {
    bytes.saturating_mul(4).div_ceil(3)
}

/// Returns the number of bytes that this many characters decode to.
pub(crate) const fn decoded_len(chars: usize) -> usize {
    chars.saturating_mul(3) / 4
}

/// Decodes into a buffer of exactly [`decoded_len`] bytes, or returns `None` if the text is not
/// canonical.
///
/// This takes a fraction of the instructions of `base64ct`, which is for secrets.
pub(crate) fn decode_into(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    if bytes.len() != decoded_len(text.len()) {
        return None;
    }
    let (text_blocks, text_rest) = text.as_chunks::<BLOCK_CHARS>();
    let (byte_blocks, bytes_rest) =
        bytes.split_at_mut_checked(text_blocks.len().saturating_mul(BLOCK_BYTES))?;
    let mut seen = 0;
    for (text, bytes) in text_blocks
        .iter()
        .zip(byte_blocks.as_chunks_mut::<BLOCK_BYTES>().0)
    {
        let (decoded, sextets) = decode_block(*text);
        *bytes = decoded;
        seen |= sextets;
    }
    seen |= decode_rest(text_rest, bytes_rest);
    if seen & INVALID == 0 { Some(()) } else { None }
}

const BLOCK_CHARS: usize = 16;
const BLOCK_BYTES: usize = 12;

/// Set for every character that is not base64url, above the three bytes of four characters.
const INVALID: u32 = 1 << 31;

/// What each character adds to three bytes in each of four places, as little-endian numbers.
static SEXTETS: [[u32; 256]; 4] = [sextets(18), sextets(12), sextets(6), sextets(0)];

#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "evaluated by the compiler"
)]
const fn sextets(shift: u32) -> [u32; 256] {
    let mut table = [INVALID; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut sextet: u32 = 0;
    while sextet < 64 {
        table[alphabet[sextet as usize] as usize] = (sextet << shift).swap_bytes() >> 8;
        sextet += 1;
    }
    table
}

/// Returns the bytes that a block encodes, and a number with [`INVALID`] if it is not base64url.
#[inline]
fn decode_block(text: [u8; BLOCK_CHARS]) -> ([u8; BLOCK_BYTES], u32) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = text;
    let quads = [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]];
    let [first, second, third, fourth] = quads.map(decode_four);
    let bits = u128::from(first)
        | u128::from(second) << 24
        | u128::from(third) << 48
        | u128::from(fourth) << 72;
    let [decoded @ .., _, _, _, _] = bits.to_le_bytes();
    (decoded, first | second | third | fourth)
}

/// Returns the three bytes that four characters encode as a little-endian number, or one with
/// [`INVALID`].
#[inline]
#[expect(
    clippy::indexing_slicing,
    reason = "a table has an entry for every byte"
)]
fn decode_four(chars: [u8; 4]) -> u32 {
    let [a, b, c, d] = chars.map(usize::from);
    let [first, second, third, fourth] = &SEXTETS;
    first[a] | second[b] | third[c] | fourth[d]
}

/// Decodes less than a block. Returns a number with [`INVALID`] if the text is not canonical.
fn decode_rest(text: &[u8], bytes: &mut [u8]) -> u32 {
    let (quads, end) = text.as_chunks::<4>();
    let (triples, bytes_end) = bytes.as_chunks_mut::<3>();
    let mut seen = 0;
    for (quad, triple) in quads.iter().zip(triples) {
        let decoded = decode_four(*quad);
        seen |= decoded;
        let [bytes @ .., _] = decoded.to_le_bytes();
        *triple = bytes;
    }
    let last = match *end {
        [] => return seen,
        [a, b] => decode_four([a, b, b'A', b'A']),
        [a, b, c] => decode_four([a, b, c, b'A']),
        _ => return INVALID,
    };
    let decoded = last.to_le_bytes();
    for (byte, decoded) in bytes_end.iter_mut().zip(decoded) {
        *byte = decoded;
    }
    // The bits beyond the bytes must be 0, so that no other text decodes to the same bytes.
    if decoded.iter().skip(bytes_end.len()).all(|&bits| bits == 0) {
        seen
    } else {
        INVALID
    }
}

/// Decodes exactly `N` bytes in constant time, or returns `None` if the text is not their canonical
/// encoding.
pub(crate) fn decode_secret<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let decoded = Base64UrlUnpadded::decode(text, &mut bytes).ok()?;
    if decoded.len() == N {
        Some(bytes)
    } else {
        None
    }
}

/// Decodes exactly `N` bytes, or returns `None` if the text is not their canonical encoding.
pub(crate) fn decode_array<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != encoded_len(N) {
        return None;
    }
    let mut bytes = [0; N];
    decode_into(text, &mut bytes)?;
    Some(bytes)
}

/// Encodes into a buffer of exactly [`encoded_len`] bytes, leaving only ASCII in it.
pub(crate) fn encode_into(bytes: &[u8], text: &mut [u8]) {
    debug_assert_eq!(text.len(), encoded_len(bytes.len()));
    let encoded = Base64UrlUnpadded::encode(bytes, text);
    debug_assert!(encoded.is_ok());
}

/// Appends the encoded bytes to a buffer.
pub(crate) fn append(bytes: &[u8], text: &mut Vec<u8>) {
    let start = text.len();
    text.resize(start.saturating_add(encoded_len(bytes.len())), 0);
    encode_into(bytes, text.get_mut(start..).unwrap_or_default());
}

/// Encodes into a new string.
pub(crate) fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Returns whether a byte is one of the 64 characters.
pub(crate) fn is_in_alphabet(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decodes_what_base64ct_encodes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = encode(&bytes);
            let mut decoded = vec![0; decoded_len(text.len())];

            prop_assert_eq!(text.len(), encoded_len(bytes.len()));
            prop_assert_eq!(decode_into(text.as_bytes(), &mut decoded), Some(()));
            prop_assert_eq!(decoded, bytes);
        }

        #[test]
        fn agrees_with_base64ct_on_any_changed_character(
            bytes in proptest::collection::vec(any::<u8>(), 1..100),
            position in any::<prop::sample::Index>(),
            change in any::<u8>(),
        ) {
            let mut text = encode(&bytes).into_bytes();
            let position = position.index(text.len());
            text[position] = change;
            let mut decoded = vec![0; decoded_len(text.len())];
            let mut expected = decoded.clone();

            let accepted = decode_into(&text, &mut decoded).is_some();

            prop_assert_eq!(accepted, Base64UrlUnpadded::decode(&text, &mut expected).is_ok());
            prop_assert!(!accepted || decoded == expected);
        }
    }

    #[test]
    fn agrees_with_base64ct_on_every_character_at_every_position() {
        for chars in 1..=2 * BLOCK_CHARS {
            for (position, char) in (0..chars).flat_map(|at| (0..=u8::MAX).map(move |c| (at, c))) {
                let mut text = vec![b'A'; chars];
                text[position] = char;
                let mut decoded = vec![0; decoded_len(chars)];
                let mut expected = decoded.clone();

                let accepted = decode_into(&text, &mut decoded).is_some();

                assert_eq!(
                    accepted,
                    Base64UrlUnpadded::decode(&text, &mut expected).is_ok(),
                    "{char} at {position} of {chars}"
                );
                assert!(
                    !accepted || decoded == expected,
                    "{char} at {position} of {chars}"
                );
            }
        }
    }

    #[test]
    fn rejects_impossible_lengths() {
        for chars in [1, 5, 33, 65] {
            let text = vec![b'A'; chars];
            assert_eq!(
                decode_into(&text, &mut vec![0; decoded_len(chars)]),
                None,
                "{chars}"
            );
        }
        assert_eq!(decode_into(b"AAAA", &mut [0; 4]), None);
        assert_eq!(decode_array::<3>(b"AAA"), None);
        assert_eq!(decode_secret::<3>(b"AAA"), None);
        assert_eq!(decode_secret::<3>(b"AAAAA"), None);
        assert_eq!(decode_secret::<3>(b"AAAA"), Some([0; 3]));
    }
}
