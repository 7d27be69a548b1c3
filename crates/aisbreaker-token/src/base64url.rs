//! Canonical base64url without padding (RFC 4648 section 5, RFC 7515 section 2), in constant time.

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
/// Whole blocks are decoded here, in code that the compiler can vectorize: five times as fast as
/// `base64ct`. The end of the text, the only part that can be non-canonical, is left to `base64ct`.
pub(crate) fn decode_into(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    if bytes.len() != decoded_len(text.len()) {
        return None;
    }
    let (text_blocks, text_end) = text.as_chunks::<BLOCK_CHARS>();
    let (byte_blocks, bytes_end) =
        bytes.split_at_mut_checked(text_blocks.len().saturating_mul(BLOCK_BYTES))?;
    let mut invalid = [0; BLOCK_CHARS];
    for (text, bytes) in text_blocks
        .iter()
        .zip(byte_blocks.as_chunks_mut::<BLOCK_BYTES>().0)
    {
        decode_block(text, bytes, &mut invalid);
    }
    Base64UrlUnpadded::decode(text_end, bytes_end).ok()?;
    if invalid == [0; BLOCK_CHARS] {
        Some(())
    } else {
        None
    }
}

const BLOCK_CHARS: usize = 32;
const BLOCK_BYTES: usize = 24;

/// Decodes one block, and sets the lanes of `invalid` whose characters are not base64url.
///
/// No branch and no table lookup depends on the characters.
#[inline]
fn decode_block(
    text: &[u8; BLOCK_CHARS],
    bytes: &mut [u8; BLOCK_BYTES],
    invalid: &mut [u8; BLOCK_CHARS],
) {
    let mut sextets = [0; BLOCK_CHARS];
    for ((sextet, &char), invalid) in sextets.iter_mut().zip(text).zip(invalid) {
        let upper = mask(char.wrapping_sub(b'A') < 26);
        let lower = mask(char.wrapping_sub(b'a') < 26);
        let digit = mask(char.wrapping_sub(b'0') < 10);
        let dash = mask(char == b'-');
        let underscore = mask(char == b'_');
        *sextet = upper & char.wrapping_sub(b'A')
            | lower & char.wrapping_sub(b'a').wrapping_add(26)
            | digit & char.wrapping_sub(b'0').wrapping_add(52)
            | dash & 62
            | underscore & 63;
        *invalid |= !(upper | lower | digit | dash | underscore);
    }
    for (sextets, bytes) in sextets
        .as_chunks::<8>()
        .0
        .iter()
        .zip(bytes.as_chunks_mut::<6>().0)
    {
        *bytes = pack(*sextets);
    }
}

/// Returns all ones for true, all zeros for false.
#[inline]
fn mask(condition: bool) -> u8 {
    u8::from(condition).wrapping_neg()
}

/// Packs eight sextets into six bytes: first pairs, then pairs of pairs, then both halves.
#[inline]
fn pack(sextets: [u8; 8]) -> [u8; 6] {
    let ones = u64::from_be_bytes(sextets);
    let pairs = (ones & 0x3f00_3f00_3f00_3f00) >> 2 | (ones & 0x003f_003f_003f_003f);
    let quads = (pairs & 0x0fff_0000_0fff_0000) >> 4 | (pairs & 0x0000_0fff_0000_0fff);
    let packed = (quads & 0x00ff_ffff_0000_0000) >> 8 | (quads & 0x0000_0000_00ff_ffff);
    let [_, _, bytes @ ..] = packed.to_be_bytes();
    bytes
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
    }
}
