//! The body of a provider's answer, in as few pieces as it comes.
//!
//! The HTTP library hands out each chunk by itself, and each would be written to the client by
//! itself, though the provider may well have sent a hundred of them at once. Those that have come
//! are put together here.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use aisbreaker_egress::{self as egress, SendError};
use bytes::{Bytes, BytesMut};
use http_body::{Body as _, SizeHint};

/// How many bytes are put together at most, in bytes; what one read returns is no longer.
const MOST_BYTES: usize = 64 << 10;

/// A body whose pieces are put together.
pub(super) struct Gathered {
    body: egress::Body,
    /// What has come and is not handed out; the first piece is not copied as long as no other
    /// follows.
    first: Bytes,
    all: BytesMut,
    /// How it ended, which is not told yet.
    end: Option<Result<(), SendError>>,
    /// Whether the HTTP library has had time to write what came before an error.
    has_waited: bool,
    most_bytes: usize,
}

impl Gathered {
    /// A body whose pieces are worth being put together.
    pub(super) fn new(body: egress::Body) -> Self {
        Self::up_to(body, MOST_BYTES)
    }

    /// A body whose pieces are handed out one by one.
    pub(super) fn one_by_one(body: egress::Body) -> Self {
        Self::up_to(body, 0)
    }

    fn up_to(body: egress::Body, most_bytes: usize) -> Self {
        Self {
            body,
            first: Bytes::new(),
            all: BytesMut::new(),
            end: None,
            has_waited: false,
            most_bytes,
        }
    }

    /// Whether nothing is to come, as far as is known before it is asked for.
    pub(super) fn is_end_stream(&self) -> bool {
        self.len() == 0 && self.end.is_none() && self.body.is_end_stream()
    }

    /// How much is to come, where pieces are handed out one by one.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    /// The next piece, which is not empty; `None` at the end. After that, or after an error,
    /// nothing is to be asked for.
    pub(super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, SendError>>> {
        loop {
            // The HTTP library drops what it has not written, even the head, when a body fails.
            if matches!(self.end, Some(Err(_))) && !self.has_waited {
                self.has_waited = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(end) = self.end.take() {
                return Poll::Ready(end.err().map(Err));
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending if self.len() == 0 => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Some(Ok(self.take()))),
                Poll::Ready(Some(Ok(frame))) => {
                    // What is no data is a trailer, and not passed on.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    self.add(data);
                    if self.len() > 0 && self.len() >= self.most_bytes {
                        return Poll::Ready(Some(Ok(self.take())));
                    }
                }
                Poll::Ready(end) => {
                    self.end = Some(end.map_or(Ok(()), |piece| piece.map(drop)));
                    if self.len() > 0 {
                        return Poll::Ready(Some(Ok(self.take())));
                    }
                }
            }
        }
    }

    fn add(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&data);
    }

    /// Nothing stays behind, not even room: a stream may be idle for long.
    fn take(&mut self) -> Bytes {
        let all = std::mem::take(&mut self.all).freeze();
        if all.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            all
        }
    }
}
