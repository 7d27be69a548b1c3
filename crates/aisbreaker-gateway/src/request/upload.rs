//! Content that is passed on as it arrives: bounded in time and size, and never held whole.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use aisbreaker_egress::Payload;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::{
    memory::{ClientMemory, MemoryHold},
    request::{
        body::{BodyLimits, Pace, SizeLimit, poll_until},
        error::RequestError,
    },
};

/// The most bytes that are held of one upload: what its client may send ahead, and what is about to
/// be written to the provider.
pub(crate) const MAX_HELD_BYTES: usize = 640 << 10;

/// Content that is passed on as it arrives, and why it failed, if it did.
#[derive(Debug)]
pub(crate) struct Upload {
    payload: Payload,
    fault: Fault,
}

/// Why an upload failed. Its body sets it, since the provider's connection only learns that the body
/// has an end too soon.
#[derive(Clone, Default)]
struct Fault(Arc<Mutex<Option<RequestError>>>);

/// The body of an upload.
struct UploadBody<B> {
    body: Pin<Box<B>>,
    limit: SizeLimit,
    received_bytes: usize,
    max_pause: Duration,
    /// Begins with the first read, since nobody waits for the client before.
    pace: Option<Pace>,
    /// Since when nothing is read, because the provider takes no more.
    unread_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    fault: Fault,
    _hold: MemoryHold,
}

/// An upload broke off, for the reason in its [`Fault`].
#[derive(Debug, thiserror::Error)]
#[error("the upload broke off")]
struct BrokeOff;

impl Upload {
    /// Prepares to pass on content, of which nothing is read yet. `key_limit` is the largest content
    /// that the key of the request allows, in bytes as they are sent.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`] and [`RequestError::TooLargeForKey`] for the announced length,
    /// [`RequestError::OutOfMemory`].
    pub(crate) fn begin<B: Body<Data = Bytes> + Send + 'static>(
        body: B,
        limits: BodyLimits,
        key_limit: Option<u64>,
        memory: &Arc<ClientMemory>,
    ) -> Result<Self, RequestError> {
        let fault = Fault::default();
        if body.is_end_stream() {
            let payload = Payload::default();
            return Ok(Self { payload, fault });
        }
        let limit = SizeLimit::of(limits.max_upload_bytes, key_limit);
        let announced = body.size_hint();
        if announced.lower() > u64::try_from(limit.bytes()).unwrap_or(u64::MAX) {
            return Err(limit.exceeded());
        }
        let held = announced.upper().and_then(|bytes| bytes.try_into().ok());
        let mut hold = memory.empty_hold();
        hold.resize(held.unwrap_or(MAX_HELD_BYTES).min(MAX_HELD_BYTES))?;
        let body = UploadBody {
            body: Box::pin(body),
            limit,
            received_bytes: 0,
            max_pause: limits.timeout,
            pace: None,
            unread_since: None,
            timer: None,
            fault: fault.clone(),
            _hold: hold,
        };
        let payload = Payload::streamed(body);
        Ok(Self { payload, fault })
    }

    /// Returns the body. It can be sent once.
    pub(crate) fn payload(&self) -> Payload {
        self.payload.clone()
    }

    /// Whether the upload failed by itself: the provider is not to blame.
    pub(crate) fn has_failed(&self) -> bool {
        self.fault.lock().is_some()
    }

    /// Takes the reason why the upload failed by itself.
    pub(crate) fn take_fault(&self) -> Option<RequestError> {
        self.fault.lock().take()
    }
}

impl Fault {
    fn lock(&self) -> MutexGuard<'_, Option<RequestError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body<Data = Bytes>> UploadBody<B> {
    /// Reads the next data, within the limits of time and size.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, RequestError>> {
        let max_pause = self.max_pause;
        let pace = self.pace.get_or_insert_with(|| Pace::start(max_pause));
        if let Some(since) = self.unread_since.take() {
            pace.extend(since.elapsed());
        }
        loop {
            let Poll::Ready(frame) = self.body.as_mut().poll_frame(cx) else {
                let deadline = pace.deadline();
                ready!(poll_until(&mut self.timer, deadline, cx));
                return Poll::Ready(Err(RequestError::Timeout));
            };
            let data = match frame {
                None => return Poll::Ready(Ok(None)),
                Some(Err(_broken)) => return Poll::Ready(Err(RequestError::Incomplete)),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            };
            if data.is_empty() {
                // A client that sends empty frames as fast as it can never makes this wait.
                if pace.deadline() <= Instant::now() {
                    return Poll::Ready(Err(RequestError::Timeout));
                }
                continue;
            }
            pace.advance(data.len());
            self.received_bytes = self.received_bytes.saturating_add(data.len());
            if self.received_bytes > self.limit.bytes() {
                return Poll::Ready(Err(self.limit.exceeded()));
            }
            self.unread_since = Some(Instant::now());
            return Poll::Ready(Ok(Some(data)));
        }
    }
}

impl<B: Body<Data = Bytes>> Body for UploadBody<B> {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        let read = ready!(self.poll_data(cx));
        Poll::Ready(match read {
            Ok(data) => data.map(|data| Ok(Frame::data(data))),
            Err(fault) => {
                *self.fault.lock() = Some(fault);
                Some(Err(BrokeOff))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Shows no content.
impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.lock(), f)
    }
}
