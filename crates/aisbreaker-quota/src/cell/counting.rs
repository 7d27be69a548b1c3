//! How [`Limits`] per minute, hour and day are counted: all three in one cell.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::time::Duration;

use super::Cell;
use crate::limits::Limits;
use crate::policy::{CounterCell, Counting};
use crate::slots::{self, Moment, REACH, coarse};
use crate::standings::{CellState, Standing};
use crate::window::Window;

/// A tick is a fine slot.
impl Counting<Window> for Limits {
    type Tick = u32;
    type Totals = [u32; 3];
    type State = CellState;
    type Grid = ();
    type Cell = Cell;

    const ZERO: [u32; 3] = [0; 3];
    const UNUSED: CellState = CellState::UNUSED;
    const ANY_GRID: () = ();
    const MAGIC: [u8; 8] = *b"aisbqta\x1a";

    #[inline]
    fn tick(now: Moment) -> u32 {
        now.slot()
    }

    fn until(now: Moment, tick: u64) -> Duration {
        now.until(tick)
    }

    fn may_count(last: u32, now: u32) -> bool {
        coarse(now, Window::Day).saturating_sub(coarse(last, Window::Day)) <= REACH
    }

    #[inline]
    fn grid(&self) {}

    #[inline]
    fn windows(&self) -> impl DoubleEndedIterator<Item = Window> {
        Window::ALL.into_iter()
    }

    #[inline]
    fn limit(&self, window: Window) -> NonZeroU32 {
        self.of(window)
    }

    #[inline]
    fn numbers(&self) -> [u32; 3] {
        Self::numbers(self)
    }

    #[inline]
    fn pick(window: Window, totals: [u32; 3]) -> u32 {
        window.pick(totals)
    }

    /// The upper six of 64 bits select one of 64 cells.
    fn overflow_class(&self, mix: impl Fn([u32; 3]) -> u64) -> usize {
        usize::try_from(mix(Self::numbers(self)) >> 58).unwrap_or_default()
    }

    fn standing(&self, window: Window, state: &CellState, now: Moment) -> Standing {
        let limit = self.of(window);
        let used = window.pick(state.used);
        let reset = match used {
            0 => Duration::ZERO,
            _ => now.until(slots::expiry(state.oldest(window), window)),
        };
        Standing {
            window,
            limit,
            remaining: limit.get().saturating_sub(used),
            reset,
        }
    }

    fn per(window: Window) -> impl Display {
        window.name()
    }
}

/// All keys have one cell each, whatever their limits are.
impl CounterCell<Window> for Cell {
    type Tick = u32;
    type Totals = [u32; 3];
    type State = CellState;
    type Grid = ();

    fn fresh((): (), last: u32) -> Self {
        Self::fresh(last)
    }

    #[inline]
    fn grid(&self) {}

    #[inline]
    fn advance(&mut self, now: u32) {
        self.advance(now);
    }

    fn widen(&mut self, (): ()) {}

    fn inherited(&self, (): ()) -> Self {
        self.inherited()
    }

    #[inline]
    fn add(&mut self, weight: u32) {
        self.add(weight);
    }

    fn undo_add(&mut self, weight: u32) {
        self.undo_add(weight);
    }

    #[inline]
    fn used(&self) -> [u32; 3] {
        self.used()
    }

    #[inline]
    fn state(&self, used: [u32; 3]) -> CellState {
        self.state(used)
    }

    fn clears_at(&self, amount: u64, window: Window) -> u64 {
        self.clears_at(amount, window)
    }

    #[inline]
    fn clears_by(&self, window: Window) -> u64 {
        slots::expiry(coarse(self.last(), window), window)
    }

    fn is_idle(&self, now: u32) -> bool {
        self.is_idle(now)
    }

    fn last(&self) -> u32 {
        self.last()
    }

    fn pack(&self, to: &mut Vec<u8>) {
        self.pack(to);
    }

    fn unpack(bytes: &[u8]) -> Option<Self> {
        Self::unpack(bytes)
    }
}
