//! The key ring: one server key that seals, any number that open.

use std::{collections::HashMap, fmt, sync::Arc};

use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use subtle::ConstantTimeEq as _;

#[cfg(feature = "legacy")]
use crate::original::OriginalKey;
use crate::{
    OpeningKey, RingError, ServerKey, ServerKeyId,
    header::{self, Header},
    server_key::DerivedKey,
};

/// Seals keys with one server key and opens keys of all its server keys.
///
/// The server key of a key is found by its header in one step, however many there are; a key that
/// names another one is refused without trying any. Immutable once built: share it in an `Arc`.
pub struct KeyRing {
    pub(crate) sealing: Arc<RingKey>,
    opening: HashMap<Header, Arc<RingKey>>,
    /// Keys of the original server name no server key, so these are tried in the order of
    /// configuration.
    #[cfg(feature = "legacy")]
    pub(crate) original: Vec<OriginalKey>,
}

/// A server key with the header of the keys that it seals.
pub(crate) struct RingKey {
    pub(crate) header: Header,
    pub(crate) key: DerivedKey,
}

impl KeyRing {
    /// A ring that seals with this server key, and opens what it sealed.
    pub fn new(sealing: ServerKey) -> Self {
        let ServerKey {
            raw: _,
            derived,
            #[cfg(feature = "legacy")]
            original,
        } = sealing;
        let sealing = Arc::new(RingKey::new(derived));
        Self {
            opening: HashMap::from([(sealing.header, Arc::clone(&sealing))]),
            sealing,
            #[cfg(feature = "legacy")]
            original: vec![original],
        }
    }

    /// The same ring, which opens what this server key sealed too. Adding one key twice changes
    /// nothing.
    ///
    /// # Errors
    /// [`RingError::SameId`] when the ring has another key with the same id.
    pub fn with_opening_key(mut self, key: impl Into<OpeningKey>) -> Result<Self, RingError> {
        let key = key.into();
        if let Some(derived) = key.derived {
            self.add(derived)?;
        }
        #[cfg(feature = "legacy")]
        if !self.original.contains(&key.original) {
            self.original.push(key.original);
        }
        Ok(self)
    }

    /// The `kid` of the keys that this ring seals.
    pub fn sealing_key_id(&self) -> ServerKeyId {
        self.sealing.id()
    }

    /// The server key whose API keys have this header.
    pub(crate) fn find(&self, header: &Header) -> Option<&RingKey> {
        self.opening.get(header).map(Arc::as_ref)
    }

    fn add(&mut self, derived: DerivedKey) -> Result<(), RingError> {
        let key = RingKey::new(derived);
        match self.opening.get(&key.header) {
            Some(known) if known.encrypts_like(&key) => Ok(()),
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
        f.debug_struct("KeyRing")
            .field("sealing", &self.sealing_key_id())
            .field(
                "opening",
                &self
                    .opening
                    .values()
                    .map(|key| key.id())
                    .collect::<Vec<_>>(),
            )
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

    fn encrypts_like(&self, other: &Self) -> bool {
        self.key
            .encryption
            .ct_eq(other.key.encryption.as_slice())
            .into()
    }
}
