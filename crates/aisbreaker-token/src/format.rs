//! The text form of a key: its prefix and limits, and the encoded parts of its JWE (RFC 7516).

pub(crate) mod header;

use zeroize::Zeroizing;

use crate::base64url;

/// The prefix of every key.
pub const PREFIX: &str = "aisbreaker_";

/// The maximum length of a key to open. Longer ones are refused without reading them.
pub const MAX_OPEN_CHARS: usize = 16 * 1024;

/// The maximum length of a key to seal, since many proxies limit a header field to 8 KiB.
pub const MAX_SEAL_CHARS: usize = 6 * 1024;

/// How many keys a key may descend from.
pub const MAX_DELEGATION_DEPTH: usize = 3;

/// The length of a nonce of XChaCha20-Poly1305.
pub(crate) const NONCE_BYTES: usize = 24;

/// The length of an authentication tag, which both versions of the format share.
pub(crate) const TAG_BYTES: usize = 16;

/// The version of the key format.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Version {
    /// The format of the original AIsBreaker server, opened only with the feature `legacy`.
    V1,
    /// The format that a server seals.
    V2,
    /// The format that anyone seals with the public key of a server, opened only with the feature
    /// `ecdh-es`.
    Offline,
}

/// The decoded parts of a key that follow its header.
pub(crate) struct EncryptedParts<const NONCE_BYTES: usize> {
    pub(crate) nonce: [u8; NONCE_BYTES],
    /// Decrypted in place, and therefore wiped on drop.
    pub(crate) ciphertext: Zeroizing<Vec<u8>>,
    pub(crate) tag: [u8; TAG_BYTES],
}

impl<const NONCE_BYTES: usize> EncryptedParts<NONCE_BYTES> {
    /// Decodes `..nonce.ciphertext.tag`.
    ///
    /// Only the length of the ciphertext is variable, and a dot is not a character of base64url, so
    /// each dot is either where it must be or the text is refused.
    pub(crate) fn decode(text: &[u8]) -> Option<Self> {
        let after_header = text.strip_prefix(b"..")?;
        let nonce_chars = base64url::encoded_len(NONCE_BYTES);
        let (nonce, after_nonce) = after_header.split_at_checked(nonce_chars)?;
        let body = after_nonce.strip_prefix(b".")?;
        let tag_start = body.len().checked_sub(base64url::encoded_len(TAG_BYTES))?;
        let (before_tag, tag) = body.split_at_checked(tag_start)?;
        let encoded = before_tag.strip_suffix(b".")?;

        let mut ciphertext = Zeroizing::new(vec![0; base64url::decoded_len(encoded.len())]);
        base64url::decode_into(encoded, &mut ciphertext)?;
        Some(Self {
            nonce: base64url::decode_array(nonce)?,
            ciphertext,
            tag: base64url::decode_array(tag)?,
        })
    }
}
