//! The body of a request.

use std::{error::Error, fmt, sync::Arc};

use bytes::{Buf as _, Bytes, buf::Chain};

use crate::streamed_body::StreamedBody;

/// The body of a request: whole, or [streamed](Payload::streamed) as it arrives.
///
/// Cheap to clone. Clones of a streamed body share what is left of it.
#[derive(Clone)]
pub struct Payload(Content);

#[derive(Clone)]
pub(crate) enum Content {
    Whole([Bytes; 3]),
    Streamed(Arc<StreamedBody>),
}

/// A whole payload, or a part of a streamed one, as hyper writes it.
pub(crate) type Pieces = Chain<Bytes, Chain<Bytes, Bytes>>;

impl Payload {
    /// Creates a body of these pieces, in this order.
    ///
    /// They are written one after the other without being copied together. A piece in the middle can
    /// thus be replaced without copying the rest.
    #[must_use]
    pub fn from_pieces(pieces: [Bytes; 3]) -> Self {
        Self(Content::Whole(pieces))
    }

    /// Creates a body that is sent as it arrives: its next frame is asked for once the server takes
    /// more. It is never held whole.
    ///
    /// If its length is known, the request has that as `Content-Length`; otherwise the request is
    /// `chunked`. Trailers are left out.
    ///
    /// The body is sent once at most. It must limit its own pauses; the timeouts of the client bound
    /// the server's. When the body fails, the connection is closed in the middle of the request, and
    /// the call ends with [`SendError::Cut`](crate::SendError::Cut). When the server answers with a
    /// status other than 2xx before it has read all, the rest is dropped.
    #[must_use]
    pub fn streamed<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Content::Streamed(Arc::new(StreamedBody::new(body))))
    }

    /// Returns the length in bytes, which may be unknown for a streamed body.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        match &self.0 {
            Content::Whole(pieces) => {
                let length: usize = pieces.iter().map(Bytes::len).sum();
                u64::try_from(length).ok()
            }
            Content::Streamed(body) => body.remaining(),
        }
    }

    /// Whether the body has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Content::Whole(pieces) => pieces.iter().all(Bytes::is_empty),
            Content::Streamed(body) => body.is_at_end(),
        }
    }

    /// Returns the body in one piece, copied unless it is one already; `None` if it is streamed.
    #[must_use]
    pub fn into_bytes(self) -> Option<Bytes> {
        let Content::Whole([first, second, third]) = self.0 else {
            return None;
        };
        if second.is_empty() && third.is_empty() {
            return Some(first);
        }
        Some([first, second, third].concat().into())
    }

    pub(crate) fn into_content(self) -> Content {
        self.0
    }

    /// Returns the body if it is streamed.
    pub(crate) fn as_streamed(&self) -> Option<&Arc<StreamedBody>> {
        match &self.0 {
            Content::Whole(_) => None,
            Content::Streamed(body) => Some(body),
        }
    }
}

/// Chains pieces as hyper writes them.
pub(crate) fn chain([first, second, third]: [Bytes; 3]) -> Pieces {
    first.chain(second.chain(third))
}

impl Default for Payload {
    fn default() -> Self {
        Self(Content::Whole(<[Bytes; 3]>::default()))
    }
}

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(bytes: T) -> Self {
        Self::from_pieces([bytes.into(), Bytes::new(), Bytes::new()])
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            Some(length) => write!(f, "{length} bytes"),
            None => f.write_str("any number of bytes"),
        }
    }
}
