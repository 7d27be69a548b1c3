//! A slow reference of the ledger: a list of everything that was reserved, and what became of it.

use std::time::Duration;

use aisbreaker_quota::ledger::{Allowance, Budget, BudgetPolicy, Period};

/// The number of accounts.
pub(crate) const ACCOUNTS: usize = 4;

/// A kind of budgets as the reference sees it. A slot of every period is a whole number of units, and
/// all times are numbers of units.
pub(crate) trait Kind: BudgetPolicy {
    /// The unit of time.
    const UNIT: Duration;

    /// Returns the limit of each period, shortest first, with the length of a slot and how many slots
    /// back still count; `None` for a lifetime.
    fn periods(&self) -> Vec<(Option<(u64, u64)>, u64)>;

    /// Whether it has a limit of a lifetime.
    fn has_lifetime(&self) -> bool {
        self.periods().iter().any(|(slots, _)| slots.is_none())
    }
}

impl Kind for Budget {
    const UNIT: Duration = Duration::from_millis(1);

    fn periods(&self) -> Vec<(Option<(u64, u64)>, u64)> {
        let period = |(period, limit)| (slot_millis(period), limit);
        self.iter().map(period).collect()
    }
}

impl Kind for Allowance {
    const UNIT: Duration = Duration::from_micros(10);

    fn periods(&self) -> Vec<(Option<(u64, u64)>, u64)> {
        // A slot has as many units as the window has milliseconds.
        vec![(Some((millis(self.window()), 100)), self.limit())]
    }
}

/// Something that was reserved. Times are in units.
#[derive(Clone, Debug)]
pub(crate) struct Spent {
    /// When, by the time of its account.
    pub(crate) at: u64,
    pub(crate) reserved: u64,
    /// What counts now: what is reserved, or what it was settled to.
    pub(crate) amount: u64,
}

/// One account of the reference.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// Whether the account takes room.
    pub(crate) exists: bool,
    pub(crate) latest: u64,
    pub(crate) spent: Vec<Spent>,
}

impl Model {
    /// Moves the account's time forward.
    pub(crate) fn see(&mut self, now: u64) {
        self.latest = self.latest.max(now);
    }

    /// What counts in a period at a time that has come.
    pub(crate) fn used(&self, slots: Option<(u64, u64)>, now: u64) -> u64 {
        let counts = |spent: &&Spent| match slots {
            Some((slot, reach)) => now / slot - spent.at / slot <= reach,
            None => true,
        };
        self.spent
            .iter()
            .filter(counts)
            .map(|spent| spent.amount)
            .sum()
    }

    /// Makes room if nothing counts in any period of the budget that slides, not even a zero, which
    /// a settlement may still raise.
    pub(crate) fn free_if_idle(&mut self, budget: &impl Kind, now: u64) {
        let counts = |(slots, _): (Option<(u64, u64)>, u64)| match slots {
            Some((slot, reach)) => {
                let counts = |spent: &Spent| now / slot - spent.at / slot <= reach;
                self.spent.iter().any(counts)
            }
            None => false,
        };
        self.exists = self.exists && budget.periods().into_iter().any(counts);
    }

    /// Whether every period of the budget has room for the amount.
    pub(crate) fn fits(&self, budget: &impl Kind, amount: u64, now: u64) -> bool {
        let has_room = |(slots, limit)| self.used(slots, now) + amount <= limit;
        budget.periods().into_iter().all(has_room)
    }

    /// Asserts that in no interval as long as a period, whatever was reserved in it comes to more
    /// than the budget and what was used beyond the reservations. To be called when all is settled.
    pub(crate) fn assert_spending_is_within(&self, budget: &impl Kind) {
        for (slots, limit) in budget.periods() {
            for (index, last) in self.spent.iter().enumerate() {
                let from = match slots {
                    Some((slot, slots)) => last.at.saturating_sub(slot * slots),
                    None => 0,
                };
                let inside = self.spent[..=index].iter().filter(|spent| spent.at >= from);
                let (mut sum, mut beyond) = (0, 0);
                for spent in inside {
                    sum += spent.amount;
                    beyond += spent.amount.saturating_sub(spent.reserved);
                }
                assert!(
                    sum <= limit + beyond,
                    "{sum} of {limit} and {beyond} in slots of {slots:?} until {}",
                    last.at
                );
            }
        }
    }
}

/// The length of a slot, and how many slots back still count.
pub(crate) fn slot_millis(period: Period) -> Option<(u64, u64)> {
    let length = millis(period.length()?);
    let slots = if period == Period::Month { 30 } else { 100 };
    Some((length / slots, slots))
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}
