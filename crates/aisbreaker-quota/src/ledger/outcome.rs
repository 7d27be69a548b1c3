//! What a ledger returns: receipts, refusals and balances.

use std::time::Duration;

use super::{budget::Budget, period::Period, policy::BudgetPolicy};
use crate::slots::Moment;

/// Proof that amounts are reserved. [`Ledger::settle`](super::Ledger::settle) consumes it, so that
/// nothing is settled twice; a receipt that is dropped leaves the reservation as it is.
///
/// # Examples
///
/// ```
/// use std::time::Instant;
///
/// use aisbreaker_quota::ledger::{Budget, Ledger, Period, Reservation};
///
/// let now = Instant::now();
/// let ledger = Ledger::new(now, 1_000);
/// let budget = Budget::unlimited().with(Period::Hour, 100);
/// let receipt = ledger.reserve(&[Reservation::new("ada", budget, 80)], now)?;
/// assert_eq!(receipt.iter().collect::<Vec<_>>(), [(&"ada", 80)]);
///
/// ledger.settle(receipt, &[30], now);
/// assert_eq!(ledger.balances(&"ada", &budget, now)[0].remaining, 70);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Eq, PartialEq)]
#[must_use = "what is not settled stays reserved"]
pub struct Receipt<K, B = Budget> {
    pub(super) entries: Vec<Reserved<K, B>>,
}

/// One amount of a receipt.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Reserved<K, B> {
    pub(super) account: K,
    pub(super) budget: B,
    pub(super) amount: u64,
    /// When it was reserved, by the time of the account.
    pub(super) at: Moment,
    /// That of the account.
    pub(super) generation: u64,
}

impl<K, B> Receipt<K, B> {
    /// Iterates over the accounts and what is reserved of each, in the order of the reservations.
    pub fn iter(&self) -> impl Iterator<Item = (&K, u64)> {
        self.entries
            .iter()
            .map(|entry| (&entry.account, entry.amount))
    }
}

/// Why [`Ledger::reserve`](super::Ledger::reserve) refused; nothing was reserved.
#[expect(
    clippy::exhaustive_enums,
    reason = "the server answers every variant, so a new one is a breaking change"
)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BudgetRefusal<B: BudgetPolicy = Budget> {
    /// A budget has too little left. The fields describe the one with the longest wait.
    #[error("budget of {limit} per {} has {remaining} left, {requested} requested", B::per(*.period))]
    Exceeded {
        /// Index of the reservation that the budget belongs to, in the order they were given.
        reservation: usize,
        /// The period of the budget, or the length of the window of the
        /// [`Allowance`](super::Allowance).
        period: B::Period,
        /// The budget.
        limit: u64,
        /// How much of it is left: too little.
        remaining: u64,
        /// The amount that was to be reserved.
        requested: u64,
        /// Time until the same reservations are admitted, provided that nothing else is reserved; at
        /// the latest then, since a settlement may free some earlier. `None`: waiting does not help.
        retry_after: Option<Duration>,
    },
    /// The amount is above a budget, so that it never fits. The fields describe the first such
    /// budget.
    #[error("{requested} requested, above the budget of {limit} per {}", B::per(*.period))]
    TooLarge {
        /// Index of the reservation that the budget belongs to, in the order they were given.
        reservation: usize,
        /// The period of the budget, or the length of the window of the
        /// [`Allowance`](super::Allowance).
        period: B::Period,
        /// The budget.
        limit: u64,
        /// The amount that was to be reserved.
        requested: u64,
    },
    /// The ledger has as many accounts as its capacity, and none for one of the reservations.
    #[error("the ledger has no room for another account")]
    Full,
}

/// One budget of an account at the moment of a call.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Balance<P = Period> {
    /// The period of the budget, or the length of the window of the [`Allowance`](super::Allowance).
    pub period: P,
    /// The budget.
    pub limit: u64,
    /// What is settled and reserved. It may be above the limit after a settlement for more than was
    /// reserved.
    pub used: u64,
    /// What is left.
    pub remaining: u64,
    /// Time until the oldest amount leaves the period; zero if nothing is used, `None` for
    /// [`Period::Lifetime`].
    pub reset: Option<Duration>,
}
