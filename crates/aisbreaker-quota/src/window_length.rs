//! The length of a window that is not one of minute, hour and day.

use std::fmt;
use std::time::Duration;

/// The length of a window in milliseconds, from one second to 30 days.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct WindowLength(u32);

impl WindowLength {
    /// One second.
    pub(crate) const MIN: Self = Self(1_000);

    /// 30 days.
    pub(crate) const MAX: Self = Self(2_592_000_000);

    /// Rounds a length up to whole milliseconds; `None` if it is too short or too long.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the number is at most that of 30 days"
    )]
    pub(crate) const fn new(length: Duration) -> Option<Self> {
        let min = Self::MIN.duration().as_secs();
        let max = Self::MAX.duration().as_secs();
        if length.as_secs() < min || length.as_secs() > max {
            return None;
        }
        let millis = length
            .as_secs()
            .saturating_mul(1_000)
            .saturating_add(length.subsec_nanos().div_ceil(1_000_000) as u64);
        if millis > Self::MAX.0 as u64 {
            return None;
        }
        Some(Self(millis as u32))
    }

    /// Returns the length of this many milliseconds; `None` if it is too short or too long.
    pub(crate) fn from_millis(millis: u32) -> Option<Self> {
        let is_in_range = (Self::MIN.0..=Self::MAX.0).contains(&millis);
        is_in_range.then_some(Self(millis))
    }

    pub(crate) const fn millis(self) -> u32 {
        self.0
    }

    pub(crate) const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

/// The length of a window in a message, after "per".
pub(crate) struct WindowName(pub(crate) Duration);

impl fmt::Display for WindowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let (unit, name) = match millis {
            _ if millis.is_multiple_of(86_400_000) => (86_400_000, "day"),
            _ if millis.is_multiple_of(3_600_000) => (3_600_000, "hour"),
            _ if millis.is_multiple_of(60_000) => (60_000, "minute"),
            _ if millis.is_multiple_of(1_000) => (1_000, "second"),
            _ => return write!(f, "{:?}", self.0),
        };
        match millis.checked_div(unit) {
            Some(1) | None => f.write_str(name),
            Some(count) => write!(f, "{count} {name}s"),
        }
    }
}
