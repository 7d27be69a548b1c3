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
/// Whole blocks are decoded here, with a fraction of the instructions of `base64ct`. The end of the
/// text, the only part that can be non-canonical, is left to `base64ct`.
pub(crate) fn decode_into(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    if bytes.len() != decoded_len(text.len()) {
        return None;
    }
    let (text_blocks, text_end) = text.as_chunks::<BLOCK_CHARS>();
    let (byte_blocks, bytes_end) =
        bytes.split_at_mut_checked(text_blocks.len().saturating_mul(BLOCK_BYTES))?;
    let mut seen = 0;
    for (text, bytes) in text_blocks
        .iter()
        .zip(byte_blocks.as_chunks_mut::<BLOCK_BYTES>().0)
    {
        let [a, b, c, d, e, f, g, h] = *text;
        let (first, second) = (decode_four([a, b, c, d]), decode_four([e, f, g, h]));
        seen |= first | second;
        let [_, _, decoded @ ..] = (u64::from(first) << 24 | u64::from(second)).to_be_bytes();
        *bytes = decoded;
    }
    Base64UrlUnpadded::decode(text_end, bytes_end).ok()?;
    if seen & INVALID == 0 { Some(()) } else { None }
}

const BLOCK_CHARS: usize = 8;
const BLOCK_BYTES: usize = 6;

/// Set in the sextet of every character that is not base64url, above the 24 bits of four sextets.
const INVALID: u32 = 1 << 31;

/// The sextet of each character, shifted to each of the four places in three bytes.
static SEXTETS: [[u32; 256]; 4] = [sextets(18), sextets(12), sextets(6), sextets(0)];

#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "evaluated by the compiler"
)]
const fn sextets(shift: u32) -> [u32; 256] {
    let mut table = [INVALID; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut sextet = 0;
    while sextet < 64 {
        table[alphabet[sextet as usize] as usize] = sextet << shift;
        sextet += 1;
    }
    table
}

/// Returns the three bytes that four characters encode, or a number with [`INVALID`].
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
    fn agrees_with_base64ct_on_every_character_of_a_block() {
        for position in 0..BLOCK_CHARS {
            for char in 0..=u8::MAX {
                let mut text = [b'x'; BLOCK_CHARS];
                text[position] = char;
                let (mut decoded, mut expected) = ([0; BLOCK_BYTES], [0; BLOCK_BYTES]);

                let accepted = decode_into(&text, &mut decoded).is_some();

                assert_eq!(
                    accepted,
                    Base64UrlUnpadded::decode(text, &mut expected).is_ok(),
                    "{char} at {position}"
                );
                assert!(!accepted || decoded == expected, "{char} at {position}");
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
