//! One counter: what one key was charged, seen through all three windows.
//!
//! A single list of `(slot, count)` pairs, oldest first, serves minute, hour and day. It starts
//! with day slots, goes on with hour slots and ends with fine slots. A pair that leaves the minute
//! folds into its hour slot, one that leaves the hour folds into its day slot, and one that leaves
//! the day is dropped. A list therefore has at most 298 pairs, and catching up after any idle time
//! is one pass over it.

mod counting;
mod fold;
mod list;
mod packed;
mod pair;

use self::fold::fold_expired;
use self::list::{List, Parts, to_u8};
use self::pair::Pair;
use crate::slots::{REACH, coarse};
use crate::standings::CellState;
use crate::window::Window;

/// Pairs kept in the cell itself. [`Cell::inherited`] never needs more.
const INLINE: usize = 3;

/// The counter of one key. Short lists live in the cell, longer ones on the heap.
///
/// `last` is the latest fine slot that the cell has seen; a clock behind it counts as standing at
/// it. `hours_start` and `minutes_start` are the indices of the first pair in hour slots and in
/// fine slots.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Small {
        last: u32,
        hours_start: u8,
        minutes_start: u8,
        len: u8,
        pairs: [Pair; INLINE],
    },
    Large {
        last: u32,
        list: Box<List>,
    },
}

const _: () = assert!(size_of::<Cell>() <= 32, "a cell is half a cache line");

impl Cell {
    /// Creates a counter with nothing charged, whose latest known fine slot is `last`.
    pub(crate) const fn fresh(last: u32) -> Self {
        Self::Small {
            last,
            hours_start: 0,
            minutes_start: 0,
            len: 0,
            pairs: [Pair { slot: 0, count: 0 }; INLINE],
        }
    }

    /// Creates a counter that counts at least as much as this one, now and later, in the least
    /// memory: each part of the list becomes one pair in the newest slot of that part.
    pub(crate) fn inherited(&self) -> Self {
        Self::small(self.last(), &List::merged(self.parts()))
    }

    /// Advances the counter to fine slot `now`: folds and drops what has left its window.
    #[inline]
    pub(crate) fn advance(&mut self, now: u32) {
        if now > self.last() {
            self.advance_past_last(now);
        }
    }

    #[inline(never)]
    fn advance_past_last(&mut self, now: u32) {
        match self {
            Self::Small {
                last,
                hours_start,
                minutes_start,
                len,
                pairs,
            } => {
                *last = now;
                let used_pairs = pairs.get_mut(..usize::from(*len)).unwrap_or_default();
                let (mut hours, mut minutes) =
                    (usize::from(*hours_start), usize::from(*minutes_start));
                let (kept, _) = fold_expired(used_pairs, &mut hours, &mut minutes, now);
                for unused in used_pairs.iter_mut().skip(kept) {
                    *unused = Pair::default();
                }
                (*hours_start, *minutes_start, *len) = (to_u8(hours), to_u8(minutes), to_u8(kept));
            }
            Self::Large { last, list } => {
                *last = now;
                list.advance(now);
                if list.pairs.is_empty() {
                    *self = Self::fresh(now);
                }
            }
        }
    }

    /// Adds `weight` in the slot that the counter was last advanced to. The caller has checked that
    /// the totals can hold it.
    #[inline]
    pub(crate) fn add(&mut self, weight: u32) {
        match self {
            Self::Small {
                last,
                minutes_start,
                len,
                pairs,
                ..
            } => {
                let newest = len.checked_sub(1).filter(|newest| newest >= minutes_start);
                match newest.and_then(|newest| pairs.get_mut(usize::from(newest))) {
                    Some(pair) if pair.slot == *last => {
                        pair.count = pair.count.saturating_add(weight)
                    }
                    _ => self.add_pair(weight),
                }
            }
            Self::Large { last, list } => list.add(*last, weight),
        }
    }

    /// Undoes the latest [`add`](Self::add). It must have had this weight, and nothing else may
    /// have happened to the counter since.
    pub(crate) fn undo_add(&mut self, weight: u32) {
        match self {
            Self::Small { len, pairs, .. } => {
                let newest = len.saturating_sub(1);
                if let Some(pair) = pairs.get_mut(usize::from(newest)) {
                    pair.count = pair.count.saturating_sub(weight);
                    if pair.count == 0 {
                        (*pair, *len) = (Pair::default(), newest);
                    }
                }
            }
            Self::Large { list, .. } => list.undo_add(weight),
        }
    }

    /// Starts a new slot, on the heap if the cell has no room for it.
    #[inline(never)]
    fn add_pair(&mut self, weight: u32) {
        match self {
            Self::Small {
                last, len, pairs, ..
            } if usize::from(*len) < INLINE => {
                if let Some(free) = pairs.get_mut(usize::from(*len)) {
                    *free = Pair {
                        slot: *last,
                        count: weight,
                    };
                }
                *len = len.saturating_add(1);
            }
            Self::Small { last, .. } => {
                let slot = *last;
                let mut list = List::copied(self.parts());
                list.add(slot, weight);
                *self = Self::Large {
                    last: slot,
                    list: Box::new(list),
                };
            }
            Self::Large { last, list } => list.add(*last, weight),
        }
    }

    /// Returns what counts in each window, shortest window first.
    #[inline]
    pub(crate) fn used(&self) -> [u32; 3] {
        match self {
            Self::Small {
                hours_start,
                minutes_start,
                pairs,
                ..
            } => {
                // Unused pairs have a count of zero, so the length does not matter.
                let [first, second, third] = pairs;
                let total_from = |start: u8| {
                    let first = if start == 0 { first.count } else { 0 };
                    let second = if start <= 1 { second.count } else { 0 };
                    let third = if start <= 2 { third.count } else { 0 };
                    first.wrapping_add(second).wrapping_add(third)
                };
                [
                    total_from(*minutes_start),
                    total_from(*hours_start),
                    total_from(0),
                ]
            }
            Self::Large { list, .. } => list.totals,
        }
    }

    /// Returns the state of the counter, given its totals from [`used`](Self::used).
    #[inline]
    pub(crate) fn state(&self, used: [u32; 3]) -> CellState {
        match self {
            Self::Small {
                hours_start,
                minutes_start,
                pairs,
                ..
            } => CellState {
                used,
                slots: pairs.map(|pair| pair.slot),
                hours_start: *hours_start,
                minutes_start: *minutes_start,
            },
            Self::Large { list, .. } => list.state(used),
        }
    }

    /// Returns the first fine slot in which at least `amount` of what `window` counts now has
    /// expired.
    pub(crate) fn clears_at(&self, amount: u64, window: Window) -> u64 {
        self.parts().clears_at(amount, window)
    }

    /// Reports whether nothing in the counter can still count at fine slot `now`, so that it equals
    /// a fresh one.
    pub(crate) const fn is_idle(&self, now: u32) -> bool {
        coarse(now, Window::Day).saturating_sub(coarse(self.last(), Window::Day)) > REACH
    }

    /// Returns the latest fine slot that the counter has seen.
    pub(crate) const fn last(&self) -> u32 {
        match self {
            Self::Small { last, .. } | Self::Large { last, .. } => *last,
        }
    }

    /// Creates a cell from a list of at most [`INLINE`] pairs.
    fn small(last: u32, list: &List) -> Self {
        let mut pairs = [Pair::default(); INLINE];
        for (to, from) in pairs.iter_mut().zip(&list.pairs) {
            *to = *from;
        }
        Self::Small {
            last,
            hours_start: to_u8(usize::from(list.hours_start)),
            minutes_start: to_u8(usize::from(list.minutes_start)),
            len: to_u8(list.pairs.len()),
            pairs,
        }
    }

    #[inline]
    fn parts(&self) -> Parts<'_> {
        match self {
            Self::Small {
                hours_start,
                minutes_start,
                len,
                pairs,
                ..
            } => Parts {
                pairs: pairs.get(..usize::from(*len)).unwrap_or_default(),
                hours_start: usize::from(*hours_start),
                minutes_start: usize::from(*minutes_start),
            },
            Self::Large { list, .. } => list.parts(),
        }
    }
}

#[cfg(test)]
mod tests;
