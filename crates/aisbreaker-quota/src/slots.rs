//! The grid of time: slots of a hundredth of a window, nested so that one list serves three
//! windows.
//!
//! Slot `k` of a window counts while `now - k <= 100`, in slots of that window. A charge made
//! anywhere in slot `k` therefore counts for more than 100 and at most 101 slots: never less than
//! the window, at most 1 % longer. A minute's slot is 600 ms; an hour's is 60 of those, a day's
//! 1440.

use std::time::{Duration, Instant};

use crate::limits::Window;

/// Nanoseconds of the finest slot, a hundredth of a minute.
const SLOT_NANOS: u64 = 600_000_000;

/// How many slots back from the current one still count.
pub(crate) const REACH: u32 = 100;

/// Fine slots per slot of each window.
const FINE_PER_SLOT: [u32; 3] = [1, 60, 1_440];

/// Where an engine's count of time begins, and how much of it had passed before, in an engine that
/// this one goes on for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch {
    start: Instant,
    before_nanos: u64,
}

impl Epoch {
    /// A count that begins here, at this moment.
    pub(crate) const fn new(start: Instant, before: Moment) -> Self {
        Self {
            start,
            before_nanos: before.nanos,
        }
    }

    /// The moment of `now`; a `now` before the start counts as the start.
    #[inline]
    pub(crate) fn moment(self, now: Instant) -> Moment {
        let Moment { nanos } = Moment::at(now.saturating_duration_since(self.start));
        Moment {
            nanos: nanos.saturating_add(self.before_nanos).min(LAST_NANOS),
        }
    }
}

/// The last nanosecond of the last slot.
const LAST_NANOS: u64 = SLOT_NANOS.saturating_mul(1 << 32).saturating_sub(1);

/// A moment as the engine counts it: time since its epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Moment {
    nanos: u64,
}

impl Moment {
    /// The first one.
    pub(crate) const ZERO: Self = Self { nanos: 0 };

    /// This long after the epoch, and at most 81 years.
    pub(crate) fn at(since: Duration) -> Self {
        let nanos = since
            .as_secs()
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(since.subsec_nanos()));
        Self {
            nanos: nanos.min(LAST_NANOS),
        }
    }

    /// The fine slot this moment is in.
    pub(crate) fn slot(self) -> u32 {
        u32::try_from(self.nanos / SLOT_NANOS).unwrap_or(u32::MAX)
    }

    /// Nanoseconds since the first moment.
    pub(crate) const fn nanos(self) -> u64 {
        self.nanos
    }

    /// The moment this much later.
    pub(crate) fn after(self, time: Duration) -> Self {
        Self::at(Duration::from_nanos(self.nanos).saturating_add(time))
    }

    /// The time until the fine slot of this moment is over.
    #[cfg(feature = "redis")]
    pub(crate) fn left_of_slot(self) -> Duration {
        self.until(u64::from(self.slot()).saturating_add(1))
    }

    /// The time from this moment to the start of fine slot `slot`; zero if that is not ahead.
    pub(crate) fn until(self, slot: u64) -> Duration {
        Duration::from_nanos(slot.saturating_mul(SLOT_NANOS).saturating_sub(self.nanos))
    }
}

/// The entry of `values` for `window`.
pub(crate) const fn pick(values: [u32; 3], window: Window) -> u32 {
    let [minute, hour, day] = values;
    match window {
        Window::Minute => minute,
        Window::Hour => hour,
        Window::Day => day,
    }
}

/// The slot of `window` that contains the fine slot `slot`.
pub(crate) const fn coarse(slot: u32, window: Window) -> u32 {
    match window {
        Window::Minute => slot,
        Window::Hour => slot / 60,
        Window::Day => slot / 1_440,
    }
}

/// The slot of the day that contains the slot `slot` of the hour.
pub(crate) const fn day_of_hour(slot: u32) -> u32 {
    slot / 24
}

/// The slot of the hour that contains the fine slot `slot`.
pub(crate) const fn hour_of_fine(slot: u32) -> u32 {
    slot / 60
}

/// The first fine slot in which slot `slot` of `window` no longer counts.
pub(crate) fn expiry(slot: u32, window: Window) -> u64 {
    let past = u64::from(slot)
        .saturating_add(u64::from(REACH))
        .saturating_add(1);
    past.saturating_mul(u64::from(pick(FINE_PER_SLOT, window)))
}
