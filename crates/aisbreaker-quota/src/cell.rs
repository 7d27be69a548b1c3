//! One counter: what one key was charged, as seen by all three windows.
//!
//! A single list of `(slot, count)` pairs, oldest first, serves minute, hour and day. Its head is
//! in slots of the day, its middle in slots of the hour, its tail in fine slots: a pair that leaves
//! the minute folds into its slot of the hour, one that leaves the hour into its slot of the day,
//! one that leaves the day is dropped. So a list has at most 298 pairs, and the work after any idle
//! time is one pass over it.

mod fold;
mod packed;

use self::fold::settle;
use crate::answer::CellState;
use crate::limits::Window;
use crate::slots::{REACH, coarse, day_of_hour, expiry};

/// Pairs kept in the cell itself; also what [`Cell::inherited`] needs at most.
const INLINE: usize = 3;

/// The longest list: 101 fine slots; 100 of the hour, since the latest one is still in fine slots;
/// and 97 of the day, since the latest four are still in slots of the hour.
const MAX_PAIRS: usize = 298;

/// What was charged in one slot of the grid that the pair's part of the list is in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Pair {
    slot: u32,
    count: u32,
}

/// The counter of one key. Short lists live in the cell, longer ones on the heap.
///
/// `last` is the latest fine slot the cell was looked at in; a clock behind it counts as standing
/// at it.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Small {
        last: u32,
        hours: u8,
        minutes: u8,
        len: u8,
        pairs: [Pair; INLINE],
    },
    Large {
        last: u32,
        list: Box<List>,
    },
}

const _: () = assert!(size_of::<Cell>() <= 32, "a cell is half a cache line");

/// A list on the heap with its running totals.
#[derive(Clone, Debug)]
pub(crate) struct List {
    totals: [u32; 3],
    hours: u16,
    minutes: u16,
    pairs: Vec<Pair>,
}

/// A borrowed list: day slots in `..hours`, hour slots in `hours..minutes`, fine slots in
/// `minutes..`.
#[derive(Clone, Copy)]
struct Parts<'a> {
    pairs: &'a [Pair],
    hours: usize,
    minutes: usize,
}

impl Cell {
    /// A counter with nothing charged; fine slot `last` is the latest it knows of.
    pub(crate) const fn fresh(last: u32) -> Self {
        Self::Small {
            last,
            hours: 0,
            minutes: 0,
            len: 0,
            pairs: [Pair { slot: 0, count: 0 }; INLINE],
        }
    }

    /// A counter that stands at least as high as this one, and will at any later time, in the least
    /// memory: each part of the list becomes one pair in the newest slot of that part.
    pub(crate) fn inherited(&self) -> Self {
        let mut list = List {
            totals: [0; 3],
            hours: 0,
            minutes: 0,
            pairs: Vec::new(),
        };
        let parts = self.parts();
        list.pairs.extend(newest(parts.days()));
        list.hours = narrow(list.pairs.len());
        list.pairs.extend(newest(parts.hours()));
        list.minutes = narrow(list.pairs.len());
        list.pairs.extend(newest(parts.minutes()));
        Self::small(self.last(), &list)
    }

    /// Moves the counter on to fine slot `now`: folds and drops what has left its window.
    #[inline]
    pub(crate) fn advance(&mut self, now: u32) {
        if now > self.last() {
            self.settle(now);
        }
    }

    #[inline(never)]
    fn settle(&mut self, now: u32) {
        match self {
            Self::Small {
                last,
                hours,
                minutes,
                len,
                pairs,
            } => {
                *last = now;
                let pairs = pairs.get_mut(..usize::from(*len)).unwrap_or_default();
                let (mut first, mut second) = (usize::from(*hours), usize::from(*minutes));
                let (kept, _) = settle(pairs, &mut first, &mut second, now);
                pairs
                    .iter_mut()
                    .skip(kept)
                    .for_each(|unused| *unused = Pair::default());
                (*hours, *minutes, *len) = (narrow_u8(first), narrow_u8(second), narrow_u8(kept));
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

    /// Adds `weight` in the slot the counter was last moved on to; the caller has checked that the
    /// totals can hold it.
    #[inline]
    pub(crate) fn add(&mut self, weight: u32) {
        match self {
            Self::Small {
                last,
                minutes,
                len,
                pairs,
                ..
            } => {
                let newest = len.checked_sub(1).filter(|newest| newest >= minutes);
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

    /// Undoes the latest [`add`](Self::add), of this weight, since which nothing else was done to
    /// the counter.
    pub(crate) fn take_back(&mut self, weight: u32) {
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
            Self::Large { list, .. } => list.take_back(weight),
        }
    }

    /// Begins a new slot, on the heap if there is no room for it in here.
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
                let last = *last;
                let mut list = List::copied(self.parts());
                list.add(last, weight);
                *self = Self::Large {
                    last,
                    list: Box::new(list),
                };
            }
            Self::Large { last, list } => list.add(*last, weight),
        }
    }

    /// What counts in each window.
    #[inline]
    pub(crate) fn used(&self) -> [u32; 3] {
        match self {
            Self::Small {
                hours,
                minutes,
                pairs,
                ..
            } => {
                // Pairs that are not in use count nothing, so there is no need to look at the
                // length.
                let [first, second, third] = pairs;
                let from = |part: u8| {
                    let first = if part == 0 { first.count } else { 0 };
                    let second = if part <= 1 { second.count } else { 0 };
                    let third = if part <= 2 { third.count } else { 0 };
                    first.wrapping_add(second).wrapping_add(third)
                };
                [from(*minutes), from(*hours), from(0)]
            }
            Self::Large { list, .. } => list.totals,
        }
    }

    /// The state of a counter that counts `used`, which is what [`used`](Self::used) says.
    #[inline]
    pub(crate) fn state(&self, used: [u32; 3]) -> CellState {
        match self {
            Self::Small {
                hours,
                minutes,
                pairs,
                ..
            } => CellState {
                used,
                slots: pairs.map(|pair| pair.slot),
                hours: *hours,
                minutes: *minutes,
            },
            Self::Large { list, .. } => list.state(used),
        }
    }

    /// The fine slot from which on at least `amount` of what counts in `window` now no longer does.
    pub(crate) fn frees(&self, amount: u64, window: Window) -> u64 {
        self.parts().frees(amount, window)
    }

    /// Whether nothing in here can count at fine slot `now`, so that the counter equals a fresh
    /// one.
    pub(crate) const fn is_idle(&self, now: u32) -> bool {
        coarse(now, Window::Day).saturating_sub(coarse(self.last(), Window::Day)) > REACH
    }

    /// The latest fine slot the counter was looked at in.
    pub(crate) const fn last(&self) -> u32 {
        match self {
            Self::Small { last, .. } | Self::Large { last, .. } => *last,
        }
    }

    fn small(last: u32, list: &List) -> Self {
        let mut inline = [Pair::default(); INLINE];
        for (to, from) in inline.iter_mut().zip(&list.pairs) {
            *to = *from;
        }
        let (hours, minutes) = (usize::from(list.hours), usize::from(list.minutes));
        Self::Small {
            last,
            hours: narrow_u8(hours),
            minutes: narrow_u8(minutes),
            len: narrow_u8(list.pairs.len()),
            pairs: inline,
        }
    }

    #[inline]
    fn parts(&self) -> Parts<'_> {
        match self {
            Self::Small {
                hours,
                minutes,
                len,
                pairs,
                ..
            } => Parts {
                pairs: pairs.get(..usize::from(*len)).unwrap_or_default(),
                hours: usize::from(*hours),
                minutes: usize::from(*minutes),
            },
            Self::Large { list, .. } => list.parts(),
        }
    }
}

impl List {
    fn copied(parts: Parts<'_>) -> Self {
        let mut pairs = Vec::with_capacity(8);
        pairs.extend_from_slice(parts.pairs);
        Self {
            totals: parts.totals(),
            hours: narrow(parts.hours),
            minutes: narrow(parts.minutes),
            pairs,
        }
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            pairs: &self.pairs,
            hours: usize::from(self.hours),
            minutes: usize::from(self.minutes),
        }
    }

    fn advance(&mut self, now: u32) {
        let (mut hours, mut minutes) = (usize::from(self.hours), usize::from(self.minutes));
        let (kept, left) = settle(&mut self.pairs, &mut hours, &mut minutes, now);
        self.pairs.truncate(kept);
        (self.hours, self.minutes) = (narrow(hours), narrow(minutes));
        for (total, left) in self.totals.iter_mut().zip(left) {
            *total = total.saturating_sub(left);
        }
    }

    #[inline]
    fn add(&mut self, slot: u32, weight: u32) {
        for total in &mut self.totals {
            *total = total.saturating_add(weight);
        }
        let has_minutes = self.pairs.len() > usize::from(self.minutes);
        match self.pairs.last_mut() {
            Some(pair) if has_minutes && pair.slot == slot => {
                pair.count = pair.count.saturating_add(weight)
            }
            _ => self.push(Pair {
                slot,
                count: weight,
            }),
        }
    }

    fn take_back(&mut self, weight: u32) {
        for total in &mut self.totals {
            *total = total.saturating_sub(weight);
        }
        if let Some(pair) = self.pairs.last_mut() {
            pair.count = pair.count.saturating_sub(weight);
        }
        self.pairs.pop_if(|pair| pair.count == 0);
    }

    fn state(&self, used: [u32; 3]) -> CellState {
        let parts = self.parts();
        let (days, hours) = (parts.days().first(), parts.hours().first());
        let mut heads = days
            .into_iter()
            .chain(hours)
            .chain(parts.minutes().first())
            .map(|pair| pair.slot);
        let slots = [(); 3].map(|()| heads.next().unwrap_or(0));
        let hours_at = u8::from(days.is_some());
        CellState {
            used,
            slots,
            hours: hours_at,
            minutes: hours_at.saturating_add(u8::from(hours.is_some())),
        }
    }

    /// Doubles when full, but never past the longest list there is.
    #[inline(never)]
    fn push(&mut self, pair: Pair) {
        if self.pairs.len() == self.pairs.capacity() {
            let room = MAX_PAIRS
                .saturating_sub(self.pairs.len())
                .clamp(1, self.pairs.len().max(4));
            self.pairs.reserve_exact(room);
        }
        self.pairs.push(pair);
    }
}

impl<'a> Parts<'a> {
    #[inline]
    fn days(self) -> &'a [Pair] {
        self.pairs.get(..self.hours).unwrap_or_default()
    }

    #[inline]
    fn hours(self) -> &'a [Pair] {
        self.pairs.get(self.hours..self.minutes).unwrap_or_default()
    }

    #[inline]
    fn minutes(self) -> &'a [Pair] {
        self.pairs.get(self.minutes..).unwrap_or_default()
    }

    #[inline]
    fn totals(self) -> [u32; 3] {
        let minute = sum(self.minutes());
        let hour = minute.saturating_add(sum(self.hours()));
        [minute, hour, hour.saturating_add(sum(self.days()))]
    }

    /// Whether the slots of each part go up, none of them past fine slot `last`.
    fn are_in_order(self, last: u32) -> bool {
        let goes_up = |part: &[Pair], now| {
            part.is_sorted_by(|one, next| one.slot < next.slot)
                && part.last().is_none_or(|newest| newest.slot <= now)
        };
        goes_up(self.days(), coarse(last, Window::Day))
            && goes_up(self.hours(), coarse(last, Window::Hour))
            && goes_up(self.minutes(), last)
    }

    fn frees(self, amount: u64, window: Window) -> u64 {
        let fine = self
            .minutes()
            .iter()
            .map(|pair| (coarse(pair.slot, window), pair.count));
        let hour = |slot| {
            if window == Window::Day {
                day_of_hour(slot)
            } else {
                slot
            }
        };
        let hours = self
            .hours()
            .iter()
            .map(|pair| (hour(pair.slot), pair.count));
        let days = self.days().iter().map(|pair| (pair.slot, pair.count));
        let slot = match window {
            Window::Minute => enough(fine, amount),
            Window::Hour => enough(hours.chain(fine), amount),
            Window::Day => enough(days.chain(hours).chain(fine), amount),
        };
        expiry(slot, window)
    }
}

/// The first slot, oldest first, up to which the counts add up to `amount`; the newest one if they
/// never do.
fn enough(pairs: impl Iterator<Item = (u32, u32)>, amount: u64) -> u32 {
    let mut freed = 0_u64;
    let mut newest = 0;
    for (slot, count) in pairs {
        freed = freed.saturating_add(u64::from(count));
        newest = slot;
        if freed >= amount {
            break;
        }
    }
    newest
}

/// A part as one pair in its newest slot.
fn newest(part: &[Pair]) -> Option<Pair> {
    part.last().map(|pair| Pair {
        slot: pair.slot,
        count: sum(part),
    })
}

fn sum(part: &[Pair]) -> u32 {
    part.iter()
        .fold(0, |sum, pair| sum.saturating_add(pair.count))
}

fn narrow(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

fn narrow_u8(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests;
