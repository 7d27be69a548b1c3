//! The body of an answer, which also tells when the answer is over.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{events::EventBytes, record::Record};

/// The body of an answer of the gateway: nothing, one piece, or a stream of events.
///
/// Dropping it before its end cancels the call behind it.
pub struct ResponseBody {
    content: Content,
    record: Option<Record>,
}

enum Content {
    Empty,
    Full(Bytes),
    Events(EventBytes),
}

impl ResponseBody {
    pub(crate) fn empty() -> Self {
        Self { content: Content::Empty, record: None }
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        Self { content: if bytes.is_empty() { Content::Empty } else { Content::Full(bytes) }, record: None }
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
            Content::Full(bytes) => Some(bytes.len()),
            Content::Empty | Content::Events(_) => None,
        }
    }

    /// How many bytes a whole answer has; a stream has none that could be counted.
    pub(crate) fn whole_bytes(&self) -> usize {
        match &self.content {
            Content::Full(bytes) => bytes.len(),
            Content::Empty | Content::Events(_) => 0,
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
            Content::Full(bytes) => {
                let frame = Frame::data(std::mem::take(bytes));
                this.content = Content::Empty;
                this.complete();
                Poll::Ready(Some(Ok(frame)))
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
            Content::Full(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Content::Events(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.content {
            Content::Empty => "ResponseBody::Empty",
            Content::Full(_) => "ResponseBody::Full(..)",
            Content::Events(_) => "ResponseBody::Events(..)",
        })
    }
}
