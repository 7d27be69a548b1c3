//! What the engine needs to know of a kind of limits.
//!
//! There are two kinds: [`Limits`] per minute, hour and day in one [`Cell`](crate::cell::Cell), and
//! a [`Rate`] per window of any length in a cell of its own. The engine is compiled for each of
//! them, so that neither pays for the other.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::limits::Limits;
use crate::rate::Rate;
use crate::slots::Moment;
use crate::snapshot::Cursor;
use crate::standings::Standing;

/// A kind of limits that an engine can apply: [`Limits`], or a [`Rate`].
///
/// No other type can implement it. An engine applies limits of one kind.
#[expect(private_bounds, reason = "what an engine does with limits is its own")]
pub trait Policy: Counting<<Self as Policy>::Window> {
    /// What names a window: a [`Window`](crate::Window) of [`Limits`], or the length of that of a
    /// [`Rate`].
    type Window: Copy + Debug + Eq;
}

impl Policy for Limits {
    type Window = crate::window::Window;
}

impl Policy for Rate {
    type Window = Duration;
}

/// How charges are counted by a kind of limits, whose windows are named by `W`.
pub(crate) trait Counting<W>: Copy + Debug + Eq {
    /// A reading of the clock, as exact as the counters need it.
    type Tick: Tick;
    /// A number for each window.
    type Totals: Copy + Debug + AsRef<[u32]> + AsMut<[u32]>;
    /// What a decision copies of a counter for its standings.
    type State: Copy + Debug + Eq;
    /// What tells the counters of one key apart.
    type Grid: Copy + Eq + Hash;
    /// A counter.
    type Cell: CounterCell<
            W,
            Tick = Self::Tick,
            Totals = Self::Totals,
            State = Self::State,
            Grid = Self::Grid,
        >;

    /// Zero for each window.
    const ZERO: Self::Totals;
    /// The state of a counter that was never charged.
    const UNUSED: Self::State;
    /// The grid of an overflow cell that was never charged.
    const ANY_GRID: Self::Grid;
    /// What a snapshot of such counters begins with.
    const MAGIC: [u8; 8];

    /// Returns the tick of a moment.
    fn tick(now: Moment) -> Self::Tick;

    /// Returns the time until a tick, as [`CounterCell::clears_at`] returns it; zero if it is over.
    fn until(now: Moment, tick: u64) -> Duration;

    /// Reports whether a counter that was last charged at `last` may still count something.
    fn may_count(last: Self::Tick, now: Self::Tick) -> bool;

    /// Returns what tells the counter of these limits apart from others of its key.
    fn grid(&self) -> Self::Grid;

    /// Returns the windows, shortest first.
    fn windows(&self) -> impl DoubleEndedIterator<Item = W>;

    /// Returns the limit for a window.
    fn limit(&self, window: W) -> NonZeroU32;

    /// Returns the limits as plain numbers, shortest window first.
    fn numbers(&self) -> Self::Totals;

    /// Returns the number for a window.
    fn pick(window: W, totals: Self::Totals) -> u32;

    /// Returns which of 64 overflow cells keys with these limits share. `mix` is a hash that is part
    /// of the format of snapshots.
    fn overflow_class(&self, mix: impl Fn([u32; 3]) -> u64) -> usize;

    /// Returns the standing of the limit for a window.
    fn standing(&self, window: W, state: &Self::State, now: Moment) -> Standing<W>;

    /// Returns what follows "per" in a message.
    fn per(window: W) -> impl Display;
}

/// A counter of one key, whose windows are named by `W`.
pub(crate) trait CounterCell<W>: Clone + Debug {
    type Tick;
    type Totals;
    type State;
    type Grid;

    /// Creates a counter with nothing charged, whose latest known tick is `last`.
    fn fresh(grid: Self::Grid, last: Self::Tick) -> Self;

    /// Returns what tells this counter apart from others of its key.
    fn grid(&self) -> Self::Grid;

    /// Advances the counter to `now`: drops what has left its windows.
    fn advance(&mut self, now: Self::Tick);

    /// Has an overflow cell that was just advanced count for these limits too.
    fn widen(&mut self, grid: Self::Grid);

    /// Creates a counter that counts at least as much as this one, now and later, in the least
    /// memory.
    fn inherited(&self, grid: Self::Grid) -> Self;

    /// Adds `weight` at the tick that the counter was last advanced to. The caller has checked that
    /// the totals can hold it.
    fn add(&mut self, weight: u32);

    /// Undoes the latest [`add`](Self::add). It must have had this weight, and nothing else may
    /// have happened to the counter since.
    fn undo_add(&mut self, weight: u32);

    /// Returns what counts in each window.
    fn used(&self) -> Self::Totals;

    /// Returns the state of the counter, given its totals from [`used`](Self::used).
    fn state(&self, used: Self::Totals) -> Self::State;

    /// Returns the first tick at which at least `amount` of what `window` counts now has expired.
    fn clears_at(&self, amount: u64, window: W) -> u64;

    /// Returns the first tick at which all of what `window` counts now has expired, or a later one.
    fn clears_by(&self, window: W) -> u64;

    /// Reports whether nothing in the counter can still count at `now`, so that it equals a fresh
    /// one.
    fn is_idle(&self, now: Self::Tick) -> bool;

    /// Returns the latest tick that the counter has seen.
    fn last(&self) -> Self::Tick;

    /// Appends the counter to `to`.
    fn pack(&self, to: &mut Vec<u8>);

    /// Reads a counter; `None` if [`pack`](Self::pack) cannot have produced `bytes`.
    fn unpack(bytes: &[u8]) -> Option<Self>;
}

/// A reading of the clock as a number.
pub(crate) trait Tick: Copy + Debug + Ord + Into<u64> {
    /// Returns this number as a tick; the last one if it is too large.
    fn from_u64(number: u64) -> Self;

    /// Appends the tick to `to`.
    fn pack(self, to: &mut Vec<u8>);

    /// Reads a tick.
    fn unpack(cursor: &mut Cursor<'_>) -> Option<Self>;
}

impl Tick for u32 {
    fn from_u64(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }

    fn pack(self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.to_le_bytes());
    }

    fn unpack(cursor: &mut Cursor<'_>) -> Option<Self> {
        cursor.u32()
    }
}

impl Tick for u64 {
    fn from_u64(number: u64) -> Self {
        number
    }

    fn pack(self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.to_le_bytes());
    }

    fn unpack(cursor: &mut Cursor<'_>) -> Option<Self> {
        cursor.u64()
    }
}
