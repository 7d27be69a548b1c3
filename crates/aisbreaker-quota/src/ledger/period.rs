//! The spans of time that budgets apply to, and the grid of their slots.

use std::time::Duration;

use crate::slots::Moment;

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

    /// Returns the place of this period in a list that has the shortest first.
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Minute => 0,
            Self::Hour => 1,
            Self::Day => 2,
            Self::Month => 3,
            Self::Lifetime => 4,
        }
    }

    /// How many slots back from the current one still count: a charge counts for more than the
    /// period, and for at most a slot longer.
    pub(super) const fn reach(self) -> u32 {
        match self {
            Self::Minute | Self::Hour | Self::Day => 100,
            Self::Month => 30,
            Self::Lifetime => u32::MAX,
        }
    }

    /// Nanoseconds in a slot.
    const fn slot_nanos(self) -> u64 {
        match self {
            Self::Minute => 600_000_000,
            Self::Hour => 36_000_000_000,
            Self::Day => 864_000_000_000,
            Self::Month => 86_400_000_000_000,
            Self::Lifetime => u64::MAX,
        }
    }

    /// Returns the slot that contains this moment.
    pub(super) fn slot(self, moment: Moment) -> u32 {
        let slot = moment.nanos().checked_div(self.slot_nanos());
        slot.and_then(|slot| u32::try_from(slot).ok())
            .unwrap_or(u32::MAX)
    }

    /// Returns the time from `now` until `slot` no longer counts.
    pub(super) fn until_expiry(self, slot: u32, now: Moment) -> Duration {
        let first_uncounted = u64::from(slot)
            .saturating_add(u64::from(self.reach()))
            .saturating_add(1);
        let at = first_uncounted.saturating_mul(self.slot_nanos());
        Duration::from_nanos(at.saturating_sub(now.nanos()))
    }
}
