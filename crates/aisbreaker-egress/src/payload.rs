//! The body of a request, of which a piece in the middle may be another one than came.

use bytes::{Buf as _, Bytes, buf::Chain};

/// The body of a request: bytes, or three pieces that follow each other without being copied
/// together.
///
/// Cheap to clone.
#[derive(Clone, Default)]
pub struct Payload([Bytes; 3]);

/// A payload as the HTTP library writes it.
pub(crate) type Pieces = Chain<Bytes, Chain<Bytes, Bytes>>;

impl Payload {
    /// A body of these pieces.
    #[must_use]
    pub fn from_pieces(pieces: [Bytes; 3]) -> Self {
        Self(pieces)
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether it has no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    pub(crate) fn into_pieces(self) -> Pieces {
        let [before, middle, behind] = self.0;
        before.chain(middle.chain(behind))
    }
}

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(bytes: T) -> Self {
        Self([bytes.into(), Bytes::new(), Bytes::new()])
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
