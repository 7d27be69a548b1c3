//! The body of a request as hyper reads it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::{
    payload::{Content, Payload, Pieces, chain},
    streamed_body::{BoxError, StreamedBody},
};

/// The body of a request as hyper reads it.
pub(crate) enum RequestBody {
    Whole(Full<Pieces>),
    Streamed(Arc<StreamedBody>),
}

impl From<Payload> for RequestBody {
    fn from(payload: Payload) -> Self {
        match payload.into_content() {
            Content::Whole(pieces) => Self::Whole(Full::new(chain(pieces))),
            Content::Streamed(body) => Self::Streamed(body),
        }
    }
}

impl Body for RequestBody {
    type Data = Pieces;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Pieces>, BoxError>>> {
        match self.get_mut() {
            Self::Whole(body) => {
                let frame = Pin::new(body).poll_frame(cx);
                frame.map_err(|never| match never {})
            }
            Self::Streamed(body) => body.poll_data(cx).map_ok(|data| {
                let pieces = [data, Bytes::new(), Bytes::new()];
                Frame::data(chain(pieces))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Streamed(body) => body.is_at_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Streamed(body) => match body.remaining() {
                Some(bytes) => SizeHint::with_exact(bytes),
                None => SizeHint::default(),
            },
        }
    }
}
