//! How a [`Rate`] is counted: each window of a key in a cell of its own.

use std::fmt::Display;
use std::iter;
use std::num::NonZeroU32;
use std::time::Duration;

use super::Rate;
use super::cell::{RateCell, RateState, counted_nanos};
use crate::policy::Counting;
use crate::slots::Moment;
use crate::standings::Standing;
use crate::window_length::{WindowLength, WindowName};

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
    const ANY_GRID: u32 = WindowLength::MIN.millis();
    const MAGIC: [u8; 8] = *b"aisbrte\x1a";

    #[inline]
    fn tick(now: Moment) -> u64 {
        now.nanos()
    }

    fn until(now: Moment, tick: u64) -> Duration {
        Duration::from_nanos(tick.saturating_sub(now.nanos()))
    }

    fn may_count(last: u64, now: u64) -> bool {
        now.saturating_sub(last) <= counted_nanos(WindowLength::MAX.millis())
    }

    #[inline]
    fn grid(&self) -> u32 {
        self.window.millis()
    }

    #[inline]
    fn windows(&self) -> impl DoubleEndedIterator<Item = Duration> {
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
        let doublings = u64::from((self.window.duration().as_secs()).max(1).ilog2());
        let one_of_two = mix([self.window.millis(), self.limit.get(), 0]) >> 63;
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
        WindowName(window)
    }
}
