//! The spans of time that budgets apply to, and the grid of their slots.

use std::time::Duration;

use super::policy::Grid;

/// A span of time that a budget applies to.
#[expect(
    clippy::exhaustive_enums,
    reason = "callers name every period in messages"
)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Period {
    /// 60 seconds, in slots of 0.6 seconds.
    Minute,
    /// 3600 seconds, in slots of 36 seconds.
    Hour,
    /// 86400 seconds, in slots of 864 seconds.
    Day,
    /// 30 days, in slots of one day.
    Month,
    /// From the first charge on, for as long as the account is kept.
    Lifetime,
}

impl Period {
    /// Every period, shortest first.
    pub const ALL: [Self; 5] = [
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Month,
        Self::Lifetime,
    ];

    /// The periods that slide.
    pub(super) const SLIDING: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// Returns the length of the period; `None` for [`Period::Lifetime`].
    #[must_use]
    pub const fn length(self) -> Option<Duration> {
        match self {
            Self::Minute => Some(Duration::from_secs(60)),
            Self::Hour => Some(Duration::from_secs(3_600)),
            Self::Day => Some(Duration::from_secs(86_400)),
            Self::Month => Some(Duration::from_secs(30 * 86_400)),
            Self::Lifetime => None,
        }
    }

    /// Returns `minute`, `hour`, `day`, `month` or `lifetime`, for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Lifetime => "lifetime",
        }
    }

    /// Returns the grid of its slots.
    pub(super) const fn grid(self) -> Grid {
        let (slot_nanos, reach) = match self {
            Self::Minute => (600_000_000, 100),
            Self::Hour => (36_000_000_000, 100),
            Self::Day => (864_000_000_000, 100),
            Self::Month => (86_400_000_000_000, 30),
            Self::Lifetime => (u64::MAX, u64::MAX),
        };
        Grid { slot_nanos, reach }
    }
}
