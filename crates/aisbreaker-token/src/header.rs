//! The protected header of version 2, as the bytes that stand in a key.
//!
//! A header is never parsed: it is compared with, or looked up among, the headers of the known
//! server keys.

use crate::{ServerKeyId, encoding};

const JSON_BEFORE_ID: &str =
    r#"{"ver":"aisbreaker.org/jwt/v2","typ":"JWT","alg":"dir","enc":"XC20P","kid":""#;
const JSON_AFTER_ID: &str = r#""}"#;
const JSON_BYTES: usize = JSON_BEFORE_ID
    .len()
    .saturating_add(ServerKeyId::CHARS)
    .saturating_add(JSON_AFTER_ID.len());

/// How many characters an encoded header has.
pub(crate) const CHARS: usize = encoding::encoded_len(JSON_BYTES);

/// An encoded header. Its ASCII bytes are also the additional data of the encryption.
pub(crate) type Header = [u8; CHARS];

/// The encoded header for this server key.
pub(crate) fn encode(id: ServerKeyId) -> Header {
    let mut header = [0; CHARS];
    let json = [JSON_BEFORE_ID, id.as_str(), JSON_AFTER_ID].concat();
    encoding::encode_into(json.as_bytes(), &mut header);
    header
}

/// Whether this is the header of some server key, known or not.
pub(crate) fn has_the_form(header: &Header) -> bool {
    let Some(json) = encoding::decode_array::<JSON_BYTES>(header) else {
        return false;
    };
    json.strip_prefix(JSON_BEFORE_ID.as_bytes())
        .and_then(|rest| rest.strip_suffix(JSON_AFTER_ID.as_bytes()))
        .is_some_and(|id| {
            id.iter()
                .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}
