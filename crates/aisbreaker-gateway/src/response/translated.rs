//! Forwards a provider's event stream to a client of the other dialect.
//!
//! Each event is translated as it comes. As in a stream of the client's own dialect, keep-alives are
//! sent while the provider pauses, and a stream that is cut ends in an error event.

use std::{
    fmt,
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use aisbreaker_egress::{MemoryReservation, SendError};
use aisbreaker_services::{
    CallInProgress, CallOutcome, Dialect, ServiceError, StreamKind, StreamProgress, StreamState,
    Tokens, UsageReader, UsageRule,
    sse::{Decoder, Message},
};
use aisbreaker_translate::UnreadableAnswer;
use bytes::Bytes;
use http::HeaderValue;
use memchr::memmem;
use tokio::time::Sleep;

use super::{
    coalesce::CoalescedBody,
    keep_alive::{KeepAlive, LINGER, keep_alive},
    stream_failure::StreamFailure,
};
use crate::{
    budgets::hold::{BodyBudget, BudgetHold, Outcome},
    dialect::{self, EventNames},
    failure::Failure,
    memory::ClientMemory,
    translation::Events,
};

/// The size from which on a frame for the client takes no more events.
const MAX_FRAME_BYTES: usize = 64 << 10;

/// How a stream is translated.
#[derive(Debug)]
pub(crate) struct TranslationOptions {
    pub(crate) events: Events,
    /// The dialect of the client.
    pub(crate) dialect: Dialect,
    /// What the provider's stream consists of.
    pub(crate) kind: StreamKind,
    /// How the provider reports usage.
    pub(crate) usage: Arc<UsageRule>,
    /// The idle time after which a keep-alive is sent.
    pub(crate) keep_alive: Duration,
    /// For the message of an error event.
    pub(crate) request_id: HeaderValue,
}

/// A provider's event stream on its way to a client of the other dialect.
pub(crate) struct TranslatedBody {
    /// `None` after the end.
    body: Option<CoalescedBody>,
    decoder: Decoder,
    /// The memory of what the decoder keeps.
    kept: MemoryReservation,
    events: Events,
    progress: StreamProgress,
    /// Whether the client has received the end of its stream.
    is_finished: bool,
    usage: UsageReader,
    dialect: Dialect,
    request_id: HeaderValue,
    keep_alive: KeepAlive,
    /// Created at the first wait after the last event.
    linger: Option<Pin<Box<Sleep>>>,
    /// Every frame is held of this until the client has read it.
    memory: Arc<ClientMemory>,
    failure: Option<StreamFailure>,
    /// The call that this is the answer of.
    call: CallInProgress,
    budget: BodyBudget,
}

impl TranslatedBody {
    /// Translates a stream of which the first bytes are `start`.
    pub(crate) fn new(
        (start, body): (Bytes, aisbreaker_egress::Body),
        options: TranslationOptions,
        (memory, mut call): (Arc<ClientMemory>, CallInProgress),
    ) -> Self {
        let mut decoder = Decoder::new();
        if !start.is_empty() {
            call.note_content();
            decoder.feed(start);
        }
        Self {
            body: Some(CoalescedBody::new(body)),
            decoder,
            kept: memory.budget().reservation(),
            events: options.events,
            progress: StreamProgress::new(options.kind),
            is_finished: false,
            usage: UsageReader::new(options.usage),
            dialect: options.dialect,
            request_id: options.request_id,
            keep_alive: KeepAlive::new(options.keep_alive),
            linger: None,
            memory,
            failure: None,
            call,
            budget: BodyBudget::default(),
        }
    }

    /// Returns why the stream was cut, for the log.
    pub(crate) fn failure(&self) -> Option<&StreamFailure> {
        self.failure.as_ref()
    }

    /// Sets what is settled when the stream is over.
    pub(crate) fn hold_budget(&mut self, hold: Box<BudgetHold>) {
        self.budget.set(hold);
    }

    /// Returns what the response cost in nano-dollars, once it is over and if that is known.
    pub(crate) fn cost(&self) -> Option<u64> {
        self.budget.cost()
    }

    /// Returns the tokens that the provider reported so far.
    pub(crate) fn tokens(&self) -> Tokens {
        self.usage.tokens()
    }

    /// Returns whether the client has received everything, though the provider may not have ended
    /// its response.
    pub(crate) fn is_over(&self) -> bool {
        self.is_finished || self.body.is_none()
    }

    /// Returns whether a client that leaves now has received a whole answer.
    pub(crate) fn is_answered(&self) -> bool {
        self.is_finished || self.progress.state() != StreamState::Open
    }

    /// Ends the call to the provider: as complete, or since nobody waits for the rest.
    pub(crate) fn end_call(&mut self) {
        let has_failed = self.progress.state() == StreamState::Failed;
        let is_cut = self.failure.is_some();
        let is_whole = self.is_answered() && !is_cut && !has_failed;
        let tokens = self.usage.tokens();
        self.budget.settle(|| match is_whole {
            true => Outcome::Streamed(tokens),
            false if is_cut => Outcome::Cut(tokens),
            false => Outcome::Left(tokens),
        });
        if has_failed {
            self.call.end(CallOutcome::ServerError);
        } else if self.is_answered() {
            self.call.complete();
        } else {
            self.call.abandon();
        }
    }

    /// Polls for the next frame; `None` at the end.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            let mut out = Vec::new();
            if let Err(error) = self.translate(&mut out) {
                return Poll::Ready(Some(self.cut(error, out)));
            }
            if !out.is_empty() {
                self.keep_alive.reset();
                return Poll::Ready(Some(self.hold(out)));
            }
            let Some(body) = &mut self.body else {
                return Poll::Ready(None);
            };
            match body.poll_frame(cx) {
                Poll::Pending => {
                    let waited = ready!(self.poll_wait(cx));
                    if waited.is_none() {
                        self.body = None;
                    }
                    return Poll::Ready(waited);
                }
                Poll::Ready(Some(Ok(data))) => {
                    self.call.note_content();
                    if !self.is_finished {
                        self.decoder.feed(data);
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.break_off(error)),
                Poll::Ready(None) => return Poll::Ready(self.end()),
            }
        }
    }

    /// Translates the events that have come, until there is enough for a frame.
    fn translate(&mut self, out: &mut Vec<u8>) -> Result<(), ServiceError> {
        while !self.is_finished && out.len() < MAX_FRAME_BYTES {
            let Some(message) = self.decoder.take().map_err(bad_answer)? else {
                break;
            };
            self.translate_event(&message, out)?;
            if self.progress.state() == StreamState::Over {
                self.finish(out)?;
            }
        }
        if self.is_finished {
            self.kept.release();
        } else {
            self.kept.hold(self.decoder.buffered_bytes())?;
        }
        Ok(())
    }

    fn translate_event(
        &mut self,
        message: &Message,
        out: &mut Vec<u8>,
    ) -> Result<(), ServiceError> {
        let Message { event, data } = message;
        if memmem::find(data.as_bytes(), b"\"usage\"").is_some() {
            self.usage.read_last(data.as_bytes());
        }
        self.progress.read_event(event.as_bytes(), data.as_bytes());
        self.events
            .translate_event(event, data, out)
            .map_err(|error| unreadable(&error))
    }

    /// Ends the client's stream. An error that the provider reported has ended it already.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ServiceError> {
        if self.progress.state() != StreamState::Failed {
            self.events
                .finish(out)
                .map_err(|error| unreadable(&error))?;
        }
        self.is_finished = true;
        Ok(())
    }

    /// Waits for the time of a keep-alive, or after the last event for the time to end the stream.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_finished {
            let linger = self
                .linger
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
            return linger.as_mut().poll(cx).map(|()| None);
        }
        ready!(self.keep_alive.poll(cx));
        Poll::Ready(Some(Bytes::from_static(keep_alive(self.dialect))))
    }

    /// Handles a body that breaks off. After the provider's last event nothing is missing.
    fn break_off(&mut self, error: SendError) -> Option<Bytes> {
        if self.is_finished || self.progress.state() >= StreamState::Failed {
            self.body = None;
            return None;
        }
        Some(self.cut(error.into(), Vec::new()))
    }

    /// Handles the end of the body.
    fn end(&mut self) -> Option<Bytes> {
        self.body = None;
        if self.is_finished {
            return None;
        }
        let mut out = Vec::new();
        if let Err(error) = self.translate_end(&mut out) {
            return Some(self.cut(error, out));
        }
        (!out.is_empty()).then(|| self.hold(out))
    }

    fn translate_end(&mut self, out: &mut Vec<u8>) -> Result<(), ServiceError> {
        if let Some(last) = self.decoder.finish().map_err(bad_answer)? {
            self.translate_event(&last, out)?;
        }
        self.kept.release();
        match self.finish(out) {
            Err(_) if self.progress.state() == StreamState::Open => Err(SendError::Cut.into()),
            finished => finished,
        }
    }

    /// Holds memory for a frame until the client has read it.
    fn hold(&mut self, out: Vec<u8>) -> Bytes {
        match self.memory.attach(out.into()) {
            Ok(held) => held,
            Err(error) => self.cut(error, Vec::new()),
        }
    }

    /// Ends the stream with an error event, after what was translated before.
    fn cut(&mut self, error: ServiceError, mut out: Vec<u8>) -> Bytes {
        self.body = None;
        self.is_finished = true;
        self.call.fail(&error);
        let mut failure = Failure::from(error);
        self.failure = Some(StreamFailure {
            error_type: failure.error_type,
            cause: format!("answer was cut: {}", failure.message),
        });
        failure.name_request(&self.request_id);
        let names = match self.dialect {
            Dialect::OpenAi => EventNames::Absent,
            Dialect::Anthropic => EventNames::Present,
        };
        out.extend(dialect::error_event(&failure, self.dialect, names));
        out.into()
    }
}

fn bad_answer(error: impl fmt::Display) -> ServiceError {
    let text = format!("the provider's stream cannot be translated: {error}");
    ServiceError::BadAnswer(text.into())
}

fn unreadable(error: &UnreadableAnswer) -> ServiceError {
    ServiceError::BadAnswer(error.to_string().into())
}

impl fmt::Debug for TranslatedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TranslatedBody(..)")
    }
}
