//! Server keys: where they come from, and what is derived from them.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params};
use hkdf::Hkdf;
use secrecy::SecretString;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

#[cfg(feature = "legacy")]
use crate::original::OriginalKey;
use crate::{KeyError, RandomnessError, ServerKeyId, encoding};

/// The fewest characters of a phrase that seals.
const MIN_PHRASE_CHARS: usize = 10;

/// Argon2id's salt. It is public and fixed, so that servers with one phrase agree without talking;
/// it names the format version, so that a later version gets other keys from the same phrase.
const PHRASE_SALT: &[u8] = b"aisbreaker.org/jwt/v2 phrase";
const PHRASE_MEMORY_KIB: u32 = 64 * 1024;
const PHRASE_PASSES: u32 = 3;
const PHRASE_LANES: u32 = 1;

/// HKDF's `info` for the content encryption key.
const ENCRYPTION_LABEL: &[u8] = b"aisbreaker.org/jwt/v2 XC20P key";
/// HKDF's `info` for the `kid`.
const ID_LABEL: &[u8] = b"aisbreaker.org/jwt/v2 kid";

/// The secret of a server: seals and opens API keys. Wiped on drop; never printed, cloned or
/// serialised.
pub struct ServerKey {
    /// The configured 32 bytes; `None` when a phrase was configured.
    pub(crate) raw: Option<Zeroizing<[u8; 32]>>,
    pub(crate) derived: DerivedKey,
    #[cfg(feature = "legacy")]
    pub(crate) original: OriginalKey,
}

impl ServerKey {
    /// Draws a fresh random key.
    ///
    /// # Errors
    /// [`KeyError::Randomness`] when the operating system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice()).map_err(RandomnessError)?;
        Ok(Self::from_bytes(*bytes))
    }

    /// Takes 32 bytes that are already uniformly random. For anything that a person thought of, use
    /// [`from_phrase`](Self::from_phrase).
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let raw = Zeroizing::new(bytes);
        Self {
            derived: DerivedKey::from_root(&raw),
            #[cfg(feature = "legacy")]
            original: OriginalKey::from_text(&Zeroizing::new(encoding::encode(raw.as_slice()))),
            raw: Some(raw),
        }
    }

    /// Derives a key from a phrase by Argon2id with 64 MiB, three passes and one lane: about a
    /// fifth of a second, once at start.
    ///
    /// The phrase's UTF-8 bytes count as they are: neither trimmed nor normalised.
    ///
    /// # Errors
    /// [`KeyError::TooShort`] under ten characters, [`KeyError::Derivation`] when there is too
    /// little memory.
    pub fn from_phrase(phrase: &str) -> Result<Self, KeyError> {
        require_chars(phrase, MIN_PHRASE_CHARS)?;
        Ok(Self {
            raw: None,
            derived: DerivedKey::from_root(&*stretch(phrase)?),
            #[cfg(feature = "legacy")]
            original: OriginalKey::from_text(phrase),
        })
    }

    /// Reads a configured text: 43 characters of canonical base64url are the 32 bytes of a key, and
    /// everything else is a phrase.
    ///
    /// # Errors
    /// Those of [`from_phrase`](Self::from_phrase).
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        match encoding::decode_array(text.as_bytes()) {
            Some(bytes) => Ok(Self::from_bytes(bytes)),
            None => Self::from_phrase(text),
        }
    }

    /// Reads a configured text as [`parse`](Self::parse) does, for opening only.
    ///
    /// With feature `legacy` a phrase may be of any length but zero. One under ten characters opens
    /// nothing but keys of the original server, which allowed such phrases; no other server can
    /// have sealed with it.
    ///
    /// # Errors
    /// Those of [`from_phrase`](Self::from_phrase).
    pub fn parse_for_opening(text: &str) -> Result<OpeningKey, KeyError> {
        #[cfg(feature = "legacy")]
        if text.chars().count() < MIN_PHRASE_CHARS {
            require_chars(text, 1)?;
            return Ok(OpeningKey {
                derived: None,
                original: OriginalKey::from_text(text),
            });
        }
        Self::parse(text).map(OpeningKey::from)
    }

    /// Its public name, the `kid` of the keys that it seals.
    pub fn id(&self) -> ServerKeyId {
        self.derived.id
    }

    /// The secret text that [`parse`](Self::parse) turns into this key again: 43 characters of
    /// base64url. `None` for a key that came from a phrase, which is not kept.
    pub fn expose_text(&self) -> Option<SecretString> {
        self.raw
            .as_ref()
            .map(|raw| encoding::encode(raw.as_slice()).into())
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerKey({}, ..)", self.id())
    }
}

/// A server key that only opens: a former [`ServerKey`], or one from
/// [`ServerKey::parse_for_opening`]. Wiped on drop; never printed, cloned or serialised.
pub struct OpeningKey {
    /// `None` for a phrase that is too short to have sealed anything but original keys.
    pub(crate) derived: Option<DerivedKey>,
    #[cfg(feature = "legacy")]
    pub(crate) original: OriginalKey,
}

impl OpeningKey {
    /// The `kid` of the keys that it opens. `None` when it opens only keys of the original server.
    pub fn id(&self) -> Option<ServerKeyId> {
        self.derived.as_ref().map(|derived| derived.id)
    }
}

impl From<ServerKey> for OpeningKey {
    fn from(key: ServerKey) -> Self {
        Self {
            derived: Some(key.derived),
            #[cfg(feature = "legacy")]
            original: key.original,
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

/// What version 2 uses of a server key.
pub(crate) struct DerivedKey {
    pub(crate) id: ServerKeyId,
    pub(crate) encryption: Zeroizing<[u8; 32]>,
}

impl DerivedKey {
    #[expect(
        clippy::expect_used,
        reason = "HKDF-SHA-256 gives up to 8160 bytes; these are 32 and 5"
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
        }
    }
}

fn require_chars(phrase: &str, minimum_chars: usize) -> Result<(), KeyError> {
    if phrase.chars().count() < minimum_chars {
        return Err(KeyError::TooShort { minimum_chars });
    }
    Ok(())
}

fn stretch(phrase: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let derivation = |_| KeyError::Derivation;
    let params = Params::new(PHRASE_MEMORY_KIB, PHRASE_PASSES, PHRASE_LANES, Some(32))
        .map_err(derivation)?;
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
    outcome.map_err(derivation)?;
    Ok(root)
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
    fn generated_keys_differ_and_survive_as_text() {
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
    fn sealing_phrases_have_ten_characters() {
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
    fn short_phrases_open_only_original_keys() {
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
    fn short_phrases_open_nothing_and_are_refused() {
        assert_eq!(
            ServerKey::parse_for_opening("123456789").map(|key| key.id()),
            Err(KeyError::TooShort { minimum_chars: 10 })
        );
    }
}
