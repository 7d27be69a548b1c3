//! The body of a response, with a limit on its pauses.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::{
    error::{SendError, Stage},
    memory_budget::MemoryBudget,
    pool::Lease,
};

/// The body of a response; its frames are passed on as they come.
///
/// A pause counts while somebody waits for the next frame, so a slow reader is not held against the
/// provider. After an error the connection is closed and nothing follows. Dropping it closes the
/// connection.
///
/// A body that is shorter than its `Content-Length`, or lacks its last chunk, ends with
/// [`SendError::Cut`]. One that announces neither lasts until the connection closes; whether it is
/// whole cannot be told then, not even over TLS, whose library does not report a missing end mark.
/// What such a body says must show that it is whole.
pub struct Body {
    /// `None` after an error.
    incoming: Option<Incoming>,
    idle: Duration,
    /// Since when somebody waits for the next frame.
    waiting_since: Option<Instant>,
    /// Made at the first wait. It is set back only when it fires, not at each frame.
    timer: Option<Pin<Box<Sleep>>>,
    max_collected_bytes: usize,
    budget: MemoryBudget,
    /// The call is under way as long as its body is there. Dropped after `incoming`, so that the
    /// connection knows that nobody reads it any more.
    lease: Lease,
}

impl Body {
    pub(crate) fn new(
        incoming: Incoming,
        idle: Duration,
        lease: Lease,
        max_collected_bytes: usize,
        budget: MemoryBudget,
    ) -> Self {
        Self {
            incoming: Some(incoming),
            idle,
            waiting_since: None,
            timer: None,
            max_collected_bytes,
            budget,
            lease,
        }
    }

    /// How many bytes of it may be collected.
    #[must_use]
    pub fn max_collected_bytes(&self) -> usize {
        self.max_collected_bytes
    }

    /// What is collected of it is held of this.
    #[must_use]
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Ready when the wait for the next frame is over its limit.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let idle = self.idle;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        loop {
            ready!(timer.as_mut().poll(cx));
            let waited = Instant::now().duration_since(since);
            let Some(left) = idle.checked_sub(waited).filter(|left| !left.is_zero()) else {
                return Poll::Ready(());
            };
            timer.set(tokio::time::sleep(left));
        }
    }

    fn fail(&mut self, error: SendError) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        self.incoming = None;
        self.lease.connection = None;
        self.timer = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let Self {
            incoming: Some(incoming),
            lease:
                Lease {
                    connection: Some(connection),
                    ..
                },
            ..
        } = &mut *self
        else {
            return Poll::Ready(None);
        };
        match connection.poll_frame(incoming, cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.waiting_since = None;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "body of a provider's answer broke");
                self.fail(SendError::Cut)
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(self.poll_pause(cx));
                self.fail(SendError::Timeout(Stage::Idle))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(..)")
    }
}
