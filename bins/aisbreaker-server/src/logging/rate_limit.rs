//! A limit on log lines per second, so that a flood of requests does not flood the disk.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aisbreaker_gateway::{Clock, Gateway, UNCHARGED_TARGET};
use tracing::{Event, Level, Metadata};
use tracing_appender::non_blocking::ErrorCounter;
use tracing_subscriber::layer::{Context, Filter};

/// How often the number of suppressed lines is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Passes a limited number of lines per second; clones share the limit.
///
/// Requests that are not charged, which anyone can make in any number, get at most a quarter of the
/// lines, so that they cannot hide others. Warnings and errors always pass: except for panics, the
/// server logs each of them at most once in a while.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit<C>(Arc<Inner<C>>);

#[derive(Debug)]
struct Inner<C> {
    clock: C,
    started: Instant,
    per_second: NonZeroU32,
    all: SecondCounter,
    uncharged: SecondCounter,
    suppressed: AtomicU64,
    /// Counts the lines that were dropped since nobody reads them.
    unread: Option<ErrorCounter>,
}

impl<C: Clock> RateLimit<C> {
    /// Creates a limit of this many lines per second.
    pub(crate) fn new(per_second: NonZeroU32, clock: C, unread: Option<ErrorCounter>) -> Self {
        let started = clock.monotonic();
        Self(Arc::new(Inner {
            clock,
            started,
            per_second,
            all: SecondCounter::default(),
            uncharged: SecondCounter::default(),
            suppressed: AtomicU64::new(0),
            unread,
        }))
    }

    /// Counts one more line, and returns whether it is written.
    pub(super) fn admits(&self, is_uncharged: bool) -> bool {
        let inner = &*self.0;
        let elapsed = inner
            .clock
            .monotonic()
            .saturating_duration_since(inner.started);
        let second = elapsed.as_secs();
        let limit = inner.per_second.get();
        let is_admitted = (!is_uncharged || inner.uncharged.admit(second, limit.div_ceil(4)))
            && inner.all.admit(second, limit);
        if !is_admitted {
            inner.suppressed.fetch_add(1, Ordering::Relaxed);
        }
        is_admitted
    }

    /// Logs how many lines were suppressed, at most once a second, for as long as it is polled. The
    /// gateway counts them, and those that nobody reads.
    pub(crate) async fn report(&self, gateway: &Gateway) {
        let mut unread_before = 0;
        let mut ticks = tokio::time::interval(REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let left_out = self.0.suppressed.swap(0, Ordering::Relaxed);
            let unread = self
                .0
                .unread
                .as_ref()
                .map_or(0, ErrorCounter::dropped_lines);
            let unread_since = unread.saturating_sub(unread_before);
            unread_before = unread;
            let unread_since = u64::try_from(unread_since).unwrap_or(u64::MAX);
            gateway.count_log_lines_left_out(left_out.saturating_add(unread_since));
            if left_out > 0 {
                tracing::warn!(
                    left_out,
                    per_second = self.0.per_second,
                    "log lines were left out"
                );
            }
        }
    }
}

impl<C: Clock, S> Filter<S> for RateLimit<C> {
    fn enabled(&self, _metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        *metadata.level() <= Level::WARN || self.admits(metadata.target() == UNCHARGED_TARGET)
    }
}

/// Counts lines in the current second: the second in the upper half, their number in the lower.
#[derive(Debug, Default)]
struct SecondCounter(AtomicU64);

impl SecondCounter {
    /// Counts one more line, unless that would exceed the limit.
    fn admit(&self, second: u64, limit: u32) -> bool {
        let start = second << 32;
        let counted = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |counter| {
                let current = counter.max(start);
                let lines = current & u64::from(u32::MAX);
                (lines < u64::from(limit)).then_some(current + 1)
            });
        counted.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::SystemTime};

    use super::*;

    /// A clock that advances only by hand.
    #[derive(Clone, Debug)]
    struct ManualClock(Arc<Mutex<Instant>>);

    impl Clock for ManualClock {
        fn wall(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }

        fn monotonic(&self) -> Instant {
            *self.0.lock().unwrap()
        }
    }

    #[test]
    fn passes_a_limited_number_of_lines_per_second_and_counts_the_rest() {
        #[expect(
            clippy::disallowed_methods,
            reason = "an instant can only be had from the system"
        )]
        let clock = ManualClock(Arc::new(Mutex::new(Instant::now())));
        let limit = RateLimit::new(NonZeroU32::new(8).unwrap(), clock.clone(), None);
        let passed =
            |count: usize, is_uncharged| (0..count).filter(|_| limit.admits(is_uncharged)).count();

        assert_eq!(passed(5, true), 2, "a quarter of them");
        assert_eq!(passed(9, false), 6, "the others");
        assert_eq!(passed(1, true), 0);
        *clock.0.lock().unwrap() += Duration::from_secs(1);
        assert_eq!(passed(9, false), 8);
        assert_eq!(passed(1, true), 0, "none are left");
        *clock.0.lock().unwrap() += Duration::from_secs(86_400);
        assert_eq!(passed(9, false), 8);
        assert_eq!(
            limit.0.suppressed.load(Ordering::Relaxed),
            3 + 3 + 1 + 1 + 1 + 1
        );
    }
}
