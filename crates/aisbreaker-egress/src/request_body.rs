//! The body of a request as hyper reads it.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{
    payload::{Content, OtherContent, Payload},
    streamed_body::BoxError,
};

/// The body of a request as hyper reads it.
pub(crate) struct RequestBody(Content);

impl From<Payload> for RequestBody {
    fn from(payload: Payload) -> Self {
        Self(payload.into_content())
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let pieces = match &mut self.get_mut().0 {
            Content::Whole(bytes) => std::slice::from_mut(bytes),
            Content::Other(other) => match &mut **other {
                OtherContent::Pieces(pieces) => pieces,
                OtherContent::Streamed(body) => return body.poll_data(cx).map_ok(Frame::data),
            },
        };
        let next = pieces.iter_mut().find(|piece| !piece.is_empty());
        Poll::Ready(next.map(|piece| Ok(Frame::data(mem::take(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.0.len() {
            Some(bytes) => SizeHint::with_exact(bytes),
            None => SizeHint::default(),
        }
    }
}
