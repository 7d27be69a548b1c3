//! The body of a request.

use std::fmt;

use bytes::{Buf as _, Bytes, buf::Chain};

/// The body of a request: up to three pieces, which are written one after the other without being
/// copied together. A piece in the middle can thus be replaced without copying the rest.
///
/// Cheap to clone.
#[derive(Clone, Default)]
pub struct Payload([Bytes; 3]);

/// A payload as hyper writes it.
pub(crate) type Pieces = Chain<Bytes, Chain<Bytes, Bytes>>;

impl Payload {
    /// Creates a body of these pieces, in this order.
    #[must_use]
    pub fn from_pieces(pieces: [Bytes; 3]) -> Self {
        Self(pieces)
    }

    /// Returns the length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether the body has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    pub(crate) fn into_pieces(self) -> Pieces {
        let [first, second, third] = self.0;
        first.chain(second.chain(third))
    }
}

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(bytes: T) -> Self {
        Self([bytes.into(), Bytes::new(), Bytes::new()])
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
