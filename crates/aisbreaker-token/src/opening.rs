//! Opening keys: from text to a payload that is authentic, and valid now and for this host.

#[cfg(feature = "ecdh-es")]
use std::borrow::Cow;
use std::{fmt, time::SystemTime};

use chacha20poly1305::{AeadInOut as _, Tag, XNonce};
#[cfg(feature = "ecdh-es")]
use secrecy::SecretString;
use serde::de::{DeserializeOwned, IgnoredAny};
use zeroize::Zeroizing;

#[cfg(feature = "legacy")]
use crate::legacy;
use crate::{
    claims::{self, Grant, LenientGrant, RegisteredClaims, Validity},
    error::{ClaimsFault, OpenError},
    format::{
        EncryptedParts, MAX_OPEN_CHARS, NONCE_BYTES, PREFIX, Version,
        header::{self, Header},
    },
    host::Host,
    ids::{KeyId, ServerKeyId},
    ring::{KeyRing, RingKey},
};
#[cfg(feature = "ecdh-es")]
use crate::{error::NestingFault, offline};

/// An opened key: authentic, for this host, and valid at the given time.
///
/// Only [`KeyRing::open`] creates one.
pub struct Opened<P> {
    id: KeyId,
    version: Version,
    validity: Validity,
    /// `None`: a server sealed it.
    #[cfg(feature = "ecdh-es")]
    offline: Option<Box<OfflineClaims>>,
    payload: P,
}

/// The claims that only an offline key has.
#[cfg(feature = "ecdh-es")]
struct OfflineClaims {
    client_secret: Option<SecretString>,
    parent: Option<SecretString>,
}

impl<P> Opened<P> {
    /// Returns the id of the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the version of the key's format.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns whether the key was sealed with a public key of this ring, which anyone can do.
    ///
    /// Only a ring [with offline keys](KeyRing::with_offline_keys) opens such a key.
    #[cfg(feature = "ecdh-es")]
    pub fn is_offline(&self) -> bool {
        self.version == Version::Offline
    }

    /// Returns the claim `clientSecret` of an offline key: what its sealer gave as proof that it may
    /// seal keys.
    #[cfg(feature = "ecdh-es")]
    pub fn client_secret(&self) -> Option<&SecretString> {
        self.offline.as_ref()?.client_secret.as_ref()
    }

    /// Returns whether the key is nested: sealed offline around another whole key, its parent, which
    /// it narrows.
    #[cfg(feature = "ecdh-es")]
    pub fn is_nested(&self) -> bool {
        self.parent().is_some()
    }

    #[cfg(feature = "ecdh-es")]
    pub(crate) fn parent(&self) -> Option<&SecretString> {
        self.offline.as_ref()?.parent.as_ref()
    }

    #[cfg(feature = "ecdh-es")]
    pub(crate) fn validity_mut(&mut self) -> &mut Validity {
        &mut self.validity
    }

    #[cfg(feature = "ecdh-es")]
    pub(crate) fn payload_mut(&mut self) -> &mut P {
        &mut self.payload
    }

    /// Returns when the key was sealed. `None` only for a legacy key without `iat`.
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.validity.issued_at
    }

    /// Returns the first moment at which the key is accepted, if it names one.
    pub fn not_before(&self) -> Option<SystemTime> {
        self.validity.not_before
    }

    /// Returns the first moment at which the key is refused.
    pub fn expires_at(&self) -> SystemTime {
        self.validity.expires_at
    }

    /// Returns the payload.
    pub fn payload(&self) -> &P {
        &self.payload
    }

    /// Converts the payload.
    #[cfg(feature = "legacy")]
    fn map<Q>(self, convert: impl FnOnce(P) -> Q) -> Opened<Q> {
        Opened {
            id: self.id,
            version: self.version,
            validity: self.validity,
            #[cfg(feature = "ecdh-es")]
            offline: self.offline,
            payload: convert(self.payload),
        }
    }

    /// Returns the payload, dropping the rest.
    pub fn into_payload(self) -> P {
        self.payload
    }
}

impl<P> fmt::Debug for Opened<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("id", &self.id)
            .field("version", &self.version)
            .field("expires_at", &self.validity.expires_at)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Opens a key and returns its payload.
    ///
    /// The checks run in this order:
    ///
    /// 1. the prefix;
    /// 2. the length, at most [`MAX_OPEN_CHARS`], before anything else is read;
    /// 3. the header;
    /// 4. the authentication tag;
    /// 5. `exp`, the first second at which the key is refused;
    /// 6. `iat`, at most 60 seconds ahead of `now`. It is not checked in a legacy key, since the
    ///    original server does not check it either;
    /// 7. `nbf`, if present;
    /// 8. the host.
    ///
    /// Refusing a key costs the same however many server keys are in the ring, except for a legacy
    /// key, on which the phrases are tried one by one.
    ///
    /// # Errors
    /// Returns the [`OpenError`] of the first check that fails, for the log. Respond the same way
    /// to all of them.
    pub fn open<P: DeserializeOwned>(
        &self,
        key: &str,
        host: &Host,
        now: SystemTime,
    ) -> Result<Opened<P>, OpenError> {
        let opened = self.open_as::<P, P>(claims::parse, key, host, now)?;
        #[cfg(feature = "ecdh-es")]
        opened.refuse_parent()?;
        Ok(opened)
    }

    /// Opens a key and returns its [`Grant`].
    ///
    /// The checks are those of [`open`](Self::open). A grant with an unknown member is refused,
    /// except in a legacy key, which is read as the original server reads it.
    ///
    /// A nested offline key (feature `ecdh-es`) is opened with its parent, and its grant is that of
    /// both: what a server would have sealed if it had been asked for this child of the parent. It
    /// expires with whichever of them expires first.
    ///
    /// # Errors
    /// Returns those of [`open`](Self::open), [`OpenError::UnknownMember`], and
    /// [`OpenError::Nested`] or the error of the parent for a nested key.
    pub fn open_grant(
        &self,
        key: &str,
        host: &Host,
        now: SystemTime,
    ) -> Result<Opened<Grant>, OpenError> {
        #[cfg(feature = "ecdh-es")]
        return self.open_grant_with(key, host, now, |_| Ok(()));
        #[cfg(not(feature = "ecdh-es"))]
        self.open_grant_alone(key, host, now)
    }

    /// Returns whether a text is a key for this ring, whether it would open or not: one that names
    /// a server key of the ring, or one of the original server that a phrase of the ring opens.
    ///
    /// Neither host nor time count, and native keys are not decrypted. Use it to find a key where
    /// another secret belongs.
    #[must_use]
    pub fn recognizes(&self, key: &str) -> bool {
        let Some(text) = key.strip_prefix(PREFIX) else {
            return false;
        };
        if key.len() > MAX_OPEN_CHARS {
            return false;
        }
        #[cfg(feature = "legacy")]
        if let Some(rest) = legacy::strip_header(text.as_bytes()) {
            return legacy::decrypt(&self.legacy, rest).is_ok();
        }
        if let Some((header, _)) = text.as_bytes().split_first_chunk::<{ header::CHARS }>()
            && self.find(header).is_some()
        {
            return true;
        }
        #[cfg(feature = "ecdh-es")]
        return self.takes_key_agreement(key);
        #[cfg(not(feature = "ecdh-es"))]
        false
    }

    /// Opens a key without its parent.
    pub(crate) fn open_grant_alone(
        &self,
        key: &str,
        host: &Host,
        now: SystemTime,
    ) -> Result<Opened<Grant>, OpenError> {
        self.open_as::<Grant, LenientGrant>(claims::parse_grant, key, host, now)
    }

    /// Opens a key with a payload of type `P`, or of type `Lenient` if it is a legacy key.
    fn open_as<P, Lenient: DeserializeOwned + Into<P>>(
        &self,
        parse: ParsePayload<P>,
        key: &str,
        host: &Host,
        now: SystemTime,
    ) -> Result<Opened<P>, OpenError> {
        let Some(text) = key.strip_prefix(PREFIX) else {
            return Err(OpenError::NoPrefix);
        };
        if key.len() > MAX_OPEN_CHARS {
            return Err(OpenError::TooLong);
        }
        #[cfg(feature = "legacy")]
        if let Some(rest) = legacy::strip_header(text.as_bytes()) {
            let authentic = AuthenticClaims {
                version: Version::V1,
                server_key: None,
                json: legacy::decrypt(&self.legacy, rest)?,
            };
            let key_id = |_: &RegisteredClaims<'_>| Ok(KeyId::digest_of(key));
            let opened = authentic.open(claims::parse::<Lenient>, key_id, host, now)?;
            return Ok(opened.map(Lenient::into));
        }
        let Some((header, rest)) = text.as_bytes().split_first_chunk::<{ header::CHARS }>() else {
            return Err(OpenError::Malformed);
        };
        let Some(server_key) = self.find(header) else {
            #[cfg(feature = "ecdh-es")]
            if self.opens_offline_keys && !header::begins(header) {
                return self.open_offline::<P, Lenient>(parse, (key, text), host, now);
            }
            return Err(refuse_header(header));
        };
        let authentic = AuthenticClaims {
            version: Version::V2,
            server_key: Some(server_key.id()),
            json: decrypt(server_key, rest)?,
        };
        let outcome = authentic.open(parse, |registered| registered.key_id(), host, now);
        authentic.name_unknown_member::<P, Lenient>(outcome)
    }
}

#[cfg(feature = "ecdh-es")]
impl OfflineClaims {
    fn of(registered: RegisteredClaims<'_>) -> Option<Box<Self>> {
        if registered.version() != Version::Offline {
            return None;
        }
        let secret = |text: Cow<'_, str>| SecretString::from(text.into_owned());
        let texts = registered.offline.map(|texts| *texts).unwrap_or_default();
        Some(Box::new(Self {
            client_secret: texts.client_secret.map(secret),
            parent: texts.parent.map(secret),
        }))
    }
}

#[cfg(feature = "ecdh-es")]
impl<P> Opened<P> {
    /// Only a grant has a meaning together with that of a parent.
    fn refuse_parent(&self) -> Result<(), OpenError> {
        match self.parent() {
            Some(_) => Err(OpenError::Nested {
                id: self.id,
                fault: NestingFault::NoGrant,
            }),
            None => Ok(()),
        }
    }
}

#[cfg(feature = "ecdh-es")]
impl KeyRing {
    /// Opens an offline key. `text` is the key without the prefix.
    fn open_offline<P, Lenient: DeserializeOwned>(
        &self,
        parse: ParsePayload<P>,
        (key, text): (&str, &str),
        host: &Host,
        now: SystemTime,
    ) -> Result<Opened<P>, OpenError> {
        let unopened = offline::find(self, text)?;
        let authentic = AuthenticClaims {
            version: Version::Offline,
            server_key: Some(unopened.server_key.id()),
            json: offline::decrypt(unopened)?,
        };
        // Not the `jti`, since a sealer could take that of another key.
        let outcome = authentic.open(parse, |_| Ok(KeyId::digest_of(key)), host, now);
        authentic.name_unknown_member::<P, Lenient>(outcome)
    }
}

fn refuse_header(header: &Header) -> OpenError {
    if header::is_well_formed(header) {
        OpenError::UnknownServerKey
    } else {
        OpenError::UnsupportedHeader
    }
}

/// Decrypts the text after the header.
fn decrypt(key: &RingKey, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let Some(parts) = EncryptedParts::<NONCE_BYTES>::decode(text) else {
        return Err(OpenError::Malformed);
    };
    let EncryptedParts {
        nonce,
        ciphertext: mut buffer,
        tag,
    } = parts;
    let outcome = key.cipher().decrypt_inout_detached(
        &XNonce::from(nonce),
        &key.header,
        buffer.as_mut_slice().into(),
        &Tag::from(tag),
    );
    match outcome {
        Ok(()) => Ok(buffer),
        Err(_) => Err(OpenError::NotAuthentic {
            server_key: Some(key.id()),
        }),
    }
}

/// Parses claims with a payload of type `P`, as [`claims::parse`] does.
type ParsePayload<P> =
    for<'de> fn(&'de str, &mut RegisteredClaims<'de>) -> Result<P, serde_json::Error>;

/// The decrypted claims of an authentic key, not validated yet.
struct AuthenticClaims {
    version: Version,
    server_key: Option<ServerKeyId>,
    json: Zeroizing<Vec<u8>>,
}

impl Drop for AuthenticClaims {
    fn drop(&mut self) {
        // `Zeroizing` wipes elements one by one, but the rest of the capacity at once.
        self.json.clear();
    }
}

impl AuthenticClaims {
    /// Validates the claims and returns the payload.
    ///
    /// The registered claims and the payload are parsed in one pass. Only if that fails are the
    /// claims parsed again without the payload, so that a fault of the claims takes precedence.
    fn open<P>(
        &self,
        parse: ParsePayload<P>,
        key_id: impl FnOnce(&RegisteredClaims<'_>) -> Result<KeyId, ClaimsFault>,
        host: &Host,
        now: SystemTime,
    ) -> Result<Opened<P>, OpenError> {
        let server_key = self.server_key;
        let invalid = |fault| OpenError::InvalidClaims { server_key, fault };
        let Ok(json) = str::from_utf8(&self.json) else {
            return Err(invalid(ClaimsFault::NotAnObject));
        };

        let mut registered = RegisteredClaims::new(self.version);
        let payload = parse(json, &mut registered);
        if payload.is_err() {
            registered = RegisteredClaims::new(self.version);
            if claims::parse::<IgnoredAny>(json, &mut registered).is_err() {
                let fault = registered.fault.unwrap_or(ClaimsFault::NotAnObject);
                return Err(invalid(fault));
            }
        }

        let id = key_id(&registered).map_err(invalid)?;
        let validity = registered
            .check(id, host, now)
            .map_err(|error| error.into_open_error(server_key))?;
        let Ok(payload) = payload else {
            return Err(OpenError::Payload { id });
        };
        Ok(Opened {
            id,
            version: self.version,
            validity,
            #[cfg(feature = "ecdh-es")]
            offline: OfflineClaims::of(registered),
            payload,
        })
    }

    /// Turns the error about a payload into the one that says what is wrong with it, if all that is
    /// wrong is a member that only a lenient reading accepts.
    fn name_unknown_member<P, Lenient: DeserializeOwned>(
        &self,
        outcome: Result<Opened<P>, OpenError>,
    ) -> Result<Opened<P>, OpenError> {
        match outcome {
            Err(OpenError::Payload { id }) if self.has_payload::<Lenient>() => {
                Err(OpenError::UnknownMember { id })
            }
            outcome => outcome,
        }
    }

    /// Returns whether the payload is of this type, whatever the registered claims are.
    fn has_payload<P: DeserializeOwned>(&self) -> bool {
        let mut registered = RegisteredClaims::new(self.version);
        let parse = |json| claims::parse::<P>(json, &mut registered).is_ok();
        str::from_utf8(&self.json).is_ok_and(parse)
    }
}

#[cfg(test)]
mod tests;
