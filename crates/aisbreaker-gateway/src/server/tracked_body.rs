//! The bodies of a request and its response, which record when they wait for the client.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::activity::{BodyTimer, RequestGuard};
use crate::response::{ResponseBody, passthrough::ResponseCut};

/// The bytes of a body that count as progress: a client that sends so many within the grace period
/// is not merely waited for.
const USEFUL_BYTES: usize = 16 << 10;

/// The longest unread rest of a body for which the connection is kept.
const MAX_DRAINED_BYTES: u64 = 64 << 10;

/// What happens to the rest of a body that is not read to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unread {
    /// A short rest is drained and the connection kept, unless the length is unknown.
    Drain,
    /// The connection closes.
    Close,
    /// HTTP/2 ends each stream by itself.
    Reset,
}

/// The body of a request.
pub(super) struct TrackedRequestBody {
    /// `None` once it is handed over to be drained.
    body: Option<Incoming>,
    /// `None` once the body is complete.
    timer: Option<BodyTimer>,
    unread: Unread,
    /// The bytes that arrived since the timer was restarted.
    received: usize,
    /// Whether more than a useful amount arrived. Only then is it worth the time to note that whoever
    /// reads the body takes a while.
    is_long: bool,
    /// How long the body has waited for the client, while nobody waits for its next frame.
    paused: Option<Duration>,
}

impl TrackedRequestBody {
    pub(super) fn new(body: Incoming, unread: Unread, request: &RequestGuard) -> Self {
        let timer = if body.is_end_stream() {
            None
        } else {
            Some(request.track_request_body())
        };
        Self {
            body: Some(body),
            timer,
            unread,
            received: 0,
            is_long: false,
            paused: None,
        }
    }

    fn note_bytes(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes);
        let Some(timer) = &self.timer else { return };
        if self.received >= USEFUL_BYTES {
            self.received = 0;
            self.is_long = true;
            timer.stop();
            self.paused = Some(Duration::ZERO);
        } else if self.is_long {
            self.paused = Some(timer.pause());
        }
    }

    fn note_poll(&mut self) {
        if let Some(waited) = self.paused.take()
            && let Some(timer) = &self.timer
        {
            timer.resume(waited);
        }
    }
}

impl Drop for TrackedRequestBody {
    fn drop(&mut self) {
        let (Some(timer), Some(body)) = (&self.timer, self.body.take()) else {
            return;
        };
        if body.is_end_stream() {
            // A caller that knows the length need not poll for the end.
            timer.note_complete();
            return;
        }
        match (self.unread, body.size_hint().exact()) {
            (Unread::Reset, _) => {}
            (Unread::Drain, Some(..=MAX_DRAINED_BYTES)) => timer.drain(body),
            (Unread::Drain | Unread::Close, _) => timer.note_unread(),
        }
    }
}

impl Body for TrackedRequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.note_poll();
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.note_bytes(frame.data_ref().map_or(0, Bytes::len));
            }
            Poll::Ready(None) => {
                if let Some(timer) = self.timer.take() {
                    timer.note_complete();
                }
            }
            Poll::Ready(Some(Err(_))) => {
                // Malformed, so nobody knows where the request ends.
                if let Some(timer) = self.timer.take()
                    && self.unread != Unread::Reset
                {
                    timer.note_unread();
                }
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// The body of a response. Its request ends when this is dropped.
pub(super) struct TrackedResponseBody {
    body: ResponseBody,
    /// `None` until the first frame.
    timer: Option<BodyTimer>,
    request: RequestGuard,
}

impl TrackedResponseBody {
    pub(super) fn new(body: ResponseBody, request: RequestGuard) -> Self {
        Self {
            body,
            timer: None,
            request,
        }
    }
}

impl Body for TrackedResponseBody {
    type Data = Bytes;
    type Error = ResponseCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseCut>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        // A poll shows that the client has read the frame before.
        if let Poll::Ready(Some(_)) = polled {
            let request = &this.request;
            let timer = this
                .timer
                .get_or_insert_with(|| request.track_response_body());
            timer.restart();
        } else if let Some(timer) = &this.timer {
            timer.stop();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
