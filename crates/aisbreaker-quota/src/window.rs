//! The spans of time that limits apply to.

use std::time::Duration;

/// A span of time that a limit applies to.
///
/// For windows of other lengths, see [`Rate`](crate::Rate).
///
/// # Examples
///
/// ```
/// use aisbreaker_quota::{Limits, Window};
///
/// let limits = Limits::new(60, 600, 6_000);
/// let texts = Window::ALL.map(|window| format!("{} per {}", limits.of(window), window.name()));
/// assert_eq!(texts, ["60 per minute", "600 per hour", "6000 per day"]);
/// ```
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

    /// Returns the length of the window.
    #[must_use]
    pub const fn length(self) -> Duration {
        match self {
            Self::Minute => Duration::from_secs(60),
            Self::Hour => Duration::from_secs(3_600),
            Self::Day => Duration::from_secs(86_400),
        }
    }

    /// Returns `minute`, `hour` or `day`, for messages such as "per minute".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Returns the entry for this window in a list that has the shortest window first.
    pub(crate) const fn pick(self, values: [u32; 3]) -> u32 {
        let [minute, hour, day] = values;
        match self {
            Self::Minute => minute,
            Self::Hour => hour,
            Self::Day => day,
        }
    }
}
