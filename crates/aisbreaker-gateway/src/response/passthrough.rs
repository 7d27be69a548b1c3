//! Forwards the body of a provider's response.
//!
//! The bytes stay as they came. Two things are added to an event stream: keep-alives while it is
//! idle, and an error event where it was cut. The chunk with the usage is dropped if the client did
//! not ask for it.

mod json_ends;

use std::{
    fmt,
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use aisbreaker_egress::{MemoryBudget, SendError};
use aisbreaker_services::{
    CallInProgress, CallOutcome, Dialect, MAX_SNIFFED_BYTES, ServiceError, Sniffed, StreamKind,
    Tokens, UsageRule, sniff,
};
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http_body::SizeHint;
use tokio::time::Sleep;

use self::json_ends::JsonEnds;
use super::{
    coalesce::CoalescedBody,
    keep_alive::{KeepAlive, LINGER, keep_alive},
    sse_boundary::EventTracker,
    stream_end::BodyEnd,
    stream_failure::StreamFailure,
    usage_filter::UsageChunk,
};
use crate::{
    budgets::hold::{BodyBudget, BudgetHold, Outcome},
    dialect,
    failure::Failure,
    memory::ClientMemory,
};

/// The body of a provider's response on its way to the client.
pub(crate) struct PassthroughBody {
    /// `None` after the end.
    body: Option<CoalescedBody>,
    content: Content,
    usage: Arc<UsageRule>,
    /// Every frame is held of this until the client has read it.
    memory: Arc<ClientMemory>,
    failure: Option<StreamFailure>,
    /// The call that this is the answer of.
    call: CallInProgress,
    budget: BodyBudget,
}

/// What a body holds, as far as that matters here.
#[expect(
    clippy::large_enum_variant,
    reason = "the body is boxed as a whole, and is mostly a stream"
)]
enum Content {
    Events(EventStream),
    Json(JsonEnds),
    Unlabelled(Unlabelled),
    Other,
}

impl Content {
    /// Returns the tokens that the provider reported so far.
    fn tokens(&self, rule: &UsageRule) -> Tokens {
        match self {
            Self::Events(stream) => stream.events.tokens(),
            Self::Json(ends) => ends.tokens(rule),
            Self::Unlabelled(_) | Self::Other => Tokens::default(),
        }
    }
}

struct EventStream {
    events: EventTracker,
    dialect: Dialect,
    request_id: HeaderValue,
    keep_alive: KeepAlive,
    /// Created at the first wait after the last event.
    linger: Option<Pin<Box<Sleep>>>,
}

/// A body whose first bytes show what it holds.
struct Unlabelled {
    options: StreamOptions,
    /// The first bytes, while they are too few.
    start: BytesMut,
}

/// How an event stream is forwarded.
#[derive(Debug)]
pub(crate) struct StreamOptions {
    pub(crate) dialect: Dialect,
    pub(crate) kind: StreamKind,
    pub(crate) body_end: BodyEnd,
    /// The idle time after which a keep-alive is sent.
    pub(crate) keep_alive: Duration,
    pub(crate) usage: Arc<UsageRule>,
    pub(crate) usage_chunk: UsageChunk,
    /// For the message of an error event.
    pub(crate) request_id: HeaderValue,
}

/// The provider's response was cut. The client sees its connection break.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the response was cut")]
#[non_exhaustive]
pub struct ResponseCut;

impl PassthroughBody {
    /// Forwards a JSON body.
    pub(crate) fn json(
        body: aisbreaker_egress::Body,
        usage: Arc<UsageRule>,
        (memory, call): (Arc<ClientMemory>, CallInProgress),
    ) -> Box<Self> {
        let content = Content::Json(JsonEnds::new(memory.budget()));
        Self::new(
            CoalescedBody::unjoined(body),
            content,
            usage,
            (memory, call),
        )
    }

    /// Forwards a body that is not read.
    pub(crate) fn opaque(
        body: aisbreaker_egress::Body,
        usage: Arc<UsageRule>,
        (memory, call): (Arc<ClientMemory>, CallInProgress),
    ) -> Box<Self> {
        Self::new(
            CoalescedBody::unjoined(body),
            Content::Other,
            usage,
            (memory, call),
        )
    }

    /// Forwards a body that is an event stream or JSON, as its first bytes show: some providers label
    /// their streams as something else.
    pub(crate) fn unlabelled(
        body: aisbreaker_egress::Body,
        options: StreamOptions,
        (memory, call): (Arc<ClientMemory>, CallInProgress),
    ) -> Box<Self> {
        let usage = Arc::clone(&options.usage);
        let content = Content::Unlabelled(Unlabelled {
            options,
            start: BytesMut::new(),
        });
        Self::new(
            CoalescedBody::unjoined(body),
            content,
            usage,
            (memory, call),
        )
    }

    /// Forwards an event stream.
    pub(crate) fn events(
        body: aisbreaker_egress::Body,
        options: StreamOptions,
        (memory, call): (Arc<ClientMemory>, CallInProgress),
    ) -> Box<Self> {
        let content = Content::Events(EventStream::new(&options, memory.budget()));
        Self::new(
            CoalescedBody::new(body),
            content,
            options.usage,
            (memory, call),
        )
    }

    fn new(
        body: CoalescedBody,
        content: Content,
        usage: Arc<UsageRule>,
        (memory, call): (Arc<ClientMemory>, CallInProgress),
    ) -> Box<Self> {
        // Allocated first, so that the body, which is large, is made where it stays.
        let place = Box::new_uninit();
        let made = Self {
            body: Some(body),
            content,
            usage,
            memory,
            failure: None,
            call,
            budget: BodyBudget::default(),
        };
        Box::write(place, made)
    }

    /// Returns why the body was cut, for the log.
    pub(crate) fn failure(&self) -> Option<&StreamFailure> {
        self.failure.as_ref()
    }

    /// Returns whether this is an event stream, as far as is known.
    pub(crate) fn is_event_stream(&self) -> bool {
        matches!(self.content, Content::Events(_))
    }

    /// Sets what is settled when the body is over.
    pub(crate) fn hold_budget(&mut self, hold: Box<BudgetHold>) {
        self.budget.set(hold);
    }

    /// Returns what the response cost in nano-dollars, once it is over and if that is known.
    pub(crate) fn cost(&self) -> Option<u64> {
        self.budget.cost()
    }

    /// Ends the call to the provider: as complete, or since nobody waits for the rest.
    pub(crate) fn end_call(&mut self) {
        let is_whole = self.is_complete() || self.is_over() || self.is_answered();
        let is_whole = is_whole && self.failure.is_none() && !self.has_failed();
        let tokens = || self.content.tokens(&self.usage);
        let (is_stream, is_cut) = (self.is_event_stream(), self.failure.is_some());
        self.budget.settle(|| match is_whole {
            true if is_stream => Outcome::Streamed(tokens()),
            true => Outcome::Answered(tokens()),
            false if is_cut => Outcome::Cut(tokens()),
            false => Outcome::Left(tokens()),
        });
        if self.has_failed() {
            self.call.end(CallOutcome::ServerError);
        } else if self.is_complete() || self.is_over() || self.is_answered() {
            self.call.complete();
        } else {
            self.call.abandon();
        }
    }

    /// Ends the call to the provider, of which the content is not needed.
    pub(crate) fn end_call_without_content(&mut self) {
        self.call.complete();
    }

    /// Returns whether the provider ended its stream with an error.
    fn has_failed(&self) -> bool {
        match &self.content {
            Content::Events(stream) => stream.events.end().has_failed(),
            Content::Json(_) | Content::Unlabelled(_) | Content::Other => false,
        }
    }

    /// Returns the tokens that the provider reported so far.
    pub(crate) fn tokens(&self) -> Tokens {
        self.content.tokens(&self.usage)
    }

    /// Returns whether everything was forwarded, as far as is known without polling.
    pub(crate) fn is_complete(&self) -> bool {
        let Some(body) = &self.body else {
            return true;
        };
        match &self.content {
            // The end of a stream may need an error event.
            Content::Events(_) => false,
            Content::Unlabelled(unlabelled) => unlabelled.start.is_empty() && body.is_end_stream(),
            Content::Json(_) | Content::Other => body.is_end_stream(),
        }
    }

    /// Returns whether the client has received everything that matters, though the provider has not
    /// ended its response.
    pub(crate) fn is_over(&self) -> bool {
        match (&self.content, &self.body) {
            (Content::Events(stream), Some(body)) => {
                let end = stream.events.end();
                end.is_over()
                    || (end.is_answered() && body.ended_well() && stream.events.holds_nothing())
            }
            (Content::Events(_), None) => true,
            (Content::Json(_) | Content::Unlabelled(_) | Content::Other, _) => false,
        }
    }

    /// Returns whether a client that leaves now has received a whole answer.
    pub(crate) fn is_answered(&self) -> bool {
        match &self.content {
            Content::Events(stream) => stream.events.end().is_answered(),
            Content::Json(_) | Content::Unlabelled(_) | Content::Other => false,
        }
    }

    /// Returns whether there is nothing to forward. Only meaningful before the first poll.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.body {
            Some(body) => body.is_end_stream(),
            None => true,
        }
    }

    /// Returns the length, where it is known and nothing will be added.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match (&self.content, &self.body) {
            (Content::Json(_) | Content::Other, Some(body)) => body.size_hint(),
            (Content::Json(_) | Content::Other, None) => SizeHint::with_exact(0),
            (Content::Events(_) | Content::Unlabelled(_), _) => SizeHint::default(),
        }
    }

    /// Polls for the next frame; `None` at the end.
    pub(crate) fn poll_bytes(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ResponseCut>>> {
        loop {
            let Some(body) = &mut self.body else {
                return Poll::Ready(None);
            };
            match body.poll_frame(cx) {
                Poll::Pending => {
                    let waited = ready!(self.poll_wait(cx));
                    if waited.is_none() {
                        self.body = None;
                    }
                    return Poll::Ready(waited.map(Ok));
                }
                Poll::Ready(Some(Ok(data))) => {
                    self.call.note_content();
                    let bytes = self.forward(data);
                    if !bytes.is_empty() {
                        return Poll::Ready(Some(self.hold(bytes)));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.break_off(error)),
                Poll::Ready(None) => return Poll::Ready(self.end()),
            }
        }
    }

    /// Waits for the time of a keep-alive, or after the last event for the time to end the stream.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Content::Events(stream) = &mut self.content else {
            return Poll::Pending;
        };
        if stream.events.end().is_over() {
            let linger = stream
                .linger
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
            return linger.as_mut().poll(cx).map(|()| None);
        }
        if !stream.events.is_between() {
            return Poll::Pending;
        }
        ready!(stream.keep_alive.poll(cx));
        stream.events.note_insertion();
        Poll::Ready(Some(Bytes::from_static(keep_alive(stream.dialect))))
    }

    /// Returns the bytes that can be forwarded now, which may be none.
    fn forward(&mut self, data: Bytes) -> Bytes {
        let data = match &mut self.content {
            Content::Unlabelled(unlabelled) => {
                unlabelled.start.extend_from_slice(&data);
                let sniffed = match sniff(&unlabelled.start) {
                    None if unlabelled.start.len() < MAX_SNIFFED_BYTES => return Bytes::new(),
                    sniffed => sniffed.unwrap_or(Sniffed::Other),
                };
                self.label(sniffed)
            }
            Content::Events(_) | Content::Json(_) | Content::Other => data,
        };
        match &mut self.content {
            // It has its label now.
            Content::Unlabelled(_) | Content::Other => data,
            Content::Json(ends) => {
                let is_last = self.body.as_ref().is_none_or(CoalescedBody::is_end_stream);
                ends.push(&data, is_last, &self.usage);
                data
            }
            Content::Events(stream) => {
                let bytes = stream.events.push(&data);
                if !bytes.is_empty() {
                    stream.keep_alive.reset();
                }
                bytes
            }
        }
    }

    /// Decides what an unlabelled body holds. Returns its first bytes, which were held back.
    fn label(&mut self, sniffed: Sniffed) -> Bytes {
        let budget = self.memory.budget();
        let labelled = match (&self.content, sniffed) {
            (Content::Unlabelled(unlabelled), Sniffed::Events) => {
                Content::Events(EventStream::new(&unlabelled.options, budget))
            }
            (_, Sniffed::Json) => Content::Json(JsonEnds::new(budget)),
            (_, Sniffed::Events | Sniffed::Other) => Content::Other,
        };
        match std::mem::replace(&mut self.content, labelled) {
            Content::Unlabelled(unlabelled) => unlabelled.start.freeze(),
            Content::Events(_) | Content::Json(_) | Content::Other => Bytes::new(),
        }
    }

    /// Holds memory for a frame until the client has read it.
    fn hold(&mut self, bytes: Bytes) -> Result<Bytes, ResponseCut> {
        match self.memory.attach(bytes) {
            Ok(held) => Ok(held),
            Err(error) => self.cut(error).unwrap_or(Err(ResponseCut)),
        }
    }

    /// Handles a body that breaks off. After the provider's last event nothing is missing.
    fn break_off(&mut self, error: SendError) -> Option<Result<Bytes, ResponseCut>> {
        match &self.content {
            Content::Events(stream) if stream.events.end().has_ended() => {
                self.body = None;
                None
            }
            Content::Events(_) | Content::Json(_) | Content::Unlabelled(_) | Content::Other => {
                self.cut(error.into())
            }
        }
    }

    /// Handles the end of the body.
    fn end(&mut self) -> Option<Result<Bytes, ResponseCut>> {
        let stream = match &mut self.content {
            Content::Events(stream) => stream,
            Content::Unlabelled(_) => {
                self.body = None;
                let start = self.label(Sniffed::Other);
                return (!start.is_empty()).then_some(Ok(start));
            }
            Content::Json(_) | Content::Other => {
                self.body = None;
                return None;
            }
        };
        let rest = stream.events.finish();
        if stream.events.end().is_cut() {
            return self.cut(SendError::Cut.into());
        }
        self.body = None;
        if rest.is_empty() {
            return None;
        }
        Some(Ok(rest))
    }

    /// Ends an event stream with an error event. Any other body can only break off.
    fn cut(&mut self, error: ServiceError) -> Option<Result<Bytes, ResponseCut>> {
        self.body = None;
        self.call.fail(&error);
        let mut failure = Failure::from(error);
        self.failure = Some(StreamFailure {
            error_type: failure.error_type,
            cause: format!("answer was cut: {}", failure.message),
        });
        let Content::Events(EventStream {
            events,
            dialect,
            request_id,
            ..
        }) = &self.content
        else {
            return Some(Err(ResponseCut));
        };
        failure.name_request(request_id);
        let mut bytes = dialect::error_event(&failure, *dialect, events.names());
        if !events.is_between() {
            bytes.splice(..0, *b"\n\n");
        }
        Some(Ok(bytes.into()))
    }
}

impl EventStream {
    fn new(options: &StreamOptions, budget: &MemoryBudget) -> Self {
        let usage = Arc::clone(&options.usage);
        let events = EventTracker::new(options.kind, usage, options.body_end, budget);
        Self {
            events: events.with_usage_chunk(options.usage_chunk),
            dialect: options.dialect,
            request_id: options.request_id.clone(),
            keep_alive: KeepAlive::new(options.keep_alive),
            linger: None,
        }
    }
}

impl fmt::Debug for PassthroughBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassthroughBody(..)")
    }
}
