//! What may be asked of the engine: windows, limits and charges. How they are counted is in `cell`.

use std::num::NonZeroU32;
use std::time::Duration;

/// A length of time over which a limit holds.
#[expect(
    clippy::exhaustive_enums,
    reason = "callers name every window in headers and messages"
)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Window {
    /// 60 seconds, in slots of 0.6 seconds.
    Minute,
    /// 3600 seconds, in slots of 36 seconds.
    Hour,
    /// 86400 seconds, in slots of 864 seconds.
    Day,
}

impl Window {
    /// Every window, shortest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// The length of the window.
    #[must_use]
    pub const fn length(self) -> Duration {
        match self {
            Self::Minute => Duration::from_secs(60),
            Self::Hour => Duration::from_secs(3_600),
            Self::Day => Duration::from_secs(86_400),
        }
    }

    /// The word in front of "ly" and after "per": `minute`, `hour` or `day`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// How much one counter admits per minute, hour and day.
///
/// A window without a limit of its own has [`NonZeroU32::MAX`], the largest number that can be
/// counted: more than 49 000 admissions per second, every second of a day.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Limits {
    per_window: [NonZeroU32; 3],
}

impl Limits {
    /// Limits that no counter reaches.
    pub(crate) const UNLIMITED: Self = Self {
        per_window: [NonZeroU32::MAX; 3],
    };

    /// The three limits, shortest window first.
    #[must_use]
    pub const fn new(per_minute: NonZeroU32, per_hour: NonZeroU32, per_day: NonZeroU32) -> Self {
        Self {
            per_window: [per_minute, per_hour, per_day],
        }
    }

    /// Only this many per minute; hour and day are as good as unlimited.
    #[must_use]
    pub const fn per_minute(limit: NonZeroU32) -> Self {
        Self::new(limit, NonZeroU32::MAX, NonZeroU32::MAX)
    }

    /// Only this many per hour; minute and day are as good as unlimited.
    #[must_use]
    pub const fn per_hour(limit: NonZeroU32) -> Self {
        Self::new(NonZeroU32::MAX, limit, NonZeroU32::MAX)
    }

    /// Only this many per day; minute and hour are as good as unlimited.
    #[must_use]
    pub const fn per_day(limit: NonZeroU32) -> Self {
        Self::new(NonZeroU32::MAX, NonZeroU32::MAX, limit)
    }

    /// These limits with another one for `window`.
    #[must_use]
    pub const fn with(self, window: Window, limit: NonZeroU32) -> Self {
        let [minute, hour, day] = self.per_window;
        match window {
            Window::Minute => Self::new(limit, hour, day),
            Window::Hour => Self::new(minute, limit, day),
            Window::Day => Self::new(minute, hour, limit),
        }
    }

    /// The limit of `window`.
    #[must_use]
    pub const fn of(&self, window: Window) -> NonZeroU32 {
        let [minute, hour, day] = self.per_window;
        match window {
            Window::Minute => minute,
            Window::Hour => hour,
            Window::Day => day,
        }
    }

    /// What each of so many counters may admit so that all of them together keep to these limits: a
    /// part of each, rounded down. At least one, so that together they may admit more where a limit
    /// is below their number.
    #[must_use]
    pub fn share(self, counters: NonZeroU32) -> Self {
        let part = |limit: NonZeroU32| {
            NonZeroU32::new(limit.get().checked_div(counters.get()).unwrap_or(0))
                .unwrap_or(NonZeroU32::MIN)
        };
        Self {
            per_window: self.per_window.map(part),
        }
    }

    /// The three limits as plain numbers, shortest window first.
    pub(crate) const fn numbers(&self) -> [u32; 3] {
        let [minute, hour, day] = self.per_window;
        [minute.get(), hour.get(), day.get()]
    }
}

/// One counter to charge: its key and the limits that hold for it.
///
/// The limits are not stored with the counter: each decision uses those it is given, so a limit may
/// change from one call to the next and applies to what was counted before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Charge<K> {
    pub(crate) key: K,
    pub(crate) limits: Limits,
    pub(crate) shared: bool,
}

impl<K> Charge<K> {
    /// A counter of one client, user or job.
    #[must_use]
    pub const fn new(key: K, limits: Limits) -> Self {
        Self {
            key,
            limits,
            shared: false,
        }
    }

    /// A counter that most requests have in common, such as a server-wide total.
    ///
    /// It is locked after all others and so for the shortest time. The engine keeps such counters
    /// apart: the same key in [`Charge::new`] and in `Charge::shared` names two counters.
    #[must_use]
    pub const fn shared(key: K, limits: Limits) -> Self {
        Self {
            key,
            limits,
            shared: true,
        }
    }

    /// The same counter with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The key of the counter.
    #[must_use]
    pub const fn key(&self) -> &K {
        &self.key
    }

    /// The limits that hold for the counter.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }
}
