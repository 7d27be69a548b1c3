//! One decision: all counters of a request are locked, advanced to now and checked; then all of
//! them are charged, or none.
//!
//! [`fast_path`] has the common cases. [`Decision`] has the general one, in which keys may be new,
//! share an overflow cell, or be named more than once.

mod fast_path;
mod violation;

use std::array;
use std::hash::Hash;

pub(crate) use self::fast_path::{lock_and_charge, refuse_tracked};
pub(crate) use self::violation::{Violation, find_violation};
use crate::charge::Charge;
use crate::outcome::{Admitted, Refusal};
use crate::overflow::{Cells, Overflow};
use crate::policy::{CounterCell, Policy};
use crate::slots::Moment;
use crate::standings::Standings;
use crate::table::{Locked, Table};

/// A decision in progress, with the stripes of its counters locked.
pub(crate) struct Decision<'a, K, L: Policy, const N: usize> {
    table: &'a Table<K, L>,
    overflow: &'a Overflow<L>,
    charges: &'a [Charge<K, L>; N],
    now: Moment,
    locked: Locked<'a, K, L, N>,
    /// What each counter counts in each window.
    used: [L::Totals; N],
    /// Where the keys that are not tracked are counted; `None` for tracked keys.
    untracked: [Option<Untracked<L::Cell>>; N],
    /// The overflow cells, once an untracked key needs them. Locked last.
    overflow_cells: Option<Cells<'a, L>>,
    /// How many keys have room reserved in the table but are not inserted yet.
    reserved: usize,
}

/// Where a key that is not tracked is counted.
#[derive(Clone, Debug)]
enum Untracked<C> {
    /// In this new cell of its own.
    New(C),
    /// In the overflow cell of this class of limits.
    Overflow(usize),
}

impl<'a, K: Clone + Eq + Hash, L: Policy, const N: usize> Decision<'a, K, L, N> {
    /// Creates a decision on these charges, whose stripes are locked.
    pub(crate) fn new(
        locked: Locked<'a, K, L, N>,
        table: &'a Table<K, L>,
        overflow: &'a Overflow<L>,
        charges: &'a [Charge<K, L>; N],
        now: Moment,
    ) -> Self {
        Self {
            table,
            overflow,
            charges,
            now,
            locked,
            used: [L::ZERO; N],
            untracked: [const { None }; N],
            overflow_cells: None,
            reserved: 0,
        }
    }

    /// Charges `weight` to every counter, or to none.
    #[cold]
    #[inline(never)]
    pub(crate) fn charge(mut self, weight: u32) -> Result<Admitted<N, L>, Refusal<N, L>> {
        if !self.advance_tracked() {
            self.place_untracked(Table::reserve);
        }
        let result = match self.refusal(weight) {
            Some(refusal) => Err(refusal),
            None => {
                self.commit(weight);
                Ok(Admitted {
                    standings: self.standings(),
                })
            }
        };
        self.release_reserved();
        result
    }

    /// Charges `weight` to every counter without a check of the limits. Charges nothing if a
    /// counter cannot hold that much.
    pub(crate) fn record(mut self, weight: u32) {
        if !self.advance_tracked() {
            self.place_untracked(Table::reserve);
        }
        let mut fits = true;
        for (index, used) in self.used.iter().enumerate() {
            for used in used.as_ref() {
                let total = u64::from(*used).saturating_add(self.needed(index, weight));
                fits &= total <= u64::from(u32::MAX);
            }
        }
        if fits {
            self.commit(weight);
        }
        self.release_reserved();
    }

    /// Reads the standing of every limit.
    pub(crate) fn peek(mut self) -> Standings<N, L> {
        if !self.advance_tracked() {
            self.place_untracked(|table| !table.is_full());
        }
        self.standings()
    }

    /// Advances and reads all tracked counters. Returns whether every key is tracked.
    fn advance_tracked(&mut self) -> bool {
        let tick = L::tick(self.now);
        let mut all_tracked = true;
        for ((index, charge), used) in self.charges.iter().enumerate().zip(&mut self.used) {
            match self.locked.cell(index, charge) {
                Some(cell) => {
                    cell.advance(tick);
                    *used = cell.used();
                }
                None => all_tracked = false,
            }
        }
        all_tracked
    }

    /// Finds a place for every key that is not tracked. `take_room` returns whether the table has
    /// room for one more key, and may reserve it.
    #[cold]
    fn place_untracked(&mut self, take_room: fn(&Table<K, L>) -> bool) {
        for (index, charge) in self.charges.iter().enumerate() {
            if self.locked.cell(index, charge).is_some() {
                continue;
            }
            let duplicate =
                (0..index).find(|&earlier| self.locked.is_same(earlier, index, self.charges));
            let place = match duplicate {
                Some(earlier) => self.untracked.get(earlier).cloned().flatten(),
                None => Some(self.place(charge, take_room)),
            };
            let totals = match &place {
                Some(Untracked::New(cell)) => cell.used(),
                Some(Untracked::Overflow(class)) => match self.overflow_cell(*class) {
                    Some(cell) => cell.used(),
                    None => L::ZERO,
                },
                None => L::ZERO,
            };
            if let Some(entry) = self.untracked.get_mut(index) {
                *entry = place;
            }
            if let Some(used) = self.used.get_mut(index) {
                *used = totals;
            }
        }
    }

    fn place(
        &mut self,
        charge: &Charge<K, L>,
        take_room: fn(&Table<K, L>) -> bool,
    ) -> Untracked<L::Cell> {
        let grid = charge.limits.grid();
        let tick = self.table.first_tick(L::tick(self.now));
        let has_room = take_room(self.table);
        if has_room {
            self.reserved = self.reserved.saturating_add(1);
            if !self.overflow.is_active(tick) {
                return Untracked::New(L::Cell::fresh(grid, tick));
            }
        }
        let class = self.overflow.class(charge.limits);
        let Some(cell) = self.overflow_cell(class) else {
            return Untracked::Overflow(class);
        };
        cell.advance(tick);
        cell.widen(grid);
        if has_room {
            // Some of what the overflow cell counts may be this key's.
            Untracked::New(cell.inherited(grid))
        } else {
            Untracked::Overflow(class)
        }
    }

    fn overflow_cell(&mut self, class: usize) -> Option<&mut L::Cell> {
        self.overflow_cells
            .get_or_insert_with(|| self.overflow.lock())
            .get_mut(class)
    }

    /// Returns what the charge at `index`, together with earlier ones to the same counter, needs of
    /// it.
    #[inline]
    fn needed(&self, index: usize, weight: u32) -> u64 {
        self.occurrences(index).saturating_mul(u64::from(weight))
    }

    /// Returns how many charges up to and including the one at `index` name its counter: almost
    /// always one.
    #[inline]
    fn occurrences(&self, index: usize) -> u64 {
        if !self.locked.may_have_duplicates() {
            return 1;
        }
        let earlier = (0..index)
            .filter(|&earlier| self.locked.is_same(earlier, index, self.charges))
            .count();
        u64::try_from(earlier).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Returns why `weight` cannot be charged to every counter; `None` if it can.
    fn refusal(&mut self, weight: u32) -> Option<Refusal<N, L>> {
        let mut fits = true;
        for ((index, charge), used) in self.charges.iter().enumerate().zip(&self.used) {
            let needed = self.needed(index, weight);
            for (used, limit) in used.as_ref().iter().zip(charge.limits.numbers().as_ref()) {
                fits &= u64::from(*used).saturating_add(needed) <= u64::from(*limit);
            }
        }
        if fits { None } else { self.explain(weight) }
    }

    #[cold]
    fn explain(&mut self, weight: u32) -> Option<Refusal<N, L>> {
        let needed = array::from_fn(|index| self.needed(index, weight));
        let (charges, used) = (self.charges, self.used);
        let clears_at = |index, excess, window| match self.counter(index) {
            Some(cell) => cell.clears_at(excess, window),
            None => 0,
        };
        match find_violation(charges, &needed, &used, clears_at)? {
            Violation::TooHeavy { charge, window } => {
                let limit = charges.get(charge)?.limits.limit(window);
                Some(Refusal::TooHeavy {
                    charge,
                    window,
                    limit,
                })
            }
            Violation::Exceeded(exceeded) => Some(exceeded.refusal(self.standings())),
        }
    }

    /// Charges every counter. All of them have room.
    fn commit(&mut self, weight: u32) {
        for (index, charge) in self.charges.iter().enumerate() {
            match self.locked.cell(index, charge) {
                Some(cell) => cell.add(weight),
                None => self.commit_untracked(index, charge, weight),
            }
        }
    }

    fn commit_untracked(&mut self, index: usize, charge: &Charge<K, L>, weight: u32) {
        match self.untracked.get(index).cloned().flatten() {
            Some(Untracked::New(mut cell)) => {
                cell.add(weight);
                self.locked.insert(index, charge.key.clone(), cell);
                self.reserved = self.reserved.saturating_sub(1);
            }
            Some(Untracked::Overflow(class)) => {
                if !self.raises_overflow_cell(index, class) {
                    return;
                }
                let overflow = self.overflow;
                if let Some(cell) = self.overflow_cell(class) {
                    cell.add(weight);
                    overflow.record_use(cell.last());
                }
            }
            None => {}
        }
    }

    /// Reports whether the charge at `index` raises its overflow cell.
    ///
    /// An overflow cell must count no less than any key in it, and need not count their sum. So of
    /// several keys in one request that share a cell, the one charged most often raises it.
    fn raises_overflow_cell(&self, index: usize, class: usize) -> bool {
        let shares_cell = |earlier: &usize| {
            let place = self.untracked.get(*earlier);
            matches!(place, Some(Some(Untracked::Overflow(other))) if *other == class)
        };
        let most_before = (0..index)
            .filter(shares_cell)
            .map(|earlier| self.occurrences(earlier))
            .max();
        most_before.is_none_or(|most| self.occurrences(index) > most)
    }

    /// Gives up reserved room that no key was inserted into.
    fn release_reserved(&self) {
        if self.reserved > 0 {
            self.table.release(self.reserved);
        }
    }

    /// Returns the counter of the charge at `index`, wherever it is.
    fn counter(&mut self, index: usize) -> Option<&mut L::Cell> {
        let charge = self.charges.get(index)?;
        if let Some(cell) = self.locked.cell(index, charge) {
            return Some(cell);
        }
        match self.untracked.get_mut(index)?.as_mut()? {
            Untracked::New(cell) => Some(cell),
            Untracked::Overflow(class) => self.overflow_cells.as_mut()?.get_mut(*class),
        }
    }

    fn standings(&mut self) -> Standings<N, L> {
        let states = array::from_fn(|index| match self.counter(index) {
            Some(cell) => cell.state(cell.used()),
            None => L::UNUSED,
        });
        Standings::new(self.now, self.charges, states)
    }
}
