//! A cell's list of pairs: on the heap with its totals, or borrowed from wherever it lives.

use super::fold::fold_expired;
use super::pair::Pair;
use crate::slots::{coarse, day_of_hour, expiry};
use crate::standings::CellState;
use crate::window::Window;

/// The longest list: 101 fine slots; 100 hour slots, since the latest hour is still in fine slots;
/// and 97 day slots, since the latest four are still in hour slots.
pub(super) const MAX_PAIRS: usize = 298;

/// A list on the heap with its running totals.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(super) totals: [u32; 3],
    pub(super) hours_start: u16,
    pub(super) minutes_start: u16,
    pub(super) pairs: Vec<Pair>,
}

/// A borrowed list: day slots in `..hours_start`, hour slots in `hours_start..minutes_start`, fine
/// slots in `minutes_start..`.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) pairs: &'a [Pair],
    pub(super) hours_start: usize,
    pub(super) minutes_start: usize,
}

impl List {
    /// Creates a list on the heap with room for some more pairs.
    pub(super) fn copied(parts: Parts<'_>) -> Self {
        let mut pairs = Vec::with_capacity(8);
        pairs.extend_from_slice(parts.pairs);
        Self {
            totals: parts.totals(),
            hours_start: to_u16(parts.hours_start),
            minutes_start: to_u16(parts.minutes_start),
            pairs,
        }
    }

    /// Creates a list of at most three pairs: each part merged into its newest slot. The totals are
    /// left at zero.
    pub(super) fn merged(parts: Parts<'_>) -> Self {
        let mut pairs = Vec::new();
        pairs.extend(merged_pair(parts.days()));
        let hours_start = to_u16(pairs.len());
        pairs.extend(merged_pair(parts.hours()));
        let minutes_start = to_u16(pairs.len());
        pairs.extend(merged_pair(parts.minutes()));
        Self {
            totals: [0; 3],
            hours_start,
            minutes_start,
            pairs,
        }
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        Parts {
            pairs: &self.pairs,
            hours_start: usize::from(self.hours_start),
            minutes_start: usize::from(self.minutes_start),
        }
    }

    pub(super) fn advance(&mut self, now: u32) {
        let (mut hours, mut minutes) = (
            usize::from(self.hours_start),
            usize::from(self.minutes_start),
        );
        let (kept, expired) = fold_expired(&mut self.pairs, &mut hours, &mut minutes, now);
        self.pairs.truncate(kept);
        (self.hours_start, self.minutes_start) = (to_u16(hours), to_u16(minutes));
        for (total, left) in self.totals.iter_mut().zip(expired) {
            *total = total.saturating_sub(left);
        }
    }

    #[inline]
    pub(super) fn add(&mut self, slot: u32, weight: u32) {
        for total in &mut self.totals {
            *total = total.saturating_add(weight);
        }
        let has_minutes = self.pairs.len() > usize::from(self.minutes_start);
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

    pub(super) fn undo_add(&mut self, weight: u32) {
        for total in &mut self.totals {
            *total = total.saturating_sub(weight);
        }
        if let Some(pair) = self.pairs.last_mut() {
            pair.count = pair.count.saturating_sub(weight);
        }
        self.pairs.pop_if(|pair| pair.count == 0);
    }

    pub(super) fn state(&self, used: [u32; 3]) -> CellState {
        let parts = self.parts();
        let (day, hour) = (parts.days().first(), parts.hours().first());
        let mut first_slots = day
            .into_iter()
            .chain(hour)
            .chain(parts.minutes().first())
            .map(|pair| pair.slot);
        let slots = [(); 3].map(|()| first_slots.next().unwrap_or(0));
        let hours_start = u8::from(day.is_some());
        CellState {
            used,
            slots,
            hours_start,
            minutes_start: hours_start.saturating_add(u8::from(hour.is_some())),
        }
    }

    /// Doubles the capacity when full, but never beyond the longest possible list.
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
    pub(super) fn days(self) -> &'a [Pair] {
        self.pairs.get(..self.hours_start).unwrap_or_default()
    }

    #[inline]
    pub(super) fn hours(self) -> &'a [Pair] {
        self.pairs
            .get(self.hours_start..self.minutes_start)
            .unwrap_or_default()
    }

    #[inline]
    pub(super) fn minutes(self) -> &'a [Pair] {
        self.pairs.get(self.minutes_start..).unwrap_or_default()
    }

    #[inline]
    pub(super) fn totals(self) -> [u32; 3] {
        let minute = sum(self.minutes());
        let hour = minute.saturating_add(sum(self.hours()));
        [minute, hour, hour.saturating_add(sum(self.days()))]
    }

    /// Reports whether the slots of each part ascend and none is past fine slot `last`.
    pub(super) fn are_in_order(self, last: u32) -> bool {
        let ascends_to = |part: &[Pair], now| {
            part.is_sorted_by(|one, next| one.slot < next.slot)
                && part.last().is_none_or(|newest| newest.slot <= now)
        };
        ascends_to(self.days(), coarse(last, Window::Day))
            && ascends_to(self.hours(), coarse(last, Window::Hour))
            && ascends_to(self.minutes(), last)
    }

    pub(super) fn clears_at(self, amount: u64, window: Window) -> u64 {
        let days = self.days().iter().map(|pair| (pair.slot, pair.count));
        let hours = self.hours().iter().map(|pair| match window {
            Window::Day => (day_of_hour(pair.slot), pair.count),
            Window::Hour | Window::Minute => (pair.slot, pair.count),
        });
        let minutes = self
            .minutes()
            .iter()
            .map(|pair| (coarse(pair.slot, window), pair.count));
        let slot = match window {
            Window::Minute => slot_reaching(minutes, amount),
            Window::Hour => slot_reaching(hours.chain(minutes), amount),
            Window::Day => slot_reaching(days.chain(hours).chain(minutes), amount),
        };
        expiry(slot, window)
    }
}

/// Returns the first slot, oldest first, up to which the counts add up to `amount`; the newest one
/// if they never do.
fn slot_reaching(counts: impl Iterator<Item = (u32, u32)>, amount: u64) -> u32 {
    let mut sum = 0_u64;
    let mut newest = 0;
    for (slot, count) in counts {
        sum = sum.saturating_add(u64::from(count));
        newest = slot;
        if sum >= amount {
            break;
        }
    }
    newest
}

/// Merges a part into one pair in its newest slot.
fn merged_pair(part: &[Pair]) -> Option<Pair> {
    let newest = part.last()?;
    Some(Pair {
        slot: newest.slot,
        count: sum(part),
    })
}

fn sum(part: &[Pair]) -> u32 {
    part.iter()
        .fold(0, |sum, pair| sum.saturating_add(pair.count))
}

pub(super) fn to_u16(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

pub(super) fn to_u8(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}
