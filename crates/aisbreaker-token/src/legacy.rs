//! Legacy keys, those of the original AIsBreaker server: opened, never sealed.
//!
//! A legacy key is a compact JWE with `alg: dir` and `enc: A128CBC-HS256` (RFC 7518 section 5.2.3)
//! under the SHA-256 of a phrase. The original server accepts other headers too; this crate accepts
//! only the one that it writes.

use aes::Aes128;
use cbc::cipher::{BlockModeDecrypt as _, KeyIvInit as _, block_padding::Pkcs7};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{error::OpenError, format::EncryptedParts};

/// `{"ver":"aisbreaker.org/jwt/v1","typ":"JOSE","alg":"dir","enc":"A128CBC-HS256"}`
const HEADER: &[u8] =
    b"eyJ2ZXIiOiJhaXNicmVha2VyLm9yZy9qd3QvdjEiLCJ0eXAiOiJKT1NFIiwiYWxnIjoiZGlyIiwi\
    ZW5jIjoiQTEyOENCQy1IUzI1NiJ9";
const IV_BYTES: usize = 16;

/// The key that the original server derives from a phrase. Wiped on drop.
pub(crate) struct LegacyKey {
    mac: Zeroizing<[u8; 16]>,
    encryption: Zeroizing<[u8; 16]>,
}

impl LegacyKey {
    /// Derives the key by SHA-256, which the format fixes: without salt or stretching.
    pub(crate) fn from_phrase(phrase: &str) -> Self {
        let digest: Zeroizing<[u8; 32]> = Zeroizing::new(Sha256::digest(phrase.as_bytes()).into());
        let (front, back) = digest.split_at(16);
        let (mut mac, mut encryption) = (Zeroizing::new([0; 16]), Zeroizing::new([0; 16]));
        mac.copy_from_slice(front);
        encryption.copy_from_slice(back);
        Self { mac, encryption }
    }

    fn authenticates(&self, iv: &[u8], ciphertext: &[u8], tag: &[u8]) -> bool {
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(self.mac.as_slice()) else {
            return false;
        };
        let header_bits = (HEADER.len() as u64).saturating_mul(8);
        mac.chain_update(HEADER)
            .chain_update(iv)
            .chain_update(ciphertext)
            .chain_update(header_bits.to_be_bytes())
            .verify_truncated_left(tag)
            .is_ok()
    }
}

/// Compares in constant time, so that a ring holds no key twice.
impl PartialEq for LegacyKey {
    fn eq(&self, other: &Self) -> bool {
        (self.mac.ct_eq(other.mac.as_slice()) & self.encryption.ct_eq(other.encryption.as_slice()))
            .into()
    }
}

/// Returns the text after the header, or `None` if the header is not that of a legacy key.
pub(crate) fn strip_header(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(HEADER)?;
    if rest.starts_with(b".") {
        Some(rest)
    } else {
        None
    }
}

/// Decrypts the text after the header with the first key that authenticates it.
pub(crate) fn decrypt(keys: &[LegacyKey], text: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let Some(parts) = EncryptedParts::<IV_BYTES>::decode(text) else {
        return Err(OpenError::Malformed);
    };
    let EncryptedParts {
        nonce: iv,
        ciphertext: mut buffer,
        tag,
    } = parts;
    let not_authentic = OpenError::NotAuthentic { server_key: None };
    let Some(key) = keys
        .iter()
        .find(|key| key.authenticates(&iv, &buffer, &tag))
    else {
        return Err(not_authentic);
    };
    let cipher = cbc::Decryptor::<Aes128>::new((&*key.encryption).into(), &iv.into());
    let Ok(claims) = cipher.decrypt_padded::<Pkcs7>(&mut buffer) else {
        return Err(not_authentic);
    };
    let claims_bytes = claims.len();
    buffer.truncate(claims_bytes);
    Ok(buffer)
}

#[cfg(test)]
mod tests;
