//! The public key of a server as a JSON Web Key.

use std::fmt;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};

use super::{KEY_BYTES, agreement, header};
use crate::{base64url, ids::ServerKeyId};

/// The public key of a server key: seals keys that only servers with that server key open.
///
/// It is not a secret. But whoever makes a sealer use another one receives what is sealed: fetch it
/// over https, and compare its [thumbprint](Self::thumbprint).
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct SealingPublicKey {
    id: ServerKeyId,
    point: PublicKey,
}

/// Why a text is not the public key of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JwkError {
    /// The text is not a JSON object.
    #[error("not a JSON Web Key: not a JSON object")]
    NotAnObject,
    /// The key is for another algorithm or use than this crate's, or lacks a member.
    #[error("not the public key of a server: the member {0:?} is missing or has another value")]
    Member(&'static str),
    /// The key is a private one.
    #[error("a private key; it must not leave its owner")]
    Private,
    /// The point has a low order, so that everybody would agree on the same key with it.
    #[error("not a safe public key")]
    LowOrder,
    /// A key set has no key that this crate can seal with, or more than one.
    #[error("key set has {0} keys to seal with, and must have one")]
    Count(usize),
}

impl SealingPublicKey {
    pub(super) fn new(id: ServerKeyId, point: PublicKey) -> Self {
        Self { id, point }
    }

    /// Parses a JWK (RFC 7517), as [`to_jwk`](Self::to_jwk) writes it. `use` and `alg` may be
    /// absent, and members that this crate does not know are ignored.
    ///
    /// # Errors
    /// Returns [`JwkError`] for any other text, and for a private key.
    pub fn from_jwk(json: &str) -> Result<Self, JwkError> {
        match serde_json::from_str(json) {
            Ok(Value::Object(members)) => Self::from_members(&members),
            _ => Err(JwkError::NotAnObject),
        }
    }

    /// Parses a JWK set (RFC 7517 section 5), and returns its one key for sealing.
    ///
    /// # Errors
    /// Returns [`JwkError::Count`] unless exactly one key is a public key of a server.
    pub fn from_jwk_set(json: &str) -> Result<Self, JwkError> {
        let Ok(Value::Object(set)) = serde_json::from_str(json) else {
            return Err(JwkError::NotAnObject);
        };
        let Some(Value::Array(keys)) = set.get("keys") else {
            return Err(JwkError::Member("keys"));
        };
        let mut usable = Vec::new();
        for key in keys {
            if let Value::Object(members) = key
                && let Ok(key) = Self::from_members(members)
            {
                usable.push(key);
            }
        }
        match usable.as_slice() {
            [key] => Ok(*key),
            keys => Err(JwkError::Count(keys.len())),
        }
    }

    fn from_members(members: &Map<String, Value>) -> Result<Self, JwkError> {
        if members.contains_key("d") {
            return Err(JwkError::Private);
        }
        let text = |name: &'static str| match members.get(name) {
            Some(Value::String(text)) => Ok(Some(text.as_bytes())),
            None => Ok(None),
            Some(_) => Err(JwkError::Member(name)),
        };
        for (name, value) in [("kty", "OKP"), ("crv", "X25519")] {
            if text(name)? != Some(value.as_bytes()) {
                return Err(JwkError::Member(name));
            }
        }
        for (name, value) in [("use", "enc"), ("alg", "ECDH-ES")] {
            if text(name)?.is_some_and(|text| text != value.as_bytes()) {
                return Err(JwkError::Member(name));
            }
        }
        let id = ServerKeyId::parse(text("kid")?.unwrap_or_default());
        let point = header::decode_key(text("x")?.unwrap_or_default());
        let key = Self {
            id: id.ok_or(JwkError::Member("kid"))?,
            point: PublicKey::from(point.ok_or(JwkError::Member("x"))?),
        };
        let any_private = StaticSecret::from([1; KEY_BYTES]);
        match agreement::encryption_key(&any_private, &key.point) {
            Some(_) => Ok(key),
            None => Err(JwkError::LowOrder),
        }
    }

    /// Returns the JWK: `{"kty":"OKP","crv":"X25519","x":"…","kid":"…","use":"enc","alg":"ECDH-ES"}`.
    pub fn to_jwk(&self) -> String {
        format!(
            r#"{{"kty":"OKP","crv":"X25519","x":"{}","kid":"{}","use":"enc","alg":"ECDH-ES"}}"#,
            self.x(),
            self.id
        )
    }

    /// Returns the JWK set whose only key this is (RFC 7517 section 5).
    pub fn to_jwk_set(&self) -> String {
        format!(r#"{{"keys":[{}]}}"#, self.to_jwk())
    }

    /// Returns the JWK thumbprint by SHA-256, in base64url (RFC 7638, RFC 8037 section 2).
    pub fn thumbprint(&self) -> String {
        let members = format!(r#"{{"crv":"X25519","kty":"OKP","x":"{}"}}"#, self.x());
        base64url::encode(&Sha256::digest(members))
    }

    /// Returns the `kid`, which is not the id of the server key.
    pub fn id(&self) -> ServerKeyId {
        self.id
    }

    pub(super) fn point(&self) -> &PublicKey {
        &self.point
    }

    fn x(&self) -> String {
        base64url::encode(self.point.as_bytes())
    }
}

impl fmt::Debug for SealingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingPublicKey({}, {})", self.id, self.x())
    }
}
