//! The one clock of a server; everything below it takes time as an argument.

use std::{
    fmt,
    time::{Instant, SystemTime},
};

/// Where a gateway reads the time. Tests step one by hand.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Wall time, for expiry.
    fn wall(&self) -> SystemTime;
    /// Monotonic time, for quotas and durations.
    fn monotonic(&self) -> Instant;
}

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl SystemClock {
    /// The clocks of the operating system.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that everyone else is given"
)]
impl Clock for SystemClock {
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}
