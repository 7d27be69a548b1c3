//! The key ring: one server key to seal with, any number of them to open with.

use std::{collections::HashMap, fmt, sync::Arc};

use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use subtle::ConstantTimeEq as _;

#[cfg(feature = "legacy")]
use crate::legacy::LegacyKey;
#[cfg(all(feature = "ecdh-es", any(fuzzing, test)))]
use crate::offline::AgreementKey;
#[cfg(feature = "ecdh-es")]
use crate::offline::SealingPublicKey;
use crate::{
    error::RingError,
    format::header::{self, Header},
    ids::ServerKeyId,
    server_key::{DerivedKey, OpeningKey, ServerKey},
};

/// A set of server keys: seals keys with one of them, and opens keys sealed with any of them.
///
/// The header of a key names its server key, so one lookup finds it, however many are in the ring.
/// A key that names an unknown server key is refused without trying any. A ring is immutable once
/// built and can be shared in an `Arc`.
pub struct KeyRing {
    pub(crate) sealing: Arc<RingKey>,
    opening: HashMap<Header, Arc<RingKey>>,
    /// The same keys, by the `kid` of their key pairs.
    #[cfg(feature = "ecdh-es")]
    by_key_pair: HashMap<ServerKeyId, Arc<RingKey>>,
    #[cfg(feature = "ecdh-es")]
    pub(crate) opens_offline_keys: bool,
    /// Tried in this order, since a legacy key does not name its server key.
    #[cfg(feature = "legacy")]
    pub(crate) legacy: Vec<LegacyKey>,
    /// How many of them come from phrases too short to seal with.
    #[cfg(feature = "legacy")]
    short_phrases: usize,
}

/// A server key, and the header of the keys that it seals.
pub(crate) struct RingKey {
    pub(crate) header: Header,
    pub(crate) key: DerivedKey,
}

impl KeyRing {
    /// Creates a ring that seals and opens with this server key.
    pub fn new(sealing: ServerKey) -> Self {
        let ServerKey {
            raw: _,
            derived,
            #[cfg(feature = "legacy")]
            legacy,
        } = sealing;
        let key = Arc::new(RingKey::new(derived));
        Self {
            opening: HashMap::from([(key.header, Arc::clone(&key))]),
            #[cfg(feature = "ecdh-es")]
            by_key_pair: HashMap::from([(key.key.agreement.id, Arc::clone(&key))]),
            #[cfg(feature = "ecdh-es")]
            opens_offline_keys: false,
            sealing: key,
            #[cfg(feature = "legacy")]
            legacy: vec![legacy],
            #[cfg(feature = "legacy")]
            short_phrases: 0,
        }
    }

    /// Adds a server key to open with. Adding the same key again has no effect.
    ///
    /// # Errors
    /// Returns [`RingError::SameId`] if the ring has a different server key with the same id.
    pub fn with_opening_key(mut self, key: impl Into<OpeningKey>) -> Result<Self, RingError> {
        let opening = key.into();
        #[cfg(feature = "legacy")]
        let is_short = opening.derived.is_none();
        if let Some(derived) = opening.derived {
            self.insert(derived)?;
        }
        #[cfg(feature = "legacy")]
        if !self.legacy.contains(&opening.legacy) {
            self.legacy.push(opening.legacy);
            self.short_phrases = self.short_phrases.saturating_add(usize::from(is_short));
        }
        Ok(self)
    }

    /// Lets the ring open offline keys too, those that were sealed with the public key of one of its
    /// server keys. Without this, it refuses them.
    ///
    /// Anyone who knows a public key can seal such a key. Check in each what you would check before
    /// you seal: [`Opened::is_offline`](crate::Opened::is_offline) says which ones they are.
    #[cfg(feature = "ecdh-es")]
    #[must_use]
    pub fn with_offline_keys(mut self) -> Self {
        self.opens_offline_keys = true;
        self
    }

    /// Returns the public key of the server key that this ring seals with.
    #[cfg(feature = "ecdh-es")]
    pub fn public_key(&self) -> SealingPublicKey {
        self.sealing.key.agreement.public_key()
    }

    /// Returns the id of the server key that this ring seals with.
    pub fn sealing_key_id(&self) -> ServerKeyId {
        self.sealing.id()
    }

    /// Returns the ids of the other server keys in the ring, which only open, in ascending order.
    ///
    /// Phrases too short to seal with have none.
    pub fn opening_key_ids(&self) -> Vec<ServerKeyId> {
        let sealing = self.sealing_key_id();
        let mut ids: Vec<ServerKeyId> = self.opening.values().map(|key| key.id()).collect();
        ids.retain(|id| *id != sealing);
        ids.sort_unstable();
        ids
    }

    /// Returns how many phrases in the ring are too short to seal with, and so open legacy keys only.
    ///
    /// Whoever guesses one can forge those.
    #[cfg(feature = "legacy")]
    pub fn short_phrases(&self) -> usize {
        self.short_phrases
    }

    /// Returns the server key whose API keys have this header.
    pub(crate) fn find(&self, header: &Header) -> Option<&RingKey> {
        // Most keys name the sealing key, and a comparison is cheaper than a hash.
        if *header == self.sealing.header {
            return Some(&self.sealing);
        }
        self.opening.get(header).map(Arc::as_ref)
    }

    /// Replaces the key pair of the sealing key, to open keys that were sealed for another one.
    #[cfg(all(feature = "ecdh-es", any(fuzzing, test)))]
    pub(crate) fn with_key_pair(mut self, agreement: AgreementKey) -> Self {
        let id = agreement.id;
        let key = Arc::new(RingKey {
            header: self.sealing.header,
            key: DerivedKey {
                id: self.sealing.id(),
                encryption: self.sealing.key.encryption.clone(),
                agreement,
            },
        });
        self.by_key_pair = HashMap::from([(id, Arc::clone(&key))]);
        self.opening.insert(key.header, Arc::clone(&key));
        self.sealing = key;
        self
    }

    /// Returns the server key whose key pair has this `kid`.
    #[cfg(feature = "ecdh-es")]
    pub(crate) fn find_key_pair(&self, id: ServerKeyId) -> Option<&RingKey> {
        self.by_key_pair.get(&id).map(Arc::as_ref)
    }

    fn insert(&mut self, derived: DerivedKey) -> Result<(), RingError> {
        let key = Arc::new(RingKey::new(derived));
        match self.opening.get(&key.header) {
            Some(known) if known.is_same_key(&key) => return Ok(()),
            Some(_) => return Err(RingError::SameId(key.id())),
            None => {}
        }
        #[cfg(feature = "ecdh-es")]
        self.insert_key_pair(&key)?;
        self.opening.insert(key.header, key);
        Ok(())
    }

    #[cfg(feature = "ecdh-es")]
    fn insert_key_pair(&mut self, key: &Arc<RingKey>) -> Result<(), RingError> {
        let id = key.key.agreement.id;
        if self.by_key_pair.contains_key(&id) {
            return Err(RingError::SameId(id));
        }
        self.by_key_pair.insert(id, Arc::clone(key));
        Ok(())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opening: Vec<_> = self.opening.values().map(|key| key.id()).collect();
        f.debug_struct("KeyRing")
            .field("sealing", &self.sealing_key_id())
            .field("opening", &opening)
            .finish_non_exhaustive()
    }
}

impl RingKey {
    fn new(key: DerivedKey) -> Self {
        Self {
            header: header::encode(key.id),
            key,
        }
    }

    pub(crate) fn id(&self) -> ServerKeyId {
        self.key.id
    }

    pub(crate) fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.key.encryption).into())
    }

    fn is_same_key(&self, other: &Self) -> bool {
        self.key
            .encryption
            .ct_eq(other.key.encryption.as_slice())
            .into()
    }
}
