//! How a [`Rate`] is counted: each window of a key in a cell of its own.

use std::fmt::Display;
use std::iter;
use std::num::NonZeroU32;
use std::time::Duration;

use super::cell::{RateCell, RateState, counted_nanos};
use super::{Rate, length};
use crate::policy::Counting;
use crate::slots::Moment;
use crate::standings::Standing;

/// A tick is a nanosecond, since each window has a grid of its own.
impl Counting<Duration> for Rate {
    type Tick = u64;
    type Totals = [u32; 1];
    type State = RateState;
    /// The length of the window in milliseconds.
    type Grid = u32;
    type Cell = RateCell;

    const ZERO: [u32; 1] = [0];
    const UNUSED: RateState = RateState {
        used: 0,
        resets_at: 0,
    };
    const ANY_GRID: u32 = Self::MIN_MILLIS;
    const MAGIC: [u8; 8] = *b"aisbrte\x1a";

    #[inline]
    fn tick(now: Moment) -> u64 {
        now.nanos()
    }

    fn until(now: Moment, tick: u64) -> Duration {
        Duration::from_nanos(tick.saturating_sub(now.nanos()))
    }

    fn may_count(last: u64, now: u64) -> bool {
        now.saturating_sub(last) <= counted_nanos(Self::MAX_MILLIS)
    }

    #[inline]
    fn grid(&self) -> u32 {
        self.window_millis
    }

    #[inline]
    fn windows(&self) -> impl Iterator<Item = Duration> {
        iter::once(self.window())
    }

    #[inline]
    fn limit(&self, _window: Duration) -> NonZeroU32 {
        self.limit
    }

    #[inline]
    fn numbers(&self) -> [u32; 1] {
        [self.limit.get()]
    }

    #[inline]
    fn pick(_window: Duration, [total]: [u32; 1]) -> u32 {
        total
    }

    /// Two cells for each doubling of the window, 44 in all: an overflow cell counts for the longest
    /// window that it has seen, so the others should not be much shorter.
    fn overflow_class(&self, mix: impl Fn([u32; 3]) -> u64) -> usize {
        let doublings = u64::from((self.window_millis / Self::MIN_MILLIS).max(1).ilog2());
        let one_of_two = mix([self.window_millis, self.limit.get(), 0]) >> 63;
        usize::try_from((doublings << 1) | one_of_two).unwrap_or_default()
    }

    fn standing(&self, window: Duration, state: &RateState, now: Moment) -> Standing<Duration> {
        let reset = match state.used {
            0 => Duration::ZERO,
            _ => Self::until(now, state.resets_at),
        };
        Standing {
            window,
            limit: self.limit,
            remaining: self.limit.get().saturating_sub(state.used),
            reset,
        }
    }

    fn per(window: Duration) -> impl Display {
        Length(window)
    }
}

/// The length of a window in a message.
struct Length(Duration);

impl Display for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.0.as_millis();
        let (unit, name) = match millis {
            _ if millis.is_multiple_of(86_400_000) => (86_400_000, "day"),
            _ if millis.is_multiple_of(3_600_000) => (3_600_000, "hour"),
            _ if millis.is_multiple_of(60_000) => (60_000, "minute"),
            _ if millis.is_multiple_of(1_000) => (1_000, "second"),
            _ => return write!(f, "{:?}", length(u32::try_from(millis).unwrap_or(u32::MAX))),
        };
        match millis.checked_div(unit) {
            Some(1) | None => f.write_str(name),
            Some(count) => write!(f, "{count} {name}s"),
        }
    }
}
