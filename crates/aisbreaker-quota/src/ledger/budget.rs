//! What a caller reserves of an account, and how much the account may spend.

use std::time::Instant;

use super::period::Period;

/// How much one account may spend per period. A period without a limit is not counted.
///
/// Amounts have whatever unit the caller gives them, such as tokens or nano-dollars. The largest
/// limit is [`Budget::MAX`]. For windows of other lengths, see [`Allowance`](super::Allowance).
///
/// # Examples
///
/// ```
/// use aisbreaker_quota::ledger::{Budget, Period};
///
/// // Cents: 5 dollars per day, 100 in all.
/// const BUDGET: Budget = Budget::unlimited().with(Period::Day, 500).with(Period::Lifetime, 10_000);
/// assert_eq!(BUDGET.of(Period::Day), Some(500));
/// assert_eq!(BUDGET.of(Period::Month), None);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Budget {
    limits: [Option<u64>; 5],
}

impl Budget {
    /// The largest limit: 2^53, up to which a double-precision number is exact too.
    pub const MAX: u64 = 1 << 53;

    /// Creates a budget without any limit.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { limits: [None; 5] }
    }

    /// Returns this budget with the limit of a period replaced; one above [`Budget::MAX`] counts as
    /// that.
    #[must_use]
    pub const fn with(self, period: Period, limit: u64) -> Self {
        let [minute, hour, day, month, lifetime] = self.limits;
        let limit = Some(if limit > Self::MAX { Self::MAX } else { limit });
        let limits = match period {
            Period::Minute => [limit, hour, day, month, lifetime],
            Period::Hour => [minute, limit, day, month, lifetime],
            Period::Day => [minute, hour, limit, month, lifetime],
            Period::Month => [minute, hour, day, limit, lifetime],
            Period::Lifetime => [minute, hour, day, month, limit],
        };
        Self { limits }
    }

    /// Returns the limit of a period, if it has one.
    #[must_use]
    pub const fn of(&self, period: Period) -> Option<u64> {
        let [minute, hour, day, month, lifetime] = self.limits;
        match period {
            Period::Minute => minute,
            Period::Hour => hour,
            Period::Day => day,
            Period::Month => month,
            Period::Lifetime => lifetime,
        }
    }

    /// Iterates over the periods that have a limit, shortest first.
    pub fn iter(&self) -> impl Iterator<Item = (Period, u64)> + '_ {
        let limit = |period| Some((period, self.of(period)?));
        Period::ALL.into_iter().filter_map(limit)
    }
}

/// An amount to reserve of one account.
///
/// `B` is its kind of budget: a [`Budget`], or an [`Allowance`](super::Allowance).
///
/// The account does not store its budget: each decision applies the one it is given. A period
/// counts only what was reserved under a budget that has a limit for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reservation<K, B = Budget> {
    pub(super) account: K,
    pub(super) budget: B,
    pub(super) amount: u64,
    pub(super) keep_until: Option<Instant>,
}

impl<K, B> Reservation<K, B> {
    /// Creates a reservation.
    #[must_use]
    pub const fn new(account: K, budget: B, amount: u64) -> Self {
        Self {
            account,
            budget,
            amount,
            keep_until: None,
        }
    }

    /// Keeps the account until this moment, so that its [`Period::Lifetime`] does not end before.
    /// Without it, and after it, the account is kept for as long as a sliding period counts
    /// something.
    #[must_use]
    pub fn kept_until(self, moment: Instant) -> Self {
        Self {
            keep_until: Some(moment),
            ..self
        }
    }

    /// Returns the account.
    #[must_use]
    pub const fn account(&self) -> &K {
        &self.account
    }

    /// Returns the budget.
    #[must_use]
    pub const fn budget(&self) -> &B {
        &self.budget
    }

    /// Returns the amount.
    #[must_use]
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// Returns until when the account is kept, if that was set.
    #[must_use]
    pub const fn keep_until(&self) -> Option<Instant> {
        self.keep_until
    }
}
