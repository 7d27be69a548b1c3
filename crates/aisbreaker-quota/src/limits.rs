//! How much a counter admits per minute, hour and day.

use std::num::NonZeroU32;

use crate::window::Window;

/// How much one counter admits per minute, hour and day.
///
/// A window without a limit of its own has [`u32::MAX`], the largest number that a counter can
/// hold: more than 49 000 admissions per second, every second of a day. For windows of other
/// lengths, see [`Rate`](crate::Rate).
///
/// The functions that take a number panic if it is zero. In a constant, that is an error of the
/// compiler. For numbers that are known only at run time, such as settings, each has a fallible
/// form whose name begins with `try_`.
///
/// # Examples
///
/// ```
/// use aisbreaker_quota::{InvalidLimit, Limits, Window};
///
/// // 60 per minute, and at most 1000 per day.
/// const PER_USER: Limits = Limits::per_minute(60).with(Window::Day, 1_000);
/// assert_eq!(PER_USER.of(Window::Day).get(), 1_000);
///
/// // A number from a settings file.
/// let configured = "600".parse()?;
/// assert_eq!(Limits::try_per_hour(configured)?.of(Window::Hour).get(), 600);
/// assert_eq!(Limits::try_per_hour(0), Err(InvalidLimit::Zero));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Limits {
    per_window: [NonZeroU32; 3],
}

/// Why a limit cannot be used.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidLimit {
    /// The limit is zero, so that nothing would ever be admitted.
    #[error("a limit must be at least 1")]
    Zero,
    /// The window is shorter or longer than a [`Rate`](crate::Rate) can have.
    #[error("a window must be from 1 second to 30 days long")]
    Window,
}

impl Limits {
    /// Limits that no counter reaches.
    pub(crate) const UNLIMITED: Self = Self {
        per_window: [NonZeroU32::MAX; 3],
    };

    /// Creates limits for all three windows.
    ///
    /// # Panics
    /// If a limit is zero.
    #[must_use]
    #[track_caller]
    pub const fn new(per_minute: u32, per_hour: u32, per_day: u32) -> Self {
        valid(Self::try_new(per_minute, per_hour, per_day))
    }

    /// Creates limits for all three windows.
    ///
    /// # Errors
    /// [`InvalidLimit::Zero`] if a limit is zero.
    pub const fn try_new(
        per_minute: u32,
        per_hour: u32,
        per_day: u32,
    ) -> Result<Self, InvalidLimit> {
        match (
            NonZeroU32::new(per_minute),
            NonZeroU32::new(per_hour),
            NonZeroU32::new(per_day),
        ) {
            (Some(per_minute), Some(per_hour), Some(per_day)) => Ok(Self {
                per_window: [per_minute, per_hour, per_day],
            }),
            _ => Err(InvalidLimit::Zero),
        }
    }

    /// Creates a limit per minute; hour and day are unlimited.
    ///
    /// # Panics
    /// If the limit is zero.
    #[must_use]
    #[track_caller]
    pub const fn per_minute(limit: u32) -> Self {
        Self::UNLIMITED.with(Window::Minute, limit)
    }

    /// Creates a limit per minute; hour and day are unlimited.
    ///
    /// # Errors
    /// [`InvalidLimit::Zero`] if the limit is zero.
    pub const fn try_per_minute(limit: u32) -> Result<Self, InvalidLimit> {
        Self::UNLIMITED.try_with(Window::Minute, limit)
    }

    /// Creates a limit per hour; minute and day are unlimited.
    ///
    /// # Panics
    /// If the limit is zero.
    #[must_use]
    #[track_caller]
    pub const fn per_hour(limit: u32) -> Self {
        Self::UNLIMITED.with(Window::Hour, limit)
    }

    /// Creates a limit per hour; minute and day are unlimited.
    ///
    /// # Errors
    /// [`InvalidLimit::Zero`] if the limit is zero.
    pub const fn try_per_hour(limit: u32) -> Result<Self, InvalidLimit> {
        Self::UNLIMITED.try_with(Window::Hour, limit)
    }

    /// Creates a limit per day; minute and hour are unlimited.
    ///
    /// # Panics
    /// If the limit is zero.
    #[must_use]
    #[track_caller]
    pub const fn per_day(limit: u32) -> Self {
        Self::UNLIMITED.with(Window::Day, limit)
    }

    /// Creates a limit per day; minute and hour are unlimited.
    ///
    /// # Errors
    /// [`InvalidLimit::Zero`] if the limit is zero.
    pub const fn try_per_day(limit: u32) -> Result<Self, InvalidLimit> {
        Self::UNLIMITED.try_with(Window::Day, limit)
    }

    /// Returns these limits with the one for `window` replaced.
    ///
    /// # Panics
    /// If the limit is zero.
    #[must_use]
    #[track_caller]
    pub const fn with(self, window: Window, limit: u32) -> Self {
        valid(self.try_with(window, limit))
    }

    /// Returns these limits with the one for `window` replaced.
    ///
    /// # Errors
    /// [`InvalidLimit::Zero`] if the limit is zero.
    pub const fn try_with(self, window: Window, limit: u32) -> Result<Self, InvalidLimit> {
        let Some(limit) = NonZeroU32::new(limit) else {
            return Err(InvalidLimit::Zero);
        };
        let [minute, hour, day] = self.per_window;
        let per_window = match window {
            Window::Minute => [limit, hour, day],
            Window::Hour => [minute, limit, day],
            Window::Day => [minute, hour, limit],
        };
        Ok(Self { per_window })
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

/// Returns the limits.
#[track_caller]
#[expect(
    clippy::panic,
    reason = "callers of the infallible constructors promise valid numbers, and constants fail to compile"
)]
const fn valid(limits: Result<Limits, InvalidLimit>) -> Limits {
    match limits {
        Ok(limits) => limits,
        Err(_) => panic!("a limit must be at least 1"),
    }
}
