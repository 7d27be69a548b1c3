//! Opening keys: from text to a payload that is authentic and valid here and now.

use std::{fmt, time::SystemTime};

use chacha20poly1305::{AeadInOut as _, Tag, XNonce};
use serde::de::{DeserializeOwned, IgnoredAny};
use zeroize::Zeroizing;

use crate::{
    ClaimsFault, Host, KeyId, KeyRing, MAX_OPEN_CHARS, OpenError, PREFIX, ServerKeyId,
    claims::{self, Registered, Times},
    encoding,
    header::{self, Header},
    ring::RingKey,
    sealing::{NONCE_BYTES, TAG_BYTES},
};

/// The format of a key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Version {
    /// This crate's format.
    V2,
    /// The original AIsBreaker server's format; opened only with feature `legacy`.
    Original,
}

/// A key that was opened: authentic, for this host, and valid at the time given. Only
/// [`KeyRing::open`] makes one.
pub struct Opened<P> {
    id: KeyId,
    version: Version,
    issued_at: Option<SystemTime>,
    expires_at: SystemTime,
    payload: P,
}

impl<P> Opened<P> {
    /// Names the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Which format the key has.
    pub fn version(&self) -> Version {
        self.version
    }

    /// When the key was made. `None` only for a key of the original server that does not tell.
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.issued_at
    }

    /// The first moment at which the key is refused.
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// What was sealed.
    pub fn payload(&self) -> &P {
        &self.payload
    }

    /// What was sealed, without the rest.
    pub fn into_payload(self) -> P {
        self.payload
    }
}

impl<P> fmt::Debug for Opened<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("id", &self.id)
            .field("version", &self.version)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Opens a key and returns the payload inside it.
    ///
    /// Checked in this order: prefix; length (over [`MAX_OPEN_CHARS`] characters are refused
    /// unread); header; authenticity; `exp` (refused from that very second on); `iat` (at most 60
    /// seconds ahead of `now`); `nbf` if there is one; host. Of the original server's keys `iat` is
    /// not checked, as that server does not either.
    ///
    /// Refusing a key costs the same however many server keys are in the ring, except that the
    /// phrases are tried one by one on the original server's keys.
    ///
    /// # Errors
    /// [`OpenError`], by cause, for the log. Answer all of them alike.
    pub fn open<P: DeserializeOwned>(
        &self,
        key: &str,
        host: &Host,
        now: SystemTime,
    ) -> Result<Opened<P>, OpenError> {
        let text = key
            .strip_prefix(PREFIX)
            .ok_or(OpenError::NoPrefix)?
            .as_bytes();
        if key.len() > MAX_OPEN_CHARS {
            return Err(OpenError::TooLong);
        }
        #[cfg(feature = "legacy")]
        if let Some(rest) = crate::original::strip_header(text) {
            let claims = crate::original::decrypt(&self.original, rest)?;
            let authentic = Authentic {
                version: Version::Original,
                key: None,
                claims,
            };
            return authentic.accept(|_| Ok(KeyId::of_original(key)), host, now);
        }
        let (header, rest) = text
            .split_first_chunk::<{ header::CHARS }>()
            .ok_or(OpenError::Malformed)?;
        let ring_key = self.find(header).ok_or_else(|| refuse_header(header))?;
        let claims = decrypt(ring_key, rest)?;
        let authentic = Authentic {
            version: Version::V2,
            key: Some(ring_key.id()),
            claims,
        };
        authentic.accept(|registered| registered.key_id(), host, now)
    }
}

fn refuse_header(header: &Header) -> OpenError {
    if header::has_the_form(header) {
        OpenError::UnknownServerKey
    } else {
        OpenError::UnsupportedHeader
    }
}

fn decrypt(key: &RingKey, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let Sealed {
        nonce,
        mut buffer,
        tag,
    } = split::<NONCE_BYTES>(text).ok_or(OpenError::Malformed)?;
    key.cipher()
        .decrypt_inout_detached(
            &XNonce::from(nonce),
            &key.header,
            buffer.as_mut_slice().into(),
            &Tag::from(tag),
        )
        .or(Err(OpenError::NotAuthentic {
            server_key: Some(key.id()),
        }))?;
    Ok(buffer)
}

/// The parts of a key that follow its header, decoded.
pub(crate) struct Sealed<const NONCE: usize> {
    pub(crate) nonce: [u8; NONCE],
    pub(crate) buffer: Zeroizing<Vec<u8>>,
    pub(crate) tag: [u8; TAG_BYTES],
}

/// Splits and decodes `..nonce.ciphertext.tag`. Only the ciphertext's length is free, and no
/// character of base64url is a dot, so that the dots are where they must be or the text is refused.
pub(crate) fn split<const NONCE: usize>(text: &[u8]) -> Option<Sealed<NONCE>> {
    let text = text.strip_prefix(b"..")?;
    let (nonce, text) = text.split_at_checked(encoding::encoded_len(NONCE))?;
    let text = text.strip_prefix(b".")?;
    let (text, tag) =
        text.split_at_checked(text.len().checked_sub(encoding::encoded_len(TAG_BYTES))?)?;
    let ciphertext = text.strip_suffix(b".")?;

    let mut buffer = Zeroizing::new(vec![0; encoding::decoded_len(ciphertext.len())]);
    encoding::decode_into(ciphertext, &mut buffer)?;
    Some(Sealed {
        nonce: encoding::decode_array(nonce)?,
        buffer,
        tag: encoding::decode_array(tag)?,
    })
}

/// The claims of an authentic key, not yet known to be valid here and now.
struct Authentic {
    version: Version,
    key: Option<ServerKeyId>,
    claims: Zeroizing<Vec<u8>>,
}

impl Authentic {
    /// Checks the claims and takes out the payload.
    ///
    /// Claims and payload are read in one pass. Only when that fails, the claims are read once more
    /// without the payload, so that the claims are judged before it.
    fn accept<P: DeserializeOwned>(
        self,
        id: impl FnOnce(&Registered<'_>) -> Result<KeyId, ClaimsFault>,
        host: &Host,
        now: SystemTime,
    ) -> Result<Opened<P>, OpenError> {
        let unusable = |fault| OpenError::InvalidClaims {
            server_key: self.key,
            fault,
        };
        let json = str::from_utf8(&self.claims).or(Err(unusable(ClaimsFault::NotAnObject)))?;

        let mut registered = Registered::new(self.version);
        let payload = claims::read::<P>(json, &mut registered);
        if payload.is_err() {
            registered = Registered::new(self.version);
            if claims::read::<IgnoredAny>(json, &mut registered).is_err() {
                return Err(unusable(
                    registered.fault.unwrap_or(ClaimsFault::NotAnObject),
                ));
            }
        }

        let id = id(&registered).map_err(unusable)?;
        let Times {
            issued_at,
            expires_at,
        } = registered.check(id, host, now, unusable)?;
        let payload = payload.or(Err(OpenError::Payload { id }))?;
        Ok(Opened {
            id,
            version: self.version,
            issued_at,
            expires_at,
            payload,
        })
    }
}

#[cfg(test)]
mod tests;
