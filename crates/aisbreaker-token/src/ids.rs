//! The ids of an API key and of the server key that sealed it. Neither is a secret.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

use crate::{base64url, json_str::JsonStr};

/// The id of an API key, for logs, counters and revocation.
///
/// It is not a secret and opens nothing. A key of version 2 is identified by the 128 random bits of
/// its `jti`. If another implementation wrote a `jti` of another form, the id is the SHA-256 of the
/// `jti`. A legacy key has no `jti`, so its id is the SHA-256 of its text.
///
/// `Display` writes base64url: 22 characters for random bits, 43 for a digest.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyId(IdBytes);

#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum IdBytes {
    Random([u8; 16]),
    Digest([u8; 32]),
}

impl KeyId {
    pub(crate) fn from_random(bytes: [u8; 16]) -> Self {
        Self(IdBytes::Random(bytes))
    }

    /// Returns `None` for an empty `jti`.
    pub(crate) fn from_jti(jti: &str) -> Option<Self> {
        if jti.is_empty() {
            return None;
        }
        match base64url::decode_array(jti.as_bytes()) {
            Some(bytes) => Some(Self::from_random(bytes)),
            None => Some(Self::digest_of(jti)),
        }
    }

    pub(crate) fn digest_of(text: &str) -> Self {
        Self(IdBytes::Digest(Sha256::digest(text.as_bytes()).into()))
    }

    /// Returns the 16 random bytes of a `jti`, or the 32 bytes of a digest.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            IdBytes::Random(bytes) => bytes,
            IdBytes::Digest(bytes) => bytes,
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&base64url::encode(self.as_bytes()))
    }
}

/// Parses what `Display` writes.
impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        if let Some(bytes) = base64url::decode_array(text.as_bytes()) {
            return Ok(Self(IdBytes::Random(bytes)));
        }
        match base64url::decode_array(text.as_bytes()) {
            Some(bytes) => Ok(Self(IdBytes::Digest(bytes))),
            None => Err(KeyIdError),
        }
    }
}

/// The error of [`KeyId::from_str`] for a text that is not an id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the id of a key, which is 22 or 43 characters of base64url")]
#[non_exhaustive]
pub struct KeyIdError;

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let JsonStr(text) = JsonStr::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// The id of a server key: the `kid` of the API keys that it seals.
///
/// It is not a secret, and every server with the same key has the same id.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServerKeyId([u8; Self::CHARS]);

impl ServerKeyId {
    /// The length in base64url characters.
    pub(crate) const CHARS: usize = 6;

    /// Takes the first six base64url characters, 36 bits, of five derived bytes.
    pub(crate) fn from_derived(bytes: [u8; 5]) -> Self {
        let mut text = [0; base64url::encoded_len(5)];
        base64url::encode_into(&bytes, &mut text);
        let [a, b, c, d, e, f, _] = text;
        Self([a, b, c, d, e, f])
    }

    /// Parses the text of an id. Returns `None` unless it is six base64url characters.
    #[cfg(feature = "ecdh-es")]
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let chars = <[u8; Self::CHARS]>::try_from(text).ok()?;
        if chars.iter().all(|&char| base64url::is_in_alphabet(char)) {
            Some(Self(chars))
        } else {
            None
        }
    }

    /// Returns the id as text: six base64url characters.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ServerKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ServerKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerKeyId({self})")
    }
}
