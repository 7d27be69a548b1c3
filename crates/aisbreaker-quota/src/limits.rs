//! How much a counter admits per window.

use std::num::NonZeroU32;

use crate::window::Window;

/// How much one counter admits per minute, hour and day.
///
/// A window without a limit of its own has [`NonZeroU32::MAX`], the largest number that a counter
/// can hold: more than 49 000 admissions per second, every second of a day.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Limits {
    per_window: [NonZeroU32; 3],
}

impl Limits {
    /// Limits that no counter reaches.
    pub(crate) const UNLIMITED: Self = Self {
        per_window: [NonZeroU32::MAX; 3],
    };

    /// Creates limits for all three windows.
    #[must_use]
    pub const fn new(per_minute: NonZeroU32, per_hour: NonZeroU32, per_day: NonZeroU32) -> Self {
        Self {
            per_window: [per_minute, per_hour, per_day],
        }
    }

    /// Creates a limit per minute; hour and day are unlimited.
    #[must_use]
    pub const fn per_minute(limit: NonZeroU32) -> Self {
        Self::UNLIMITED.with(Window::Minute, limit)
    }

    /// Creates a limit per hour; minute and day are unlimited.
    #[must_use]
    pub const fn per_hour(limit: NonZeroU32) -> Self {
        Self::UNLIMITED.with(Window::Hour, limit)
    }

    /// Creates a limit per day; minute and hour are unlimited.
    #[must_use]
    pub const fn per_day(limit: NonZeroU32) -> Self {
        Self::UNLIMITED.with(Window::Day, limit)
    }

    /// Returns these limits with the one for `window` replaced.
    #[must_use]
    pub const fn with(self, window: Window, limit: NonZeroU32) -> Self {
        let [minute, hour, day] = self.per_window;
        match window {
            Window::Minute => Self::new(limit, hour, day),
            Window::Hour => Self::new(minute, limit, day),
            Window::Day => Self::new(minute, hour, limit),
        }
    }

    /// Returns the limit for `window`.
    #[must_use]
    pub const fn of(&self, window: Window) -> NonZeroU32 {
        let [minute, hour, day] = self.per_window;
        match window {
            Window::Minute => minute,
            Window::Hour => hour,
            Window::Day => day,
        }
    }

    /// Returns the limits for each of `counters` counters that together must stay within these.
    ///
    /// Every limit is divided by `counters` and rounded down, but is at least one. A limit below
    /// `counters` can therefore be exceeded by all of them together.
    #[must_use]
    pub fn share(self, counters: NonZeroU32) -> Self {
        let part =
            |limit: NonZeroU32| NonZeroU32::new(limit.get() / counters).unwrap_or(NonZeroU32::MIN);
        Self {
            per_window: self.per_window.map(part),
        }
    }

    /// Returns the three limits as plain numbers, shortest window first.
    pub(crate) const fn numbers(&self) -> [u32; 3] {
        let [minute, hour, day] = self.per_window;
        [minute.get(), hour.get(), day.get()]
    }
}
