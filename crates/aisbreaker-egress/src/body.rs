//! The body of a response: a stream of frames with a limit on its pauses, or collected within
//! bounds.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, Sleep};

use crate::{
    error::{CollectError, SendError, Stage},
    local_body::LocalBody,
    memory_budget::{MemoryBudget, MemoryReservation},
    observer::{ExchangeEnd, Observed},
    pool::Lease,
    streamed_body::StreamedBody,
};

/// The body of a response. Its frames come as they arrive from the server.
///
/// A pause counts only while the caller waits for the next frame, so a slow reader is not held
/// against the server. After an error the connection is closed and the body ends. Dropping the body
/// closes the connection, unless its end was read.
///
/// A body that is shorter than its `Content-Length`, or lacks its last chunk, ends with
/// [`SendError::Cut`]. A body that [announces neither](crate::is_framed) lasts until the connection
/// closes. The client cannot know whether it is whole, even over TLS, since the TLS library does
/// not report a missing closure alert. Its content must show that.
///
/// A [local](Body::local) body comes from no server.
pub struct Body(Source);

/// Where the frames come from.
enum Source {
    Received(ReceivedBody),
    Local(LocalBody),
}

/// A body that comes from a server.
struct ReceivedBody {
    idle_timeout: Duration,
    /// Since when the caller waits for the next frame.
    waiting_since: Option<Instant>,
    /// Created at the first wait. It is set again only when it fires, not for each frame.
    timer: Option<Pin<Box<Sleep>>>,
    /// The task that the timer wakes.
    timer_task: Option<Waker>,
    max_collected_bytes: usize,
    budget: MemoryBudget,
    /// The call is in progress as long as its body exists. Its connection is gone after an error.
    lease: Lease,
    observed: Observed,
    /// The body of the request, if it is streamed. The rest of it may still be sent.
    request: Option<Arc<StreamedBody>>,
}

impl Body {
    /// `request` is the body of the request, if it is streamed: while the rest of it is sent, the
    /// response may pause.
    pub(crate) fn new(
        idle_timeout: Duration,
        lease: Lease,
        max_collected_bytes: usize,
        budget: MemoryBudget,
        observed: Observed,
        request: Option<Arc<StreamedBody>>,
    ) -> Self {
        let mut received = ReceivedBody {
            idle_timeout,
            waiting_since: None,
            timer: None,
            timer_task: None,
            max_collected_bytes,
            budget,
            lease,
            observed,
            request,
        };
        // The end of a body without content is never polled for.
        if received.is_end_stream() {
            received.observed.end(ExchangeEnd::Complete);
        }
        Self(Source::Received(received))
    }

    /// Creates a body without a server: each frame is one of these pieces, taken when the reader asks
    /// for it.
    ///
    /// `length` is the number of bytes of all pieces, if it is known. `budget` is charged if the body
    /// is collected.
    #[must_use]
    pub fn local(
        pieces: impl Iterator<Item = Bytes> + Send + 'static,
        length: Option<u64>,
        budget: MemoryBudget,
    ) -> Self {
        Self(Source::Local(LocalBody::new(pieces, length, budget)))
    }

    /// Returns how many bytes of this body may be collected
    /// ([`Bounds::max_collected_bytes`](crate::Bounds::max_collected_bytes)).
    #[must_use]
    pub fn max_collected_bytes(&self) -> usize {
        match &self.0 {
            Source::Received(received) => received.max_collected_bytes,
            Source::Local(_) => usize::MAX,
        }
    }

    /// Returns the budget that is charged for collected bytes.
    #[must_use]
    pub fn budget(&self) -> &MemoryBudget {
        match &self.0 {
            Source::Received(received) => &received.budget,
            Source::Local(local) => local.budget(),
        }
    }

    /// Collects the whole body. Returns it with the reservation that it holds of the budget; keep
    /// the reservation as long as the bytes, or what is made of them.
    ///
    /// A body of a single frame is not copied. Trailers are ignored.
    ///
    /// # Errors
    /// [`CollectError::TooLong`] as soon as the body exceeds [`Body::max_collected_bytes`], before
    /// any of it is read if its announced length does; [`CollectError::BudgetSpent`];
    /// [`CollectError::Broken`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the body.
    pub async fn collect_bounded(mut self) -> Result<(Bytes, MemoryReservation), CollectError> {
        let limit_bytes = self.max_collected_bytes();
        let too_long = CollectError::TooLong { limit_bytes };
        if self.size_hint().lower() > u64::try_from(limit_bytes).unwrap_or(u64::MAX) {
            return Err(too_long);
        }
        let mut reservation = self.budget().reservation();
        let mut first = Bytes::new();
        let mut joined = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            let length = first.len().max(joined.len()).saturating_add(data.len());
            if length > limit_bytes {
                return Err(too_long);
            }
            reservation.hold(length)?;
            if first.is_empty() {
                first = data;
                continue;
            }
            if joined.is_empty() {
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&data);
        }
        let whole = if joined.is_empty() {
            first
        } else {
            joined.freeze()
        };
        Ok((whole, reservation))
    }
}

impl ReceivedBody {
    /// Becomes ready when the caller has waited for the next frame as long as it may.
    fn poll_idle_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let idle_timeout = self.idle_timeout;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle_timeout)));
        let is_set_for_task = |task: &Waker| task.will_wake(cx.waker());
        if self.timer_task.as_ref().is_some_and(is_set_for_task) && !timer.is_elapsed() {
            return Poll::Pending;
        }
        loop {
            if timer.as_mut().poll(cx).is_pending() {
                self.timer_task = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let waited = Instant::now().duration_since(since);
            let stalled_for = self.request.as_ref().and_then(|body| body.stalled_for());
            let left = idle_timeout.saturating_sub(stalled_for.unwrap_or(waited).min(waited));
            if left.is_zero() {
                return Poll::Ready(());
            }
            timer.set(tokio::time::sleep(left));
        }
    }

    fn fail(&mut self, error: SendError) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        self.lease.connection = None;
        self.timer = None;
        Poll::Ready(Some(Err(self.observed.end_with(error))))
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let this = self;
        let Some(connection) = &mut this.lease.connection else {
            return Poll::Ready(None);
        };
        match connection.poll_content(cx) {
            Poll::Ready(Some(Ok(content))) => {
                this.waiting_since = None;
                // A caller that knows the length need not poll for the end.
                if connection.is_body_ended() {
                    this.observed.end(ExchangeEnd::Complete);
                }
                Poll::Ready(Some(Ok(Frame::data(content))))
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "response body broke off");
                this.fail(SendError::Cut)
            }
            Poll::Ready(None) => {
                this.observed.end(ExchangeEnd::Complete);
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(this.poll_idle_timeout(cx));
                this.fail(SendError::Timeout(Stage::Idle))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let connection = self.lease.connection.as_ref();
        connection.is_none_or(|connection| connection.is_body_ended())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.lease.connection {
            Some(connection) => connection.body_size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        match &mut self.0 {
            Source::Received(received) => received.poll_frame(cx),
            Source::Local(local) => Poll::Ready(local.next().map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Received(received) => received.is_end_stream(),
            Source::Local(local) => local.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Received(received) => received.size_hint(),
            Source::Local(local) => local.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(..)")
    }
}
