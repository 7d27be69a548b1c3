//! The clock of a connection, which is read at most once in each poll of the connection.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// The connection is not being polled.
const NOT_POLLED: u64 = u64::MAX;
/// The connection is being polled, and the time was not needed yet.
const UNREAD: u64 = u64::MAX - 1;

/// Measures the time since a connection was opened. While the connection is polled, the time is that
/// of the first call in this poll: a poll takes microseconds, and what is measured takes seconds.
pub(super) struct PollClock {
    opened: Instant,
    millis: AtomicU64,
}

impl PollClock {
    pub(super) fn new(opened: Instant) -> Self {
        Self {
            opened,
            millis: AtomicU64::new(NOT_POLLED),
        }
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Calls `poll`, which polls the connection.
    pub(super) fn during_poll<T>(&self, poll: impl FnOnce() -> T) -> T {
        self.millis.store(UNREAD, Ordering::Relaxed);
        let polled = poll();
        self.millis.store(NOT_POLLED, Ordering::Relaxed);
        polled
    }

    /// Returns the time since the connection was opened, in milliseconds.
    pub(super) fn millis(&self) -> u64 {
        let known = self.millis.load(Ordering::Relaxed);
        if known < UNREAD {
            return known;
        }
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = now.min(UNREAD.saturating_sub(1));
        if known == UNREAD {
            // The streams of HTTP/2 have tasks of their own, for which the poll may be over by now.
            let _kept =
                self.millis
                    .compare_exchange(UNREAD, now, Ordering::Relaxed, Ordering::Relaxed);
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_stands_still_only_during_a_poll() {
        let clock = PollClock::new(Instant::now());
        advance(Duration::from_millis(5)).await;
        assert_eq!(clock.millis(), 5);
        assert_eq!(clock.during_poll(|| clock.millis()), 5);
        advance(Duration::from_millis(5)).await;
        assert_eq!(clock.millis(), 10);

        // As in a poll that lasts.
        clock.millis.store(UNREAD, Ordering::Relaxed);
        assert_eq!(clock.millis(), 10);
        advance(Duration::from_secs(1)).await;
        assert_eq!(clock.millis(), 10);

        assert_eq!(clock.during_poll(|| clock.millis()), 1010);
    }
}
