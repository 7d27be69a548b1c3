//! The body of an answer, which also tells when the answer is over.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use aisbreaker_services::ServiceError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{
    events::EventBytes,
    record::Record,
    shares::{Held, Share},
};

/// How much of a whole answer is handed out at once, in bytes: what a client takes can be seen by what is asked for next.
const MAX_PIECE_BYTES: usize = 64 << 10;

/// The body of an answer of the gateway: nothing, a whole, or a stream of events.
///
/// Dropping it before its end cancels the call behind it.
pub struct ResponseBody {
    content: Content,
    record: Option<Record>,
}

enum Content {
    Empty,
    /// A whole answer, and of whose share the copy of its end is held.
    Full(Bytes, Option<Arc<Share>>),
    Events(EventBytes),
}

impl ResponseBody {
    pub(crate) fn empty() -> Self {
        Self { content: Content::Empty, record: None }
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        Self {
            content: if bytes.is_empty() { Content::Empty } else { Content::Full(bytes, None) },
            record: None,
        }
    }

    /// Lets a whole answer count as held, instead of its request, until its client has taken it.
    pub(crate) fn count(&mut self, held: Held) -> Result<(), ServiceError> {
        if let Content::Full(bytes, share) = &mut self.content {
            *share = Some(Arc::clone(held.share()));
            *bytes = held.until_taken(std::mem::take(bytes))?;
        }
        Ok(())
    }

    pub(crate) fn events(events: EventBytes) -> Self {
        Self { content: Content::Events(events), record: None }
    }

    /// Keeps the log record until the body is over.
    pub(crate) fn attach(&mut self, mut record: Record) {
        if matches!(self.content, Content::Empty) {
            record.complete();
        }
        self.record = Some(record);
    }

    /// Drops the content, as the answer to `HEAD` has none; its length, if it is known.
    pub(crate) fn cut_for_head(&mut self) -> Option<usize> {
        match std::mem::replace(&mut self.content, Content::Empty) {
            Content::Full(bytes, _) => Some(bytes.len()),
            Content::Empty | Content::Events(_) => None,
        }
    }

    /// Whether it is a stream of events.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.content, Content::Events(_))
    }

    fn complete(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.complete();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        match &mut this.content {
            Content::Empty => Poll::Ready(None),
            Content::Full(bytes, share) => {
                let piece = next_piece(bytes, share.as_ref());
                if bytes.is_empty() {
                    this.content = Content::Empty;
                    this.complete();
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Content::Events(events) => match std::task::ready!(events.poll_bytes(cx)) {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None => {
                    if let (Some(record), Some(cause)) = (this.record.as_mut(), events.failure()) {
                        record.cause(cause.to_owned());
                    }
                    this.content = Content::Empty;
                    this.complete();
                    Poll::Ready(None)
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Full(bytes, _) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Content::Events(_) => SizeHint::default(),
        }
    }
}

/// The next piece of a whole answer. The last one of several is a copy, so that a client which does not take it does not
/// hold the rest.
fn next_piece(bytes: &mut Bytes, share: Option<&Arc<Share>>) -> Bytes {
    if bytes.len() <= MAX_PIECE_BYTES {
        return std::mem::take(bytes);
    }
    let piece = bytes.split_to(MAX_PIECE_BYTES);
    if bytes.len() <= MAX_PIECE_BYTES {
        let copy = Bytes::copy_from_slice(bytes);
        match share.map(|share| share.held().until_taken(copy.clone())) {
            Some(Ok(counted)) => *bytes = counted,
            // No room for a copy: the whole stays, and stays counted.
            Some(Err(_)) => {}
            None => *bytes = copy,
        }
    }
    piece
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.content {
            Content::Empty => "ResponseBody::Empty",
            Content::Full(..) => "ResponseBody::Full(..)",
            Content::Events(_) => "ResponseBody::Events(..)",
        })
    }
}
