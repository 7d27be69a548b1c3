//! The protected header of version 2, as the encoded bytes of a key.
//!
//! A header is never parsed. It is compared with the headers of the known server keys.

use crate::{base64url, ids::ServerKeyId};

const JSON_BEFORE_ID: &str =
    r#"{"ver":"aisbreaker.org/jwt/v2","typ":"JWT","alg":"dir","enc":"XC20P","kid":""#;
const JSON_AFTER_ID: &str = r#""}"#;
const JSON_BYTES: usize = JSON_BEFORE_ID
    .len()
    .saturating_add(ServerKeyId::CHARS)
    .saturating_add(JSON_AFTER_ID.len());

/// How every encoded header begins, up to its `enc`.
#[cfg(feature = "ecdh-es")]
const FIRST_CHARS: &[u8] =
    b"eyJ2ZXIiOiJhaXNicmVha2VyLm9yZy9qd3QvdjIiLCJ0eXAiOiJKV1QiLCJhbGciOiJkaXIiLCJlbmMi";

/// The length of an encoded header.
pub(crate) const CHARS: usize = base64url::encoded_len(JSON_BYTES);

/// An encoded header. Its ASCII bytes are also the additional authenticated data.
pub(crate) type Header = [u8; CHARS];

/// Encodes the header of the keys that this server key seals.
pub(crate) fn encode(id: ServerKeyId) -> Header {
    let json = [JSON_BEFORE_ID, id.as_str(), JSON_AFTER_ID].concat();
    let mut header = [0; CHARS];
    base64url::encode_into(json.as_bytes(), &mut header);
    header
}

/// Returns whether a text begins as every encoded header does.
#[cfg(feature = "ecdh-es")]
pub(crate) fn begins(text: &[u8]) -> bool {
    text.starts_with(FIRST_CHARS)
}

/// Returns whether this is the header of a server key, known or unknown.
pub(crate) fn is_well_formed(header: &Header) -> bool {
    let Some(json) = base64url::decode_array::<JSON_BYTES>(header) else {
        return false;
    };
    let Some(from_id) = json.strip_prefix(JSON_BEFORE_ID.as_bytes()) else {
        return false;
    };
    let Some(id) = from_id.strip_suffix(JSON_AFTER_ID.as_bytes()) else {
        return false;
    };
    id.iter().all(|byte| base64url::is_in_alphabet(*byte))
}

#[cfg(all(test, feature = "ecdh-es"))]
mod tests {
    use super::*;

    #[test]
    fn every_header_begins_the_same() {
        for id in [[0; 5], [255; 5]] {
            assert!(begins(&encode(ServerKeyId::from_derived(id))));
        }
    }
}
