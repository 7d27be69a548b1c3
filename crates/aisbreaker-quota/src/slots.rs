//! The grid of time: slots of a hundredth of a window, nested so that one list serves three
//! windows.
//!
//! Slot `k` of a window counts while `now - k <= 100`, in slots of that window. A charge made
//! anywhere in slot `k` therefore counts for more than 100 and at most 101 slots: never for less
//! than the window, and for at most 1 % longer. A slot of the minute takes 600 ms, a slot of the
//! hour 60 of those, a slot of the day 1440. Slots of the minute are called fine slots.

use std::time::{Duration, Instant};

use crate::window::Window;

/// Nanoseconds in a fine slot, a hundredth of a minute.
const SLOT_NANOS: u64 = 600_000_000;

/// How many slots back from the current one still count.
pub(crate) const REACH: u32 = 100;

/// Fine slots per slot of each window.
const FINE_PER_SLOT: [u32; 3] = [1, 60, 1_440];

/// The last nanosecond of the last slot.
const LAST_NANOS: u64 = SLOT_NANOS.saturating_mul(1 << 32).saturating_sub(1);

/// The origin of an engine's clock: an instant, and the reading of the clock at that instant.
///
/// The reading is zero in a new engine. In a restored one it goes on from the snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch {
    start: Instant,
    elapsed_before_nanos: u64,
}

impl Epoch {
    /// Creates an origin at which the clock reads `elapsed_before`.
    pub(crate) const fn new(start: Instant, elapsed_before: Moment) -> Self {
        Self {
            start,
            elapsed_before_nanos: elapsed_before.nanos,
        }
    }

    /// Converts `now`; one before the start counts as the start.
    #[inline]
    pub(crate) fn moment(self, now: Instant) -> Moment {
        let Moment { nanos } = Moment::at(now.saturating_duration_since(self.start));
        Moment {
            nanos: nanos
                .saturating_add(self.elapsed_before_nanos)
                .min(LAST_NANOS),
        }
    }
}

/// A reading of an engine's clock: the time since its epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Moment {
    nanos: u64,
}

impl Moment {
    /// The epoch itself.
    pub(crate) const ZERO: Self = Self { nanos: 0 };

    /// Returns the moment `since` after the epoch, capped at 81 years.
    pub(crate) fn at(since: Duration) -> Self {
        let nanos = since
            .as_secs()
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(since.subsec_nanos()));
        Self {
            nanos: nanos.min(LAST_NANOS),
        }
    }

    /// Returns the fine slot that contains this moment.
    pub(crate) fn slot(self) -> u32 {
        u32::try_from(self.nanos / SLOT_NANOS).unwrap_or(u32::MAX)
    }

    /// Returns the nanoseconds since the epoch.
    pub(crate) const fn nanos(self) -> u64 {
        self.nanos
    }

    /// Returns the moment this much later.
    pub(crate) fn after(self, time: Duration) -> Self {
        Self::at(Duration::from_nanos(self.nanos).saturating_add(time))
    }

    /// Returns the time until the fine slot of this moment ends.
    #[cfg(feature = "redis")]
    pub(crate) fn until_slot_end(self) -> Duration {
        self.until(u64::from(self.slot()).saturating_add(1))
    }

    /// Returns the time until fine slot `slot` starts; zero if it has started.
    pub(crate) fn until(self, slot: u64) -> Duration {
        Duration::from_nanos(slot.saturating_mul(SLOT_NANOS).saturating_sub(self.nanos))
    }
}

/// Returns the slot of `window` that contains fine slot `slot`.
pub(crate) const fn coarse(slot: u32, window: Window) -> u32 {
    match window {
        Window::Minute => slot,
        Window::Hour => slot / 60,
        Window::Day => slot / 1_440,
    }
}

/// Returns the day slot that contains hour slot `slot`.
pub(crate) const fn day_of_hour(slot: u32) -> u32 {
    slot / 24
}

/// Returns the hour slot that contains fine slot `slot`.
pub(crate) const fn hour_of_fine(slot: u32) -> u32 {
    slot / 60
}

/// Returns the first fine slot in which slot `slot` of `window` no longer counts.
pub(crate) fn expiry(slot: u32, window: Window) -> u64 {
    let first_uncounted = u64::from(slot)
        .saturating_add(u64::from(REACH))
        .saturating_add(1);
    first_uncounted.saturating_mul(u64::from(window.pick(FINE_PER_SLOT)))
}
