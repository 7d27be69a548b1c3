//! The oracle of the property tests: a log of everything that was admitted.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use aisbreaker_quota::{Limits, Window};

/// The limits of a key, and every admission as `(time, weight)` with the time in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) limits: Limits,
    pub(crate) admitted: Vec<(u64, u32)>,
    /// The latest time that the counter of this key has seen.
    pub(crate) seen: u64,
    /// Whether the key has a counter of its own.
    pub(crate) tracked: bool,
}

impl Log {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            admitted: Vec::new(),
            seen: 0,
            tracked: false,
        }
    }

    /// Reports whether every closed interval that ends now and is as long as a window has at most
    /// its limit.
    pub(crate) fn is_within_limits(&self, now: u64) -> bool {
        Window::ALL.into_iter().all(|window| {
            let length = millis(window);
            let load = self.load(|at| at + length >= now);
            load <= u64::from(self.limits.of(window).get())
        })
    }

    /// Reports whether every limit would admit `weight` even if charges counted for one slot longer
    /// than the window.
    pub(crate) fn fits_slotted(&self, weight: u64, now: u64) -> bool {
        Window::ALL.into_iter().all(|window| {
            let length = millis(window) / 100 * 101;
            let load = self.load(|at| at + length > now);
            load + weight <= u64::from(self.limits.of(window).get())
        })
    }

    fn load(&self, counts: impl Fn(u64) -> bool) -> u64 {
        self.admitted
            .iter()
            .filter(|(at, _)| counts(*at))
            .map(|(_, weight)| u64::from(*weight))
            .sum()
    }
}

/// Reports whether a counter last used at `seen` is idle: more than a hundred day slots later.
pub(crate) const fn is_idle(seen: u64, now: u64) -> bool {
    (now / 864_000).saturating_sub(seen / 864_000) > 100
}

pub(crate) fn millis(window: Window) -> u64 {
    u64::try_from(window.length().as_millis()).unwrap()
}

pub(crate) fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

pub(crate) fn limits(minute: u32, hour: u32, day: u32) -> Limits {
    Limits::new(number(minute), number(hour), number(day))
}

pub(crate) const fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
pub(crate) fn some_instant() -> Instant {
    Instant::now()
}
