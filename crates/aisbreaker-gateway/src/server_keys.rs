//! The server keys in use, which can be replaced while requests are served.

use std::sync::Arc;

use aisbreaker_token::KeyRing;
use arc_swap::{ArcSwap, Guard};

/// The key ring in use. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct ServerKeys(Arc<ArcSwap<KeyRing>>);

impl ServerKeys {
    pub(crate) fn new(ring: KeyRing) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(ring)))
    }

    /// Returns the ring of this moment, without waiting for anybody. Whoever has it keeps it.
    pub(crate) fn load(&self) -> Guard<Arc<KeyRing>> {
        self.0.load()
    }

    /// Replaces the ring for all that ask from now on.
    pub(crate) fn replace(&self, ring: KeyRing) {
        self.0.store(Arc::new(ring));
    }
}
