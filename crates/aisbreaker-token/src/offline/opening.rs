//! Opening offline keys: from text to claims that are authentic.

use aes_gcm::{AeadInOut as _, Aes256Gcm, KeyInit as _, Nonce, Tag};
use zeroize::Zeroizing;

use super::{
    IV_BYTES,
    header::{self, OfflineHeader},
};
use crate::{
    error::OpenError,
    format::{EncryptedParts, MAX_OPEN_CHARS, PREFIX, header as native_header},
    ring::{KeyRing, RingKey},
};

/// An offline key that may be authentic: all is checked that needs no key agreement.
pub(crate) struct UnopenedKey<'a> {
    pub(crate) server_key: &'a RingKey,
    encoded_header: &'a [u8],
    header: OfflineHeader,
    parts: EncryptedParts<IV_BYTES>,
}

/// Finds the server key of an offline key, given its text after the prefix.
pub(crate) fn find<'a>(ring: &'a KeyRing, text: &'a str) -> Result<UnopenedKey<'a>, OpenError> {
    let text = text.as_bytes();
    let within_header = text.iter().take(header::MAX_CHARS.saturating_add(1));
    let Some(header_chars) = within_header.into_iter().position(|&byte| byte == b'.') else {
        return Err(OpenError::UnsupportedHeader);
    };
    let (encoded_header, rest) = text.split_at(header_chars);
    let Some(header) = header::parse(encoded_header) else {
        return Err(OpenError::UnsupportedHeader);
    };
    let Some(server_key) = ring.find_key_pair(header.key_id) else {
        return Err(OpenError::UnknownServerKey);
    };
    let Some(parts) = EncryptedParts::decode(rest) else {
        return Err(OpenError::Malformed);
    };
    Ok(UnopenedKey {
        server_key,
        encoded_header,
        header,
        parts,
    })
}

/// Decrypts the claims of an offline key.
pub(crate) fn decrypt(key: UnopenedKey<'_>) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let not_authentic = OpenError::NotAuthentic {
        server_key: Some(key.server_key.id()),
    };
    let agreement = &key.server_key.key.agreement;
    let Some(encryption_key) = agreement.encryption_key(&key.header.ephemeral()) else {
        return Err(not_authentic);
    };
    let EncryptedParts {
        nonce: iv,
        ciphertext: mut buffer,
        tag,
    } = key.parts;
    let cipher = Aes256Gcm::new((&*encryption_key).into());
    let outcome = cipher.decrypt_inout_detached(
        &Nonce::from(iv),
        key.encoded_header,
        buffer.as_mut_slice().into(),
        &Tag::from(tag),
    );
    match outcome {
        Ok(()) => Ok(buffer),
        Err(_) => Err(not_authentic),
    }
}

impl KeyRing {
    /// Returns whether opening this text takes a key agreement, which costs some twenty times as
    /// much as opening a key that a server sealed.
    ///
    /// It does if the text is an offline key for a server key of this ring, or seems to be one.
    /// A server should limit how often one client makes it agree on keys in vain.
    pub fn takes_key_agreement(&self, key: &str) -> bool {
        let Some(text) = key.strip_prefix(PREFIX) else {
            return false;
        };
        self.opens_offline_keys
            && !native_header::begins(text.as_bytes())
            && key.len() <= MAX_OPEN_CHARS
            && find(self, text).is_ok()
    }
}
