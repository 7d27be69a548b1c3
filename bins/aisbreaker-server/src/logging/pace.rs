//! How many lines the log takes in a second: whoever floods the server with requests shall not flood its disk.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aisbreaker_gateway::Clock;
use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// How often it is told how many lines were left out.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Lets so many lines a second pass; clones count together.
///
/// Warnings and errors always pass: the server itself says each of them at most so often.
#[derive(Clone, Debug)]
pub(crate) struct Pace<C>(Arc<Shared<C>>);

#[derive(Debug)]
struct Shared<C> {
    clock: C,
    started: Instant,
    per_second: NonZeroU64,
    /// The second in the upper half, the lines in it in the lower one.
    lines: AtomicU64,
    left_out: AtomicU64,
}

impl<C: Clock> Pace<C> {
    pub(crate) fn new(per_second: NonZeroU64, clock: C) -> Self {
        let started = clock.monotonic();
        let (lines, left_out) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Shared { clock, started, per_second, lines, left_out }))
    }

    /// Whether one more line fits into this second.
    fn admits(&self) -> bool {
        let Shared { clock, started, per_second, lines, left_out } = &*self.0;
        let second = clock.monotonic().saturating_duration_since(*started).as_secs() << 32;
        let counted = lines.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lines| {
            let begun = if lines < second { second } else { lines };
            (begun & u64::from(u32::MAX) < per_second.get()).then_some(begun + 1)
        });
        if counted.is_err() {
            left_out.fetch_add(1, Ordering::Relaxed);
        }
        counted.is_ok()
    }

    /// Says in the log how many lines were left out, at most once a second, for as long as it is polled.
    pub(crate) async fn tell(&self) {
        let mut ticks = tokio::time::interval(TOLD_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let left_out = self.0.left_out.swap(0, Ordering::Relaxed);
            if left_out > 0 {
                tracing::warn!(left_out, per_second = self.0.per_second, "log lines were left out");
            }
        }
    }
}

impl<C: Clock, S> Filter<S> for Pace<C> {
    fn enabled(&self, _metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        *event.metadata().level() <= Level::WARN || self.admits()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::SystemTime};

    use super::*;

    /// A clock that stands still unless it is told to go on.
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
    fn so_many_lines_pass_in_each_second_and_the_others_are_counted() {
        #[expect(clippy::disallowed_methods, reason = "an instant can only be had from the system")]
        let clock = ManualClock(Arc::new(Mutex::new(Instant::now())));
        let pace = Pace::new(NonZeroU64::new(3).unwrap(), clock.clone());
        let passed = |count: usize| (0..count).filter(|_| pace.admits()).count();

        assert_eq!(passed(2), 2);
        assert_eq!(passed(5), 1, "the second is not over");
        *clock.0.lock().unwrap() += Duration::from_secs(1);
        assert_eq!(passed(5), 3);
        *clock.0.lock().unwrap() += Duration::from_secs(86_400);
        assert_eq!(passed(5), 3);
        assert_eq!(pace.0.left_out.load(Ordering::Relaxed), 4 + 2 + 2);
    }
}
