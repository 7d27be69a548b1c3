//! The body of a request.

use std::{error::Error, fmt, sync::Arc};

use bytes::Bytes;

use crate::streamed_body::StreamedBody;

/// The body of a request: whole, or [streamed](Payload::streamed) as it arrives.
///
/// Cheap to clone. Clones of a streamed body share what is left of it.
#[derive(Clone, Default)]
pub struct Payload(Content);

/// Small, since a request is moved often until it is written, and most have one piece.
#[derive(Clone)]
pub(crate) enum Content {
    Whole(Bytes),
    Other(Box<OtherContent>),
}

#[derive(Clone)]
pub(crate) enum OtherContent {
    Pieces([Bytes; 3]),
    Streamed(Arc<StreamedBody>),
}

impl Payload {
    /// Creates a body of these pieces, in this order.
    ///
    /// They are written one after the other without being copied together. A piece in the middle can
    /// thus be replaced without copying the rest.
    #[must_use]
    pub fn from_pieces(pieces: [Bytes; 3]) -> Self {
        OtherContent::Pieces(pieces).into_payload()
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
    /// status other than 2xx before it has read all, or its response is complete before that, the rest
    /// is dropped.
    #[must_use]
    pub fn streamed<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        OtherContent::Streamed(Arc::new(StreamedBody::new(body))).into_payload()
    }

    /// Returns the length in bytes, which may be unknown for a streamed body.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        self.0.len()
    }

    /// Whether the body has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the body in one piece, copied unless it is one already; `None` if it is streamed.
    #[must_use]
    pub fn into_bytes(self) -> Option<Bytes> {
        let other = match self.0 {
            Content::Whole(bytes) => return Some(bytes),
            Content::Other(other) => *other,
        };
        let OtherContent::Pieces([first, second, third]) = other else {
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
        self.0.as_streamed()
    }
}

impl Content {
    /// Returns the body if it is streamed.
    pub(crate) fn as_streamed(&self) -> Option<&Arc<StreamedBody>> {
        let Self::Other(other) = self else {
            return None;
        };
        match &**other {
            OtherContent::Pieces(_) => None,
            OtherContent::Streamed(body) => Some(body),
        }
    }

    /// Returns the number of bytes that are left, if it is known.
    pub(crate) fn len(&self) -> Option<u64> {
        let length = match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Other(other) => match &**other {
                OtherContent::Pieces(pieces) => pieces.iter().map(Bytes::len).sum(),
                OtherContent::Streamed(body) => return body.remaining(),
            },
        };
        u64::try_from(length).ok()
    }

    /// Whether no bytes are left.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Other(other) => match &**other {
                OtherContent::Pieces(pieces) => pieces.iter().all(Bytes::is_empty),
                OtherContent::Streamed(body) => body.is_at_end(),
            },
        }
    }
}

impl Default for Content {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(bytes: T) -> Self {
        Self(Content::Whole(bytes.into()))
    }
}

impl OtherContent {
    fn into_payload(self) -> Payload {
        Payload(Content::Other(Box::new(self)))
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
