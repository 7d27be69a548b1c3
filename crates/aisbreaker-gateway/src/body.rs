//! The body of an answer, which also tells when the answer is over.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use aisbreaker_services::{ServiceError, Tokens};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{
    events::EventBytes,
    record::Record,
    relay::{CutOff, Passing},
    shares::{Held, Share},
};

/// How much of a whole answer is handed out at once, in bytes: what a client takes can be seen by
/// what is asked for next.
const MAX_PIECE_BYTES: usize = 64 << 10;

/// The body of an answer of the gateway: nothing, a whole, a stream of events, or what a provider
/// answers.
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
    Passing(Box<Passing>),
}

impl ResponseBody {
    pub(crate) fn empty() -> Self {
        Self {
            content: Content::Empty,
            record: None,
        }
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        Self {
            content: if bytes.is_empty() {
                Content::Empty
            } else {
                Content::Full(bytes, None)
            },
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
        Self {
            content: Content::Events(events),
            record: None,
        }
    }

    pub(crate) fn passing(passing: Passing) -> Self {
        // Nobody would ask for the end of an answer of no bytes.
        let content = if passing.is_empty() {
            Content::Empty
        } else {
            Content::Passing(Box::new(passing))
        };
        Self {
            content,
            record: None,
        }
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
            Content::Empty | Content::Events(_) | Content::Passing(_) => None,
        }
    }

    /// Whether it comes in pieces from elsewhere.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.content, Content::Events(_) | Content::Passing(_))
    }

    fn complete(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.complete();
        }
    }

    /// The end of a stream: what it took and what went wrong goes into the record.
    fn end(&mut self) {
        let (cause, tokens) = match &self.content {
            Content::Events(events) => (events.failure(), events.tokens()),
            Content::Passing(passing) => (passing.failure(), passing.tokens()),
            Content::Empty | Content::Full(..) => (None, Tokens::default()),
        };
        if let Some(record) = &mut self.record {
            record.tokens(tokens);
            if let Some(cause) = cause {
                record.cause(cause.to_owned());
            }
        }
        self.content = Content::Empty;
        self.complete();
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
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
                    this.end();
                    Poll::Ready(None)
                }
            },
            Content::Passing(passing) => match std::task::ready!(passing.poll_bytes(cx)) {
                Some(Ok(bytes)) => {
                    // Who knows the length may not ask for the end.
                    if passing.is_whole() {
                        this.end();
                    }
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                Some(Err(cut)) => {
                    this.end();
                    Poll::Ready(Some(Err(cut)))
                }
                None => {
                    this.end();
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
            Content::Full(bytes, _) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Content::Events(_) => SizeHint::default(),
            Content::Passing(passing) => passing.size_hint(),
        }
    }
}

/// The next piece of a whole answer. The last one of several is a copy, so that a client which does
/// not take it does not hold the rest.
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
            Content::Passing(_) => "ResponseBody::Passing(..)",
        })
    }
}
