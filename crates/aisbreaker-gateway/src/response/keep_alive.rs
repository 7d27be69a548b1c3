//! Keep-alives in streams that pause.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use aisbreaker_services::Dialect;
use tokio::time::{Instant, Sleep};

/// A keep-alive for clients that skip comments. Some take a comment with a blank line for an event
/// without data.
pub(super) const COMMENT: &[u8] = b": keep-alive\n";
/// How long the end of a body is awaited after the last event of its stream, so that both
/// connections can be used again.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Returns what clients of a dialect accept as a keep-alive.
pub(super) fn keep_alive(dialect: Dialect) -> &'static [u8] {
    match dialect {
        Dialect::OpenAi => COMMENT,
        Dialect::Anthropic => b"event: ping\ndata: {\"type\": \"ping\"}\n\n",
    }
}

/// The timer of keep-alives.
pub(super) struct KeepAlive {
    interval: Duration,
    idle_since: Option<Instant>,
    /// Created at the first wait. It is rearmed only when it fires, not for every event.
    timer: Option<Pin<Box<Sleep>>>,
}

impl KeepAlive {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            idle_since: None,
            timer: None,
        }
    }

    /// Starts the idle time anew.
    pub(super) fn reset(&mut self) {
        self.idle_since = None;
    }

    /// Completes once the stream has been idle for the interval.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle_since = *self.idle_since.get_or_insert_with(Instant::now);
        let interval = self.interval;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(interval)));
        loop {
            ready!(timer.as_mut().poll(cx));
            let rest = interval.saturating_sub(idle_since.elapsed());
            if rest.is_zero() {
                timer.set(tokio::time::sleep(interval));
                self.idle_since = Some(Instant::now());
                return Poll::Ready(());
            }
            timer.set(tokio::time::sleep(rest));
        }
    }
}
