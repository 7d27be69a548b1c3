//! The answer of a provider on its way to the client: as it came, with nothing added but what keeps
//! an idle stream alive, and an error at the end of a stream that was cut.

use std::{
    fmt,
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use aisbreaker_egress::{self as egress, MemoryBudget, MemoryReservation, SendError};
use aisbreaker_services::{Dialect, ServiceError, Tokens, UsageRule, last_usage};
use bytes::Bytes;
use http_body::SizeHint;
use tokio::time::{Instant, Sleep};

use super::{events::Events, gather::Gathered};
use crate::{answer::Failure, dialect, shares::Share};

/// How much of the end of an answer, and of its beginning, is kept to find its usage in.
const TAIL_BYTES: usize = 16 << 10;

/// The body of an answer that is passed on.
pub(crate) struct Passing {
    /// `None` at the end.
    body: Option<Gathered>,
    content: Content,
    usage: Arc<UsageRule>,
    /// What is handed out counts as held until the client has taken it.
    share: Arc<Share>,
    failure: Option<String>,
}

/// What a body is.
enum Content {
    /// Events, among which others can be put.
    Events(Stream),
    Json(Ends),
    /// Anything else.
    Other,
}

/// Both ends of JSON: most providers tell their usage behind everything else, some before. Where
/// the budget has no room, what was kept is forgotten.
struct Ends {
    head: Vec<u8>,
    tail: Vec<u8>,
    held: MemoryReservation,
}

impl Ends {
    fn new(budget: &MemoryBudget) -> Self {
        Self {
            head: Vec::new(),
            tail: Vec::new(),
            held: budget.reservation(),
        }
    }

    fn keep(&mut self, data: &[u8]) {
        let kept = self.head.len().saturating_add(self.tail.len());
        let most = kept
            .saturating_add(data.len().saturating_mul(2))
            .min(2 * TAIL_BYTES);
        if self.held.hold(most).is_err() {
            (self.head, self.tail) = (Vec::new(), Vec::new());
            self.held.release();
            return;
        }
        let room = TAIL_BYTES.saturating_sub(self.head.len());
        self.head
            .extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
        keep_tail(&mut self.tail, data);
    }

    fn tokens(&self, rule: &UsageRule) -> Tokens {
        let usage = last_usage(&self.tail).or_else(|| last_usage(&self.head));
        usage.map(|usage| rule.read(&usage)).unwrap_or_default()
    }
}

struct Stream {
    events: Events,
    dialect: Dialect,
    /// Whether the end of the body is told apart from a broken connection.
    is_framed: bool,
    keep_alive: KeepAlive,
}

/// How a body is to be passed on.
#[derive(Debug)]
pub(crate) struct How {
    pub(crate) dialect: Dialect,
    pub(crate) is_framed: bool,
    pub(crate) keep_alive: Duration,
    pub(crate) usage: Arc<UsageRule>,
}

/// The answer was cut off; its client sees the connection break.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the answer was cut off")]
#[non_exhaustive]
pub struct CutOff;

impl Passing {
    /// Passes on what is no stream of events.
    pub(crate) fn whole(
        body: egress::Body,
        is_json: bool,
        usage: Arc<UsageRule>,
        share: Arc<Share>,
    ) -> Self {
        let content = if is_json {
            Content::Json(Ends::new(share.budget()))
        } else {
            Content::Other
        };
        Self {
            body: Some(Gathered::one_by_one(body)),
            content,
            usage,
            share,
            failure: None,
        }
    }

    /// Passes on a stream of events.
    pub(crate) fn events(body: egress::Body, how: How, share: Arc<Share>) -> Self {
        let How {
            dialect,
            is_framed,
            keep_alive,
            usage,
        } = how;
        let events = Events::new(Arc::clone(&usage), !is_framed, share.budget());
        let keep_alive = KeepAlive::new(keep_alive);
        let content = Content::Events(Stream {
            events,
            dialect,
            is_framed,
            keep_alive,
        });
        Self {
            body: Some(Gathered::new(body)),
            content,
            usage,
            share,
            failure: None,
        }
    }

    /// Why it did not end well, for the log.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// How many tokens it took.
    pub(crate) fn tokens(&self) -> Tokens {
        match &self.content {
            Content::Events(stream) => stream.events.tokens(),
            Content::Json(ends) => ends.tokens(&self.usage),
            Content::Other => Tokens::default(),
        }
    }

    /// Whether all of it has come, so that nothing is to be waited for.
    pub(crate) fn is_whole(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(|body| !matches!(self.content, Content::Events(_)) && body.is_end_stream())
    }

    /// Whether there is nothing to be passed on, not even in the end. To be asked before anything
    /// else.
    pub(crate) fn is_empty(&self) -> bool {
        self.body.as_ref().is_none_or(Gathered::is_end_stream)
    }

    /// Its length, where that is known and nothing is put between.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match (&self.content, &self.body) {
            (Content::Json(_) | Content::Other, Some(body)) => body.size_hint(),
            (Content::Json(_) | Content::Other, None) => SizeHint::with_exact(0),
            (Content::Events(_), _) => SizeHint::default(),
        }
    }

    /// The next piece; `None` at the end.
    pub(crate) fn poll_bytes(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, CutOff>>> {
        loop {
            let Some(body) = &mut self.body else {
                return Poll::Ready(None);
            };
            match body.poll_piece(cx) {
                Poll::Pending => return self.poll_keep_alive(cx).map(|bytes| Some(Ok(bytes))),
                Poll::Ready(Some(Ok(data))) => {
                    if let Some(bytes) = self.pass_on(data) {
                        return Poll::Ready(Some(self.counted(bytes)));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.cut(error.into())),
                Poll::Ready(None) => return Poll::Ready(self.end()),
            }
        }
    }

    fn poll_keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        match &mut self.content {
            Content::Events(stream) if stream.events.is_between() => stream
                .keep_alive
                .poll(cx)
                .map(|()| Bytes::from_static(keep_alive(stream.dialect))),
            Content::Events(_) | Content::Json(_) | Content::Other => Poll::Pending,
        }
    }

    /// What of the bytes can be passed on now.
    fn pass_on(&mut self, data: Bytes) -> Option<Bytes> {
        let bytes = match &mut self.content {
            Content::Other => data,
            Content::Json(ends) => {
                ends.keep(&data);
                data
            }
            Content::Events(stream) => {
                let bytes = stream.events.feed(&data);
                if !bytes.is_empty() {
                    stream.keep_alive.is_not_idle();
                }
                bytes
            }
        };
        (!bytes.is_empty()).then_some(bytes)
    }

    /// A piece that counts as held until the client has taken it.
    fn counted(&mut self, bytes: Bytes) -> Result<Bytes, CutOff> {
        self.share
            .held()
            .until_taken(bytes)
            .or_else(|error| self.cut(error).unwrap_or(Err(CutOff)))
    }

    /// The clean end of the body.
    fn end(&mut self) -> Option<Result<Bytes, CutOff>> {
        let Content::Events(stream) = &mut self.content else {
            self.body = None;
            return None;
        };
        let rest = stream.events.finish();
        if !stream.is_framed && !stream.events.is_over() {
            return self.cut(SendError::Cut.into());
        }
        self.body = None;
        (!rest.is_empty()).then_some(Ok(rest))
    }

    /// Ends a stream with an event that tells the error; anything else can only break off.
    fn cut(&mut self, error: ServiceError) -> Option<Result<Bytes, CutOff>> {
        self.body = None;
        let failure = Failure::from(error);
        self.failure = Some(format!("answer was cut: {}", failure.message));
        let Content::Events(Stream {
            events, dialect, ..
        }) = &self.content
        else {
            return Some(Err(CutOff));
        };
        let mut bytes = dialect::error_event(&failure, *dialect, events.is_named());
        if !events.is_between() {
            bytes.splice(..0, *b"\n\n");
        }
        Some(Ok(bytes.into()))
    }
}

impl fmt::Debug for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passing(..)")
    }
}

/// What clients of a dialect take for a sign of life.
fn keep_alive(dialect: Dialect) -> &'static [u8] {
    match dialect {
        // With a blank line behind it, some clients would take it for an event without data.
        Dialect::OpenAi => b": keep-alive\n",
        Dialect::Anthropic => b"event: ping\ndata: {\"type\": \"ping\"}\n\n",
    }
}

/// Keeps the end of all that came.
pub(super) fn keep_tail(tail: &mut Vec<u8>, data: &[u8]) {
    let data = data
        .get(data.len().saturating_sub(TAIL_BYTES)..)
        .unwrap_or_default();
    let excess = tail
        .len()
        .saturating_add(data.len())
        .saturating_sub(TAIL_BYTES);
    tail.drain(..excess.min(tail.len()));
    tail.extend_from_slice(data);
}

/// Tells when a stream has been idle for so long.
struct KeepAlive {
    pause: Duration,
    idle_since: Option<Instant>,
    /// Made at the first wait. It is set back only when it fires, not at each event.
    timer: Option<Pin<Box<Sleep>>>,
}

impl KeepAlive {
    fn new(pause: Duration) -> Self {
        Self {
            pause,
            idle_since: None,
            timer: None,
        }
    }

    fn is_not_idle(&mut self) {
        self.idle_since = None;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        let pause = self.pause;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        loop {
            ready!(timer.as_mut().poll(cx));
            let idle = since.elapsed();
            let left = pause.checked_sub(idle).filter(|left| !left.is_zero());
            timer.set(tokio::time::sleep(left.unwrap_or(pause)));
            if left.is_none() {
                self.idle_since = Some(Instant::now());
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_of_json_is_held_of_the_budget() {
        let rule: UsageRule = serde_json::from_value(json!({"input": ["i"]})).unwrap();
        let whole = format!(
            "{{\"x\":\"{}\",\"usage\":{{\"i\":3}}}}",
            "x".repeat(100_000)
        );
        let budget = MemoryBudget::new(2 * TAIL_BYTES);
        let mut first = Ends::new(&budget);
        let mut second = Ends::new(&budget);
        for piece in whole.as_bytes().chunks(7_000) {
            first.keep(piece);
            second.keep(piece);
            // So little is not counted.
            assert!(
                second.head.len() + second.tail.len() < TAIL_BYTES,
                "there was room for the first only"
            );
        }
        assert_eq!(first.tokens(&rule).input, Some(3));
        assert_eq!(budget.held_bytes(), 2 * TAIL_BYTES);
        drop((first, second));
        assert_eq!(budget.held_bytes(), 0);
    }
}
