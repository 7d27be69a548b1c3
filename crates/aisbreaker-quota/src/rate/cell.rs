//! The counter of one key in one window of any length.
//!
//! A window has slots of a hundredth of its length on a grid that begins at the engine's epoch, and
//! slot `k` counts while `now - k <= 100`. A charge therefore counts for more than the window, and
//! for at most 1 % longer. Slots are whole multiples of 10 µs, since windows are whole milliseconds.

mod packed;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use crate::policy::CounterCell;
use crate::slots::REACH;

/// The most slots that count: the current one and a hundred before it.
const MAX_SLOTS: usize = 101;

/// Nanoseconds in a slot per millisecond of the window.
const SLOT_NANOS_PER_MILLI: u64 = 10_000;

/// The counter of one key in one window. A single slot lives in the cell, more are on the heap.
///
/// `last` is the latest moment that the cell has seen, in nanoseconds; a clock behind it counts as
/// standing at it.
#[derive(Clone, Debug)]
pub(crate) struct RateCell {
    last: u64,
    window_millis: u32,
    total: u32,
    slots: Slots,
}

const _: () = assert!(size_of::<RateCell>() <= 32, "a cell is half a cache line");

#[derive(Clone, Debug)]
enum Slots {
    /// One slot, or none if its count is zero.
    One(SlotCount),
    /// Oldest first, none of them empty.
    #[expect(
        clippy::box_collection,
        reason = "most cells have one slot, and the box keeps them small"
    )]
    Many(Box<VecDeque<SlotCount>>),
}

/// What was charged in one slot.
///
/// The number of the slot is cut to its lower 32 bits. That is enough, since it is within 100 slots
/// of the latest one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct SlotCount {
    slot: u32,
    count: u32,
}

/// What a decision copies of a cell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RateState {
    pub(super) used: u32,
    /// When the oldest slot stops counting, in nanoseconds; any number if nothing counts.
    pub(super) resets_at: u64,
}

impl RateCell {
    /// Returns the number of the latest slot.
    fn last_slot(&self) -> u64 {
        slot_of(self.last, self.window_millis)
    }

    /// Returns the slots that count, oldest first.
    fn counts(&self) -> impl Iterator<Item = SlotCount> {
        let (one, many) = match &self.slots {
            Slots::One(one) => (Some(*one).filter(|one| one.count > 0), None),
            Slots::Many(many) => (None, Some(many.iter().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Returns how many slots ago `slot` was.
    fn age(&self, slot: u32) -> u32 {
        low_bits(self.last_slot()).wrapping_sub(slot)
    }

    /// Returns the moment at which `slot` stops counting, in nanoseconds.
    fn expiry(&self, slot: u32) -> u64 {
        let number = self.last_slot().saturating_sub(u64::from(self.age(slot)));
        let first_uncounted = number.saturating_add(u64::from(REACH)).saturating_add(1);
        first_uncounted.saturating_mul(slot_nanos(self.window_millis))
    }

    fn clear(&mut self) {
        self.total = 0;
        self.slots = Slots::One(SlotCount::default());
    }

    /// Drops what has left the window. No slot is older than twice the window.
    fn expire(&mut self) {
        let latest = low_bits(self.last_slot());
        let is_over = |one: &SlotCount| latest.wrapping_sub(one.slot) > REACH;
        match &mut self.slots {
            Slots::One(one) => {
                if is_over(one) {
                    self.clear();
                }
            }
            Slots::Many(many) => {
                while let Some(oldest) = many.front().filter(|one| is_over(one)) {
                    self.total = self.total.saturating_sub(oldest.count);
                    many.pop_front();
                }
                if many.is_empty() {
                    self.clear();
                }
            }
        }
    }

    /// Appends a slot that is later than all others, or adds to the latest one.
    fn push(&mut self, slot: u32, count: u32) {
        self.total = self.total.saturating_add(count);
        let new = SlotCount { slot, count };
        match &mut self.slots {
            Slots::One(one) if one.count == 0 => *one = new,
            Slots::One(one) if one.slot == slot => one.count = one.count.saturating_add(count),
            Slots::One(one) => {
                let mut many = VecDeque::with_capacity(4);
                many.extend([*one, new]);
                self.slots = Slots::Many(Box::new(many));
            }
            Slots::Many(many) => match many.back_mut() {
                Some(newest) if newest.slot == slot => {
                    newest.count = newest.count.saturating_add(count);
                }
                _ => push_bounded(many, new),
            },
        }
    }
}

impl CounterCell<Duration> for RateCell {
    type Tick = u64;
    type Totals = [u32; 1];
    type State = RateState;
    type Grid = u32;

    fn fresh(window_millis: u32, last: u64) -> Self {
        Self {
            last,
            window_millis,
            total: 0,
            slots: Slots::One(SlotCount::default()),
        }
    }

    #[inline]
    fn grid(&self) -> u32 {
        self.window_millis
    }

    fn advance(&mut self, now: u64) {
        if now <= self.last {
            return;
        }
        let before = self.last_slot();
        self.last = now;
        let passed = self.last_slot().saturating_sub(before);
        if passed > u64::from(REACH) {
            self.clear();
        } else if passed > 0 {
            self.expire();
        }
    }

    /// The cell takes the longer of both windows. What it counts moves to the slot in which the old
    /// one ended, so that each charge still counts for all of its window.
    ///
    /// It never takes a shorter one, even if it counts nothing: another charge of the same decision
    /// may need the longer one.
    fn widen(&mut self, window_millis: u32) {
        if window_millis <= self.window_millis {
            return;
        }
        let mut wider = Self::fresh(window_millis, self.last);
        let nanos = slot_nanos(self.window_millis);
        for SlotCount { slot, count } in self.counts() {
            let number = self.last_slot().saturating_sub(u64::from(self.age(slot)));
            let end = number.saturating_add(1).saturating_mul(nanos);
            let moment = end.saturating_sub(1).min(self.last);
            wider.push(low_bits(slot_of(moment, window_millis)), count);
        }
        *self = wider;
    }

    fn inherited(&self, window_millis: u32) -> Self {
        let mut heir = Self::fresh(window_millis, self.last);
        if self.total > 0 {
            heir.push(low_bits(heir.last_slot()), self.total);
        }
        heir
    }

    fn add(&mut self, weight: u32) {
        self.push(low_bits(self.last_slot()), weight);
    }

    fn undo_add(&mut self, weight: u32) {
        self.total = self.total.saturating_sub(weight);
        match &mut self.slots {
            Slots::One(one) => one.count = one.count.saturating_sub(weight),
            Slots::Many(many) => {
                if let Some(newest) = many.back_mut() {
                    newest.count = newest.count.saturating_sub(weight);
                    if newest.count == 0 {
                        many.pop_back();
                    }
                }
            }
        }
    }

    #[inline]
    fn used(&self) -> [u32; 1] {
        [self.total]
    }

    fn state(&self, [used]: [u32; 1]) -> RateState {
        let resets_at = match self.counts().next() {
            Some(oldest) => self.expiry(oldest.slot),
            None => 0,
        };
        RateState { used, resets_at }
    }

    fn clears_at(&self, amount: u64, _window: Duration) -> u64 {
        let (mut sum, mut newest) = (0_u64, 0);
        for SlotCount { slot, count } in self.counts() {
            sum = sum.saturating_add(u64::from(count));
            newest = slot;
            if sum >= amount {
                break;
            }
        }
        self.expiry(newest)
    }

    fn clears_by(&self, _window: Duration) -> u64 {
        self.expiry(low_bits(self.last_slot()))
    }

    fn is_idle(&self, now: u64) -> bool {
        let passed = slot_of(now, self.window_millis).saturating_sub(self.last_slot());
        passed > u64::from(REACH)
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn pack(&self, to: &mut Vec<u8>) {
        self.pack(to);
    }

    fn unpack(bytes: &[u8]) -> Option<Self> {
        Self::unpack(bytes)
    }
}

/// Returns the longest time that a charge counts for in a window, in nanoseconds.
pub(super) const fn counted_nanos(window_millis: u32) -> u64 {
    slot_nanos(window_millis).saturating_mul((REACH as u64).saturating_add(1))
}

/// Doubles the capacity when full, but never beyond the most slots.
fn push_bounded(many: &mut VecDeque<SlotCount>, new: SlotCount) {
    if many.len() == many.capacity() {
        let room = MAX_SLOTS.saturating_sub(many.len());
        many.reserve_exact(room.clamp(1, many.len().max(4)));
    }
    many.push_back(new);
}

const fn slot_nanos(window_millis: u32) -> u64 {
    (window_millis as u64).saturating_mul(SLOT_NANOS_PER_MILLI)
}

/// Returns the slot that contains a moment.
fn slot_of(nanos: u64, window_millis: u32) -> u64 {
    nanos
        .checked_div(slot_nanos(window_millis))
        .unwrap_or_default()
}

fn low_bits(slot: u64) -> u32 {
    u32::try_from(slot & u64::from(u32::MAX)).unwrap_or_default()
}
