//! The one clock of a server; everything below it takes time as an argument.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

/// The source of time of a gateway. Tests step a manual one.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns wall time, for expiry.
    fn wall(&self) -> SystemTime;
    /// Returns monotonic time, for quotas and durations.
    fn monotonic(&self) -> Instant;
}

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl SystemClock {
    /// Creates a handle to the clocks of the operating system.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that everything else is given"
)]
impl Clock for SystemClock {
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// Longer times would overflow the clock, and are as good as none.
pub(crate) const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);

/// Returns whole seconds, rounded up.
pub(crate) fn ceil_seconds(time: Duration) -> u64 {
    let started = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(started)
}
