//! How many lines the log takes in a second: whoever floods the server with requests shall not
//! flood its disk.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aisbreaker_gateway::{Clock, UNCHARGED_TARGET};
use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// How often it is told how many lines were left out.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Lets so many lines a second pass; clones count together. A quarter of them may be of requests
/// that anyone can make for free: whoever floods the server with those shall not hide others.
///
/// Warnings and errors always pass: but for panics, the server says each of them at most once in a
/// while.
#[derive(Clone, Debug)]
pub(crate) struct Pace<C>(Arc<Shared<C>>);

#[derive(Debug)]
struct Shared<C> {
    clock: C,
    started: Instant,
    per_second: NonZeroU64,
    all: Lines,
    free: Lines,
    left_out: AtomicU64,
}

/// Lines that were counted: the second in the upper half, how many there were in it in the lower
/// one.
#[derive(Debug, Default)]
struct Lines(AtomicU64);

impl Lines {
    /// Whether one more line fits into this second.
    fn admit(&self, second: u64, limit: u64) -> bool {
        let second = second << 32;
        let counted = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lines| {
                let begun = if lines < second { second } else { lines };
                (begun & u64::from(u32::MAX) < limit).then_some(begun + 1)
            });
        counted.is_ok()
    }
}

impl<C: Clock> Pace<C> {
    pub(crate) fn new(per_second: NonZeroU64, clock: C) -> Self {
        let started = clock.monotonic();
        let (all, free) = (Lines::default(), Lines::default());
        Self(Arc::new(Shared {
            clock,
            started,
            per_second,
            all,
            free,
            left_out: AtomicU64::new(0),
        }))
    }

    fn admits(&self, is_free: bool) -> bool {
        let Shared {
            clock,
            started,
            per_second,
            all,
            free,
            left_out,
        } = &*self.0;
        let second = clock
            .monotonic()
            .saturating_duration_since(*started)
            .as_secs();
        let (limit, limit_of_free) = (per_second.get(), per_second.get().div_ceil(4));
        let is_admitted =
            (!is_free || free.admit(second, limit_of_free)) && all.admit(second, limit);
        if !is_admitted {
            left_out.fetch_add(1, Ordering::Relaxed);
        }
        is_admitted
    }

    /// Says in the log how many lines were left out, at most once a second, for as long as it is
    /// polled.
    pub(crate) async fn tell(&self) {
        let mut ticks = tokio::time::interval(TOLD_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let left_out = self.0.left_out.swap(0, Ordering::Relaxed);
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

impl<C: Clock, S> Filter<S> for Pace<C> {
    fn enabled(&self, _metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        *metadata.level() <= Level::WARN || self.admits(metadata.target() == UNCHARGED_TARGET)
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
        #[expect(
            clippy::disallowed_methods,
            reason = "an instant can only be had from the system"
        )]
        let clock = ManualClock(Arc::new(Mutex::new(Instant::now())));
        let pace = Pace::new(NonZeroU64::new(8).unwrap(), clock.clone());
        let passed = |count: usize, is_free| (0..count).filter(|_| pace.admits(is_free)).count();

        assert_eq!(passed(5, true), 2, "a quarter of them");
        assert_eq!(passed(9, false), 6, "the others");
        assert_eq!(passed(1, true), 0);
        *clock.0.lock().unwrap() += Duration::from_secs(1);
        assert_eq!(passed(9, false), 8);
        assert_eq!(passed(1, true), 0, "none are left");
        *clock.0.lock().unwrap() += Duration::from_secs(86_400);
        assert_eq!(passed(9, false), 8);
        assert_eq!(
            pace.0.left_out.load(Ordering::Relaxed),
            3 + 3 + 1 + 1 + 1 + 1
        );
    }
}
