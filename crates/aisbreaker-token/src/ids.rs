//! Names for keys that are safe to log: of an API key, and of the server key that sealed it.

use std::fmt;

use crate::encoding;

/// Names one API key, for logs, counters and revocation. It is not a secret and opens nothing.
///
/// For a key of version 2 it is the 128 random bits of its `jti` (of a `jti` of another form, as
/// other implementations may write it, the SHA-256), for one of the original server's keys the
/// SHA-256 of its text. `Display` writes base64url: 22 or 43 characters.
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

    pub(crate) fn from_jti(jti: &str) -> Option<Self> {
        let random = encoding::decode_array(jti.as_bytes()).map(Self::from_random);
        random.or_else(|| (!jti.is_empty()).then(|| Self::digest_of(jti)))
    }

    fn digest_of(text: &str) -> Self {
        use sha2::Digest as _;
        Self(IdBytes::Digest(
            sha2::Sha256::digest(text.as_bytes()).into(),
        ))
    }

    #[cfg(feature = "legacy")]
    pub(crate) fn of_original(text: &str) -> Self {
        Self::digest_of(text)
    }

    /// The 16 bytes of a `jti`, or the 32 of a digest.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            IdBytes::Random(bytes) => bytes,
            IdBytes::Digest(bytes) => bytes,
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&encoding::encode(self.as_bytes()))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Names a server key: the `kid` of the API keys that it sealed. It is not a secret and is the same
/// on every server with that key.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServerKeyId([u8; Self::CHARS]);

impl ServerKeyId {
    /// How many base64url characters it has.
    pub(crate) const CHARS: usize = 6;

    /// The first six characters of the base64url text of five derived bytes: 36 bits.
    pub(crate) fn from_derived(bytes: [u8; 5]) -> Self {
        let mut text = [0; encoding::encoded_len(5)];
        encoding::encode_into(&bytes, &mut text);
        let [a, b, c, d, e, f, _] = text;
        Self([a, b, c, d, e, f])
    }

    /// Its text.
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
