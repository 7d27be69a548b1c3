//! Server keys: generated, parsed or derived from a phrase, and the keys derived from them.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params};
use hkdf::Hkdf;
use secrecy::SecretString;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

#[cfg(feature = "legacy")]
use crate::legacy::LegacyKey;
#[cfg(feature = "ecdh-es")]
use crate::offline::{AgreementKey, SealingPublicKey};
use crate::{
    base64url,
    error::{KeyError, RandomnessError},
    ids::ServerKeyId,
};

/// The minimum length of a phrase to seal with.
const MIN_PHRASE_CHARS: usize = 10;

/// The salt of Argon2id.
///
/// It is public and fixed, so that all servers derive the same key from a phrase. It names the
/// format version, so that a later version derives other keys from the same phrase.
const PHRASE_SALT: &[u8] = b"aisbreaker.org/jwt/v2 phrase";
const PHRASE_MEMORY_KIB: u32 = 64 * 1024;
const PHRASE_PASSES: u32 = 3;
const PHRASE_LANES: u32 = 1;

/// The `info` of HKDF for the content encryption key.
const ENCRYPTION_LABEL: &[u8] = b"aisbreaker.org/jwt/v2 XC20P key";
/// The `info` of HKDF for the `kid`.
const ID_LABEL: &[u8] = b"aisbreaker.org/jwt/v2 kid";

/// The secret key of a server, which seals and opens API keys.
///
/// It is wiped on drop, and cannot be printed, cloned or serialized.
pub struct ServerKey {
    /// The configured 32 bytes. `None` for a key derived from a phrase.
    pub(crate) raw: Option<Zeroizing<[u8; 32]>>,
    pub(crate) derived: DerivedKey,
    #[cfg(feature = "legacy")]
    pub(crate) legacy: LegacyKey,
}

impl ServerKey {
    /// Generates a random key.
    ///
    /// # Errors
    /// Returns [`KeyError::Randomness`] if the operating system returns no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice()).map_err(RandomnessError)?;
        Ok(Self::from_bytes(*bytes))
    }

    /// Creates a key from 32 uniformly random bytes.
    ///
    /// Use [`from_phrase`](Self::from_phrase) for a secret that a person chose.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let raw = Zeroizing::new(bytes);
        Self {
            derived: DerivedKey::from_root(&raw),
            #[cfg(feature = "legacy")]
            legacy: LegacyKey::from_phrase(&Zeroizing::new(base64url::encode(raw.as_slice()))),
            raw: Some(raw),
        }
    }

    /// Derives a key from a phrase by Argon2id with 64 MiB of memory, three passes and one lane.
    ///
    /// This takes about a fifth of a second, so do it once at startup. The UTF-8 bytes of the
    /// phrase are neither trimmed nor normalized.
    ///
    /// # Errors
    /// Returns [`KeyError::TooShort`] for a phrase under ten characters, and
    /// [`KeyError::Derivation`] if there is not enough memory.
    pub fn from_phrase(phrase: &str) -> Result<Self, KeyError> {
        check_min_chars(phrase, MIN_PHRASE_CHARS)?;
        Ok(Self {
            raw: None,
            derived: DerivedKey::from_root(&*derive_root(phrase)?),
            #[cfg(feature = "legacy")]
            legacy: LegacyKey::from_phrase(phrase),
        })
    }

    /// Parses a configured key.
    ///
    /// A text of 43 characters of canonical base64url is the 32 bytes of a key. Any other text is a
    /// phrase.
    ///
    /// # Errors
    /// Returns the same errors as [`from_phrase`](Self::from_phrase).
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        match base64url::decode_secret(text.as_bytes()) {
            Some(bytes) => Ok(Self::from_bytes(bytes)),
            None => Self::from_phrase(text),
        }
    }

    /// Parses a configured key like [`parse`](Self::parse), to open with it only.
    ///
    /// With the feature `legacy`, a phrase may be shorter than ten characters, but not empty. It
    /// opens only legacy keys then, since only the original server seals with such a phrase.
    ///
    /// # Errors
    /// Returns the same errors as [`from_phrase`](Self::from_phrase).
    pub fn parse_for_opening(text: &str) -> Result<OpeningKey, KeyError> {
        #[cfg(feature = "legacy")]
        if text.chars().count() < MIN_PHRASE_CHARS {
            check_min_chars(text, 1)?;
            return Ok(OpeningKey {
                derived: None,
                legacy: LegacyKey::from_phrase(text),
            });
        }
        Self::parse(text).map(OpeningKey::from)
    }

    /// Returns the id of the key, the `kid` of the API keys that it seals.
    pub fn id(&self) -> ServerKeyId {
        self.derived.id
    }

    /// Returns the public key that keys for this server are sealed with offline.
    #[cfg(feature = "ecdh-es")]
    pub fn public_key(&self) -> SealingPublicKey {
        self.derived.agreement.public_key()
    }

    /// Returns the secret text of the key, for [`parse`](Self::parse) to read: 43 characters of
    /// base64url.
    ///
    /// Returns `None` for a key derived from a phrase, since the phrase is not kept.
    pub fn expose_text(&self) -> Option<SecretString> {
        let raw = self.raw.as_ref()?;
        Some(base64url::encode(raw.as_slice()).into())
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerKey({}, ..)", self.id())
    }
}

/// A server key that opens API keys, but does not seal them.
///
/// It comes from a [`ServerKey`] or from [`ServerKey::parse_for_opening`]. It is wiped on drop, and
/// cannot be printed, cloned or serialized.
pub struct OpeningKey {
    /// `None` for a phrase so short that only the original server can have sealed with it.
    pub(crate) derived: Option<DerivedKey>,
    #[cfg(feature = "legacy")]
    pub(crate) legacy: LegacyKey,
}

impl OpeningKey {
    /// Returns the id of the key, or `None` if it opens only legacy keys.
    pub fn id(&self) -> Option<ServerKeyId> {
        self.derived.as_ref().map(|derived| derived.id)
    }
}

impl From<ServerKey> for OpeningKey {
    fn from(key: ServerKey) -> Self {
        Self {
            derived: Some(key.derived),
            #[cfg(feature = "legacy")]
            legacy: key.legacy,
        }
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id() {
            Some(id) => write!(f, "OpeningKey({id}, ..)"),
            None => f.write_str("OpeningKey(..)"),
        }
    }
}

/// The keys that version 2 derives from a server key.
pub(crate) struct DerivedKey {
    pub(crate) id: ServerKeyId,
    pub(crate) encryption: Zeroizing<[u8; 32]>,
    #[cfg(feature = "ecdh-es")]
    pub(crate) agreement: AgreementKey,
}

impl DerivedKey {
    #[expect(
        clippy::expect_used,
        reason = "HKDF-SHA-256 outputs up to 8160 bytes; these are 32 and 5"
    )]
    fn from_root(root: &[u8; 32]) -> Self {
        let hkdf = Hkdf::<Sha256>::new(None, root);
        let mut encryption = Zeroizing::new([0; 32]);
        hkdf.expand(ENCRYPTION_LABEL, encryption.as_mut_slice())
            .expect("length is in range");
        let mut id = [0; 5];
        hkdf.expand(ID_LABEL, &mut id).expect("length is in range");
        Self {
            id: ServerKeyId::from_derived(id),
            encryption,
            #[cfg(feature = "ecdh-es")]
            agreement: AgreementKey::derive(&hkdf),
        }
    }
}

fn check_min_chars(phrase: &str, minimum_chars: usize) -> Result<(), KeyError> {
    if phrase.chars().count() < minimum_chars {
        return Err(KeyError::TooShort { minimum_chars });
    }
    Ok(())
}

/// Stretches a phrase into the root that all keys are derived from.
fn derive_root(phrase: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let Ok(params) = Params::new(PHRASE_MEMORY_KIB, PHRASE_PASSES, PHRASE_LANES, Some(32)) else {
        return Err(KeyError::Derivation);
    };
    let mut memory = vec![Block::new(); params.block_count()];
    let mut root = Zeroizing::new([0; 32]);
    let outcome = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into_with_memory(
            phrase.as_bytes(),
            PHRASE_SALT,
            root.as_mut_slice(),
            &mut memory,
        );
    memory.iter_mut().for_each(Block::zeroize);
    match outcome {
        Ok(()) => Ok(root),
        Err(_) => Err(KeyError::Derivation),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const RAW: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";

    #[test]
    fn only_canonical_base64url_of_32_bytes_is_a_raw_key() {
        for (name, text, is_raw) in [
            ("canonical", RAW.to_owned(), true),
            ("stray bits", format!("{}F", &RAW[..42]), false),
            ("padded", format!("{RAW}="), false),
            ("space after", format!("{RAW} "), false),
            ("a character less", RAW[1..].to_owned(), false),
            ("standard alphabet", format!("+{}", &RAW[1..]), false),
        ] {
            let key = ServerKey::parse(&text).unwrap();

            assert_eq!(key.expose_text().is_some(), is_raw, "{name}");
            assert_eq!(
                key.id() == ServerKey::from_bytes([1; 32]).id(),
                is_raw,
                "{name}"
            );
        }
    }

    #[test]
    fn generated_keys_differ_and_round_trip_as_text() {
        let [one, other] = [(); 2].map(|()| ServerKey::generate().unwrap());

        let text = one.expose_text().unwrap();

        assert_eq!(text.expose_secret().len(), 43);
        assert_eq!(
            *ServerKey::parse(text.expose_secret())
                .unwrap()
                .derived
                .encryption,
            *one.derived.encryption
        );
        assert_ne!(*one.derived.encryption, *other.derived.encryption);
    }

    #[test]
    fn sealing_phrases_have_at_least_ten_characters() {
        let too_short = Err(KeyError::TooShort { minimum_chars: 10 });
        for phrase in ["", "a", "123456789", "ünïcödé🔑🔑"] {
            assert_eq!(
                ServerKey::from_phrase(phrase).map(|key| key.id()),
                too_short,
                "{phrase}"
            );
            assert_eq!(
                ServerKey::parse(phrase).map(|key| key.id()),
                too_short,
                "{phrase}"
            );
        }
        assert!(ServerKey::from_phrase("ünïcödé🔑🔑🔑").is_ok());
    }

    #[cfg(feature = "legacy")]
    #[test]
    fn short_phrases_open_only_legacy_keys() {
        assert_eq!(ServerKey::parse_for_opening("a").unwrap().id(), None);
        assert_eq!(
            ServerKey::parse_for_opening(RAW).unwrap().id(),
            Some(ServerKey::from_bytes([1; 32]).id())
        );
        assert_eq!(
            ServerKey::parse_for_opening("").map(|key| key.id()),
            Err(KeyError::TooShort { minimum_chars: 1 })
        );
    }

    #[cfg(not(feature = "legacy"))]
    #[test]
    fn short_phrases_are_refused_without_legacy_keys() {
        assert_eq!(
            ServerKey::parse_for_opening("123456789").map(|key| key.id()),
            Err(KeyError::TooShort { minimum_chars: 10 })
        );
    }
}
