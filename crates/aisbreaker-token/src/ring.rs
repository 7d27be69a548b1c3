//! The key ring: one server key to seal with, any number of them to open with.

use std::{collections::HashMap, fmt, sync::Arc};

use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use subtle::ConstantTimeEq as _;

#[cfg(feature = "legacy")]
use crate::legacy::LegacyKey;
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
    /// Tried in this order, since a legacy key does not name its server key.
    #[cfg(feature = "legacy")]
    pub(crate) legacy: Vec<LegacyKey>,
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
            sealing: key,
            #[cfg(feature = "legacy")]
            legacy: vec![legacy],
        }
    }

    /// Adds a server key to open with. Adding the same key again has no effect.
    ///
    /// # Errors
    /// Returns [`RingError::SameId`] if the ring has a different server key with the same id.
    pub fn with_opening_key(mut self, key: impl Into<OpeningKey>) -> Result<Self, RingError> {
        let opening = key.into();
        if let Some(derived) = opening.derived {
            self.insert(derived)?;
        }
        #[cfg(feature = "legacy")]
        if !self.legacy.contains(&opening.legacy) {
            self.legacy.push(opening.legacy);
        }
        Ok(self)
    }

    /// Returns the id of the server key that this ring seals with.
    pub fn sealing_key_id(&self) -> ServerKeyId {
        self.sealing.id()
    }

    /// Returns the server key whose API keys have this header.
    pub(crate) fn find(&self, header: &Header) -> Option<&RingKey> {
        self.opening.get(header).map(Arc::as_ref)
    }

    fn insert(&mut self, derived: DerivedKey) -> Result<(), RingError> {
        let key = RingKey::new(derived);
        match self.opening.get(&key.header) {
            Some(known) if known.is_same_key(&key) => Ok(()),
            Some(_) => Err(RingError::SameId(key.id())),
            None => {
                self.opening.insert(key.header, Arc::new(key));
                Ok(())
            }
        }
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
