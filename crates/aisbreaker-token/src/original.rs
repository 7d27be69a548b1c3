//! The keys of the original AIsBreaker server: opened, never sealed.
//!
//! A compact JWE with `alg: dir` and `enc: A128CBC-HS256` (RFC 7518 section 5.2.3) under the
//! SHA-256 of a phrase. That server would also take other headers; here the one that it writes is
//! pinned.

use aes::Aes128;
use cbc::cipher::{BlockModeDecrypt as _, KeyIvInit as _, block_padding::Pkcs7};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{OpenError, opening};

/// `{"ver":"aisbreaker.org/jwt/v1","typ":"JOSE","alg":"dir","enc":"A128CBC-HS256"}`
const HEADER: &[u8] =
    b"eyJ2ZXIiOiJhaXNicmVha2VyLm9yZy9qd3QvdjEiLCJ0eXAiOiJKT1NFIiwiYWxnIjoiZGlyIiwiZW5jIjoiQTEyOENCQy1IUzI1NiJ9";
const IV_BYTES: usize = 16;

/// What the original server derives from a phrase. Wiped on drop.
pub(crate) struct OriginalKey {
    mac: Zeroizing<[u8; 16]>,
    encryption: Zeroizing<[u8; 16]>,
}

impl OriginalKey {
    /// SHA-256, without salt or stretching: the format leaves no choice.
    pub(crate) fn from_text(text: &str) -> Self {
        let digest: Zeroizing<[u8; 32]> = Zeroizing::new(Sha256::digest(text.as_bytes()).into());
        let (mut mac, mut encryption) = (Zeroizing::new([0; 16]), Zeroizing::new([0; 16]));
        let (front, back) = digest.split_at(16);
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

/// Whether two keys are the same, so that none is tried twice.
impl PartialEq for OriginalKey {
    fn eq(&self, other: &Self) -> bool {
        (self.mac.ct_eq(other.mac.as_slice()) & self.encryption.ct_eq(other.encryption.as_slice()))
            .into()
    }
}

/// What follows the header, if it is that of the original server.
pub(crate) fn strip_header(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(HEADER)
        .filter(|rest| rest.starts_with(b"."))
}

/// Decrypts what follows the header with the first of the keys that authenticates it.
pub(crate) fn decrypt(keys: &[OriginalKey], text: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let opening::Sealed {
        nonce: iv,
        mut buffer,
        tag,
    } = opening::split::<IV_BYTES>(text).ok_or(OpenError::Malformed)?;
    let not_authentic = OpenError::NotAuthentic { server_key: None };
    let key = keys
        .iter()
        .find(|key| key.authenticates(&iv, &buffer, &tag))
        .ok_or(not_authentic)?;
    let claims_bytes = cbc::Decryptor::<Aes128>::new((&*key.encryption).into(), &iv.into())
        .decrypt_padded::<Pkcs7>(&mut buffer)
        .or(Err(not_authentic))?
        .len();
    buffer.truncate(claims_bytes);
    Ok(buffer)
}

#[cfg(test)]
mod tests;
