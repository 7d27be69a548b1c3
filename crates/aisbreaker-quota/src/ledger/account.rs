//! What one account has spent, per period.

use std::collections::VecDeque;
use std::time::Duration;

use super::budget::Budget;
use super::policy::{BudgetPolicy, Grid};
use crate::slots::Moment;

/// The amounts of one account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Account<B: BudgetPolicy = Budget> {
    /// What tells it apart from other accounts of its name.
    pub(super) window: B::Window,
    /// The latest moment that the account has seen. Its time never runs backwards.
    pub(super) latest: Moment,
    /// Until when the lifetime total is kept.
    pub(super) keep_until: Moment,
    /// Tells accounts of one name apart, of which one began after the other was freed: a number in
    /// memory, in a store the microseconds when it began.
    pub(super) generation: u64,
    pub(super) sliding: B::Sliding,
    pub(super) lifetime: u64,
}

/// The amounts of a sliding period by slot, oldest first, and their sum.
///
/// The sum is exact even where the amounts are as large as they can be: otherwise, when a slot
/// expires, the sum would forget what other slots hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Slots {
    pub(super) total: u128,
    pub(super) amounts: VecDeque<(u64, u64)>,
}

/// Why an account cannot reserve an amount.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shortage<P> {
    pub(super) period: P,
    pub(super) limit: u64,
    pub(super) used: u64,
    /// Until the amount fits; `None` if it never does.
    pub(super) wait: Option<Duration>,
}

impl<B: BudgetPolicy> Account<B> {
    /// Creates an account that has spent nothing.
    pub(super) fn new(window: B::Window, now: Moment, generation: u64) -> Self {
        Self {
            window,
            latest: now,
            keep_until: Moment::ZERO,
            generation,
            sliding: B::Sliding::default(),
            lifetime: 0,
        }
    }

    /// Moves the account's time forward, and drops what no longer counts.
    pub(crate) fn advance(&mut self, now: Moment) {
        if now.nanos() <= self.latest.nanos() {
            return;
        }
        self.latest = now;
        let grids = B::grids(self.window);
        for (slots, grid) in self.sliding.as_mut().iter_mut().zip(grids) {
            slots.expire(grid.slot(now), grid.reach);
        }
    }

    /// Keeps the account until this moment at least.
    pub(super) fn keep(&mut self, until: Moment) {
        if until.nanos() > self.keep_until.nanos() {
            self.keep_until = until;
        }
    }

    /// Raises the lifetime total to this amount, if it is less.
    pub(super) fn raise_lifetime(&mut self, total: u64) {
        self.lifetime = self.lifetime.max(total);
    }

    /// Returns what counts in a period.
    pub(super) fn used(&self, period: B::Period) -> u64 {
        match self.slots(period) {
            Some(slots) => u64::try_from(slots.total).unwrap_or(u64::MAX),
            None => self.lifetime,
        }
    }

    /// Returns the shortage with the longest wait, if the amount does not fit into the budget.
    pub(super) fn shortage(&self, budget: &B, amount: u64) -> Option<Shortage<B::Period>> {
        let mut longest: Option<Shortage<B::Period>> = None;
        for (period, limit) in budget.limits() {
            let used = self.used(period);
            if used.saturating_add(amount) <= limit {
                continue;
            }
            let wait = self.wait(period, limit, amount);
            let is_longer = longest.is_none_or(|known| match (known.wait, wait) {
                (Some(known), Some(wait)) => wait > known,
                (Some(_), None) => true,
                (None, _) => false,
            });
            if is_longer {
                longest = Some(Shortage {
                    period,
                    limit,
                    used,
                    wait,
                });
            }
        }
        longest
    }

    /// Returns how long it takes until the amount fits into this period, provided that nothing else
    /// is reserved and nothing is settled.
    fn wait(&self, period: B::Period, limit: u64, amount: u64) -> Option<Duration> {
        let room = u128::from(limit.checked_sub(amount)?);
        let slots = self.slots(period)?;
        let mut used = slots.total;
        for (slot, held) in &slots.amounts {
            used = used.saturating_sub(u128::from(*held));
            if used <= room {
                return Some(B::grid(period).until_expiry(*slot, self.latest));
            }
        }
        None
    }

    /// Returns the time until the oldest amount leaves the period; zero if nothing counts, and
    /// `None` if it never leaves.
    pub(super) fn reset(&self, period: B::Period) -> Option<Duration> {
        let slots = self.slots(period)?;
        let counts = |(_, amount): &&(u64, u64)| *amount > 0;
        match slots.amounts.iter().find(counts) {
            Some((slot, _)) => Some(B::grid(period).until_expiry(*slot, self.latest)),
            None => Some(Duration::ZERO),
        }
    }

    /// Adds an amount now, in every period of the budget.
    pub(super) fn add(&mut self, budget: &B, amount: u64) {
        let now = self.latest;
        for (period, _) in budget.limits() {
            match slots_mut::<B>(&mut self.sliding, period) {
                Some(slots) => slots.add(B::grid(period).slot(now), amount),
                None => self.lifetime = self.lifetime.saturating_add(amount),
            }
        }
    }

    /// Replaces an amount that was added at a moment by another one, in the slots that hold it; the
    /// lifetime total only if it was added to this account, not to one of its name that is gone.
    pub(super) fn replace(
        &mut self,
        budget: &B,
        (at, generation): (Moment, u64),
        from: u64,
        to: u64,
    ) {
        for (period, _) in budget.limits() {
            match slots_mut::<B>(&mut self.sliding, period) {
                Some(slots) => slots.replace(B::grid(period).slot(at), from, to),
                None if generation != self.generation => {}
                None => self.lifetime = replaced(self.lifetime, from, to),
            }
        }
    }

    /// Returns whether the account stands as if it had never spent anything.
    pub(super) fn is_idle(&self, now: Moment) -> bool {
        let counts = |(slots, grid): (&Slots, Grid)| {
            let oldest_counted = grid.slot(now).saturating_sub(grid.reach);
            let newest = slots.amounts.back();
            newest.is_some_and(|(slot, _)| *slot >= oldest_counted)
        };
        now.nanos() > self.keep_until.nanos()
            && !self
                .sliding
                .as_ref()
                .iter()
                .zip(B::grids(self.window))
                .any(counts)
    }

    /// Returns the slots of a period; `None` for a lifetime.
    fn slots(&self, period: B::Period) -> Option<&Slots> {
        self.sliding.as_ref().get(B::index(period)?)
    }
}

fn slots_mut<B: BudgetPolicy>(sliding: &mut B::Sliding, period: B::Period) -> Option<&mut Slots> {
    sliding.as_mut().get_mut(B::index(period)?)
}

impl Slots {
    fn expire(&mut self, now: u64, reach: u64) {
        while let Some((slot, amount)) = self.amounts.front() {
            if now.saturating_sub(*slot) <= reach {
                break;
            }
            self.total = self.total.saturating_sub(u128::from(*amount));
            self.amounts.pop_front();
        }
    }

    fn add(&mut self, slot: u64, amount: u64) {
        match self.amounts.back_mut() {
            Some((last, held)) if *last == slot => {
                let sum = held.saturating_add(amount);
                set(&mut self.total, held, sum);
            }
            Some(_) | None => self.push(slot, amount),
        }
    }

    /// Appends a slot that is later than all others.
    pub(super) fn push(&mut self, slot: u64, amount: u64) {
        self.total = self.total.saturating_add(u128::from(amount));
        self.amounts.push_back((slot, amount));
    }

    /// Does nothing if the slot has left the period.
    fn replace(&mut self, slot: u64, from: u64, to: u64) {
        let Ok(index) = self.amounts.binary_search_by_key(&slot, |(slot, _)| *slot) else {
            return;
        };
        if let Some((_, held)) = self.amounts.get_mut(index) {
            let sum = replaced(*held, from, to);
            set(&mut self.total, held, sum);
        }
    }
}

/// Sets the amount of a slot, and the sum of all slots accordingly.
fn set(total: &mut u128, held: &mut u64, to: u64) {
    let others = total.saturating_sub(u128::from(*held));
    *total = others.saturating_add(u128::from(to));
    *held = to;
}

fn replaced(sum: u64, from: u64, to: u64) -> u64 {
    sum.saturating_sub(from).saturating_add(to)
}
