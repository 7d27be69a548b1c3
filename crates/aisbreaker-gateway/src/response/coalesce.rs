//! Joins the frames of a provider's body that arrived together.
//!
//! The egress client yields a frame for each read of the connection, and hyper would write each to the
//! client by itself, though more may have arrived already.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use aisbreaker_egress::SendError;
use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};

use crate::wake_filter::WakeFilter;

/// The largest joined frame in bytes. One read returns no more.
const MAX_FRAME_BYTES: usize = 64 << 10;

/// A body whose frames are joined.
pub(super) struct CoalescedBody {
    body: aisbreaker_egress::Body,
    /// The first frame, which is not copied unless another follows.
    first: Bytes,
    joined: BytesMut,
    /// The end of the body, once it was seen and until it is reported.
    end: Option<Result<(), SendError>>,
    /// Whether hyper got a turn to write what came before an error.
    has_yielded: bool,
    max_frame_bytes: usize,
    /// Set where frames are joined: what is returned is followed by a poll that finds nothing.
    wake_filter: Option<WakeFilter>,
}

impl CoalescedBody {
    /// Creates a body whose frames are joined.
    pub(super) fn new(body: aisbreaker_egress::Body) -> Self {
        Self::up_to(body, MAX_FRAME_BYTES, Some(WakeFilter::new()))
    }

    /// Creates a body whose frames are returned as they are.
    pub(super) fn unjoined(body: aisbreaker_egress::Body) -> Self {
        Self::up_to(body, 0, None)
    }

    fn up_to(
        body: aisbreaker_egress::Body,
        max_frame_bytes: usize,
        wake_filter: Option<WakeFilter>,
    ) -> Self {
        Self {
            body,
            first: Bytes::new(),
            joined: BytesMut::new(),
            end: None,
            has_yielded: false,
            max_frame_bytes,
            wake_filter,
        }
    }

    /// Returns whether the end is known without polling.
    pub(super) fn is_end_stream(&self) -> bool {
        self.len() == 0 && self.end.is_none() && self.body.is_end_stream()
    }

    /// Returns whether the end of the body came, with everything before it.
    pub(super) fn ended_well(&self) -> bool {
        self.len() == 0 && matches!(self.end, Some(Ok(())))
    }

    /// Returns the size of what is to come, for a body whose frames are not joined.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn len(&self) -> usize {
        self.first.len().max(self.joined.len())
    }

    /// Polls for the next frame, which is not empty; `None` at the end.
    ///
    /// Must not be polled after the end or an error.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, SendError>>> {
        loop {
            if self.end.is_some() && self.len() > 0 {
                return Poll::Ready(Some(Ok(self.take())));
            }
            // hyper drops what it has not written, even the head, when a body fails.
            if matches!(self.end, Some(Err(_))) && !self.has_yielded {
                self.has_yielded = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(end) = self.end.take() {
                return Poll::Ready(end.err().map(Err));
            }
            match self.poll_body(cx) {
                Poll::Pending if self.len() == 0 => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Some(Ok(self.take()))),
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are not forwarded.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    self.append(data);
                    if self.len() > 0 && self.len() >= self.max_frame_bytes {
                        return Poll::Ready(Some(Ok(self.take())));
                    }
                }
                Poll::Ready(Some(Err(error))) => self.end = Some(Err(error)),
                Poll::Ready(None) => self.end = Some(Ok(())),
            }
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let body = Pin::new(&mut self.body);
        match &mut self.wake_filter {
            Some(filter) => filter.poll(cx, |cx| body.poll_frame(cx)),
            None => body.poll_frame(cx),
        }
    }

    fn append(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.joined.is_empty() {
            self.joined
                .extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&data);
    }

    /// Takes everything, capacity included: a stream may be idle for long.
    fn take(&mut self) -> Bytes {
        let joined = std::mem::take(&mut self.joined);
        if joined.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            joined.freeze()
        }
    }
}
