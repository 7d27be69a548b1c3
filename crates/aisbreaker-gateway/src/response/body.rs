//! The body of a response, which ends the access log line when it is over.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use aisbreaker_services::ServiceError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{
    budgets::hold::{BudgetHold, Outcome},
    memory::{ClientMemory, MemoryHold},
    response::{
        events::EventBytes,
        passthrough::{PassthroughBody, ResponseCut},
        translated::TranslatedBody,
    },
    telemetry::access_log::AccessLog,
    tunnel::{LoggedTunnel, Tunnel},
};

/// The largest frame of a complete body in bytes. The next poll shows that the client reads.
const MAX_FRAME_BYTES: usize = 64 << 10;

/// The body of a response of the gateway: empty, complete, a stream of events, or the body of a
/// provider's response.
///
/// Dropping it before its end cancels the call to the provider.
pub struct ResponseBody {
    content: Content,
    /// Boxed, since a response is moved several times before it has one.
    log: Option<Box<AccessLog>>,
}

enum Content {
    Empty,
    /// A complete body, and the memory that the copy of its end is held of.
    Full(Bytes, Option<Arc<ClientMemory>>),
    Events(Box<EventBytes>),
    Passthrough(Box<PassthroughBody>),
    Translated(Box<TranslatedBody>),
    /// No content: the connection is switched to a WebSocket.
    Tunnel(Box<Tunnel>),
}

impl ResponseBody {
    pub(crate) fn empty() -> Self {
        Self {
            content: Content::Empty,
            log: None,
        }
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        let content = if bytes.is_empty() {
            Content::Empty
        } else {
            Content::Full(bytes, None)
        };
        Self { content, log: None }
    }

    /// Holds memory for a complete body until the client has read it.
    pub(crate) fn hold(&mut self, hold: MemoryHold) -> Result<(), ServiceError> {
        if let Content::Full(bytes, memory) = &mut self.content {
            *memory = Some(Arc::clone(hold.memory()));
            *bytes = hold.attach(std::mem::take(bytes))?;
        }
        Ok(())
    }

    pub(crate) fn events(events: EventBytes) -> Self {
        Self {
            content: Content::Events(Box::new(events)),
            log: None,
        }
    }

    pub(crate) fn passthrough(mut body: Box<PassthroughBody>) -> Self {
        // hyper would never poll an empty body for its end.
        let content = if body.is_empty() {
            body.end_call();
            Content::Empty
        } else {
            Content::Passthrough(body)
        };
        Self { content, log: None }
    }

    pub(crate) fn translated(body: TranslatedBody) -> Self {
        Self {
            content: Content::Translated(Box::new(body)),
            log: None,
        }
    }

    /// Creates the body of a response that switches the connection to a WebSocket.
    pub(crate) fn tunnel(tunnel: Box<Tunnel>) -> Self {
        Self {
            content: Content::Tunnel(tunnel),
            log: None,
        }
    }

    /// Takes the WebSocket for which the connection is switched, with the log line.
    pub(crate) fn take_tunnel(&mut self) -> Option<LoggedTunnel> {
        if !matches!(self.content, Content::Tunnel(_)) {
            return None;
        }
        match std::mem::replace(&mut self.content, Content::Empty) {
            Content::Tunnel(tunnel) => Some(LoggedTunnel::new(tunnel, self.log.take())),
            Content::Empty
            | Content::Full(..)
            | Content::Events(_)
            | Content::Passthrough(_)
            | Content::Translated(_) => None,
        }
    }

    /// Has the body of a provider's response settle what is reserved for it when it is over.
    pub(crate) fn hold_budget(&mut self, mut hold: Box<BudgetHold>) {
        match &mut self.content {
            Content::Passthrough(body) => body.hold_budget(hold),
            Content::Translated(body) => body.hold_budget(hold),
            Content::Events(events) => events.hold_budget(hold),
            // Without content, the provider reported nothing.
            Content::Empty | Content::Full(..) | Content::Tunnel(_) => {
                let _settled = hold.settle(Outcome::Unknown);
            }
        }
    }

    /// Keeps the access log line until the body is over.
    pub(crate) fn attach(&mut self, mut log: Box<AccessLog>) {
        if matches!(self.content, Content::Empty) {
            log.mark_complete();
        }
        self.log = Some(log);
    }

    /// Drops the content, since a response to `HEAD` has none. Returns its length, if known.
    pub(crate) fn drop_content(&mut self) -> Option<usize> {
        match std::mem::replace(&mut self.content, Content::Empty) {
            Content::Full(bytes, _) => Some(bytes.len()),
            Content::Passthrough(mut body) => {
                body.end_call_without_content();
                None
            }
            Content::Empty | Content::Events(_) | Content::Translated(_) | Content::Tunnel(_) => {
                None
            }
        }
    }

    /// Returns whether the content arrives piece by piece.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(
            self.content,
            Content::Events(_) | Content::Passthrough(_) | Content::Translated(_)
        )
    }

    fn complete(&mut self) {
        if let Some(mut log) = self.log.take() {
            log.mark_complete();
        }
    }

    /// Ends a stream: its tokens and what went wrong go into the log.
    fn end(&mut self) {
        self.end_log();
        self.content = Content::Empty;
    }

    /// Ends the log line of a stream that the client has received, though the provider may not have
    /// ended it.
    fn end_log(&mut self) {
        self.log_stream();
        self.complete();
    }

    fn log_stream(&mut self) {
        let Some(log) = &mut self.log else { return };
        let (failure, tokens, cost) = match &mut self.content {
            Content::Events(events) => {
                events.settle();
                (events.failure(), events.tokens(), events.cost())
            }
            Content::Passthrough(body) => {
                body.end_call();
                if body.is_event_stream() {
                    log.mark_stream();
                }
                (body.failure(), body.tokens(), body.cost())
            }
            Content::Translated(body) => {
                body.end_call();
                log.mark_stream();
                (body.failure(), body.tokens(), body.cost())
            }
            // The tokens of a complete body are known before.
            Content::Empty | Content::Full(..) | Content::Tunnel(_) => return,
        };
        log.set_tokens(tokens);
        log.set_cost(cost);
        if let Some(failure) = failure {
            log.set_error(failure.error_type);
            log.set_cause(failure.cause.clone());
        }
    }
}

/// Logs a stream that the client leaves before it ends, with the tokens so far.
impl Drop for ResponseBody {
    fn drop(&mut self) {
        let is_answered = match &self.content {
            Content::Passthrough(body) => body.is_answered(),
            Content::Translated(body) => body.is_answered(),
            Content::Empty | Content::Full(..) | Content::Events(_) | Content::Tunnel(_) => false,
        };
        self.log_stream();
        if is_answered {
            self.complete();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseCut>>> {
        let this = &mut *self;
        match &mut this.content {
            Content::Empty | Content::Tunnel(_) => Poll::Ready(None),
            Content::Full(bytes, memory) => {
                let frame = next_frame(bytes, memory.as_ref());
                if bytes.is_empty() {
                    this.content = Content::Empty;
                    this.complete();
                }
                Poll::Ready(Some(Ok(Frame::data(frame))))
            }
            Content::Events(events) => match std::task::ready!(events.poll_bytes(cx)) {
                Some(bytes) => {
                    if events.is_over() {
                        this.end_log();
                    }
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                None => {
                    this.end();
                    Poll::Ready(None)
                }
            },
            Content::Translated(body) => match std::task::ready!(body.poll_bytes(cx)) {
                Some(bytes) => {
                    if body.is_over() {
                        this.end_log();
                    }
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                None => {
                    this.end();
                    Poll::Ready(None)
                }
            },
            Content::Passthrough(body) => match std::task::ready!(body.poll_bytes(cx)) {
                Some(Ok(bytes)) => {
                    // hyper may stop polling at Content-Length and never see the end.
                    if body.is_complete() {
                        this.end();
                    } else if body.is_over() {
                        this.end_log();
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
        matches!(self.content, Content::Empty | Content::Tunnel(_))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty | Content::Tunnel(_) => SizeHint::with_exact(0),
            Content::Full(bytes, _) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Content::Events(_) | Content::Translated(_) => SizeHint::default(),
            Content::Passthrough(body) => body.size_hint(),
        }
    }
}

/// Returns the next frame of a complete body. The last of several is a copy, so that a client which
/// does not read it does not hold the memory of all.
fn next_frame(bytes: &mut Bytes, memory: Option<&Arc<ClientMemory>>) -> Bytes {
    if bytes.len() <= MAX_FRAME_BYTES {
        return std::mem::take(bytes);
    }
    let frame = bytes.split_to(MAX_FRAME_BYTES);
    if bytes.len() <= MAX_FRAME_BYTES {
        let copy = Bytes::copy_from_slice(bytes);
        match memory.map(|memory| memory.attach(copy.clone())) {
            Some(Ok(held)) => *bytes = held,
            // Without room for a copy, the original stays, and stays held.
            Some(Err(_)) => {}
            None => *bytes = copy,
        }
    }
    frame
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.content {
            Content::Empty => "ResponseBody::Empty",
            Content::Full(..) => "ResponseBody::Full(..)",
            Content::Events(_) => "ResponseBody::Events(..)",
            Content::Passthrough(_) => "ResponseBody::Passthrough(..)",
            Content::Translated(_) => "ResponseBody::Translated(..)",
            Content::Tunnel(_) => "ResponseBody::Tunnel(..)",
        })
    }
}
