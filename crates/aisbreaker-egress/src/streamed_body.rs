//! The body of a request that is sent as it arrives, and who is waited for meanwhile.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use crate::limits::Timeouts;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;
type Source = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// The body of a request that is sent as it arrives. The connection reads it; the call watches how
/// far that is, and may stop it.
pub(crate) struct StreamedBody(Mutex<State>);

struct State {
    /// `None` once the end was read, or nobody wants the rest.
    source: Option<Source>,
    phase: Phase,
}

/// What the connection does with the body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Nothing was read.
    Unread,
    /// The connection waits for the next frame.
    Waiting,
    /// The connection sends a frame that it read at this time.
    Sending(Instant),
    /// The end was read at this time, or the body failed.
    Ended(Instant),
    /// The rest is not wanted.
    Stopped,
}

impl StreamedBody {
    pub(crate) fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Mutex::new(State {
            source: Some(Box::pin(body.map_err(Into::into))),
            phase: Phase::Unread,
        }))
    }

    /// Reads the next frame of data.
    pub(crate) fn poll_data(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        let mut state = self.lock();
        loop {
            let Some(source) = &mut state.source else {
                return match state.phase {
                    // The response is still read on this connection, which a failure would end.
                    Phase::Stopped => Poll::Pending,
                    Phase::Unread | Phase::Waiting | Phase::Sending(_) | Phase::Ended(_) => {
                        Poll::Ready(None)
                    }
                };
            };
            let Poll::Ready(frame) = source.as_mut().poll_frame(cx) else {
                state.phase = Phase::Waiting;
                return Poll::Pending;
            };
            let is_at_end = source.is_end_stream();
            // A caller that knows the length need not poll for the end.
            let is_whole = is_at_end || source.size_hint().exact() == Some(0);
            let read = frame.map(|frame| frame.map(Frame::into_data));
            let is_over = is_at_end || !matches!(read, Some(Ok(_)));
            state.phase = if is_over || is_whole {
                Phase::Ended(Instant::now())
            } else {
                Phase::Sending(Instant::now())
            };
            if is_over {
                state.source = None;
            }
            match read {
                Some(Ok(Ok(data))) => return Poll::Ready(Some(Ok(data))),
                Some(Ok(Err(_trailers))) if is_at_end => return Poll::Ready(None),
                Some(Ok(Err(_trailers))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// Whether any call has read from it.
    pub(crate) fn is_begun(&self) -> bool {
        self.lock().phase != Phase::Unread
    }

    /// Returns the number of bytes that are left, if it is known.
    pub(crate) fn remaining(&self) -> Option<u64> {
        match &self.lock().source {
            Some(source) => source.size_hint().exact(),
            None => Some(0),
        }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        let state = self.lock();
        match &state.source {
            Some(source) => source.is_end_stream(),
            None => state.phase != Phase::Stopped,
        }
    }

    /// Drops what is left: the server has answered and does not want it.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        let unwanted = state.source.take();
        if unwanted.is_some() {
            state.phase = Phase::Stopped;
        }
        // Dropped after the lock is released.
        drop(state);
        drop(unwanted);
    }

    /// Returns when to look again whether the server is too slow; `None` if it is.
    ///
    /// Until anything is read it has time until `deadline`, and then to take each frame. Once all is
    /// read, it has the time of a response.
    pub(crate) fn next_check(&self, deadline: Instant, timeouts: Timeouts) -> Option<Instant> {
        let now = Instant::now();
        let due = match self.lock().phase {
            Phase::Unread => deadline,
            Phase::Waiting => now + timeouts.idle,
            Phase::Sending(since) => since + timeouts.idle,
            Phase::Ended(since) => since + timeouts.response,
            Phase::Stopped => return None,
        };
        // What it waits for may change, and with that the time.
        let soon = now + timeouts.idle.min(timeouts.response);
        (due > now).then(|| due.min(soon))
    }

    /// Returns how long the server has not moved the request on; `None` if it does not have to.
    pub(crate) fn stalled_for(&self) -> Option<Duration> {
        match self.lock().phase {
            Phase::Waiting => Some(Duration::ZERO),
            Phase::Sending(since) => Some(since.elapsed()),
            Phase::Unread | Phase::Ended(_) | Phase::Stopped => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for StreamedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamedBody(..)")
    }
}
