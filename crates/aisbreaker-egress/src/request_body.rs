//! The body of a request as hyper reads it.

use std::{
    mem,
    pin::Pin,
    slice,
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
            Content::Whole(bytes) => slice::from_mut(bytes),
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn each_piece_that_is_not_empty_is_a_frame_and_the_last_one_is_the_end() {
        let rows: [(Payload, &[&str]); 4] = [
            (Payload::default(), &[]),
            ("whole".into(), &["whole"]),
            (
                Payload::from_pieces(["a", "", "bc"].map(Bytes::from)),
                &["a", "bc"],
            ),
            (Payload::from_pieces(["", "", ""].map(Bytes::from)), &[]),
        ];
        for (payload, expected) in rows {
            let mut left = expected.concat().len();
            let mut body = RequestBody::from(payload);
            for piece in expected {
                assert!(!body.is_end_stream());
                assert_eq!(body.size_hint().exact(), u64::try_from(left).ok());
                let frame = body.frame().await.unwrap().unwrap();
                assert_eq!(frame.into_data().unwrap(), *piece);
                left -= piece.len();
            }
            assert!(body.is_end_stream());
            assert_eq!(body.size_hint().exact(), Some(0));
            assert!(body.frame().await.is_none());
        }
    }
}
