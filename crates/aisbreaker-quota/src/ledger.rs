//! Budgets: amounts that are reserved before they are spent, and settled to what was spent.
//!
//! A [`Ledger`] counts per account and [`Period`], or per window of any length with an [`Allowance`]. [`Ledger::reserve`] takes amounts of several
//! accounts, all or none; [`Ledger::settle`] replaces them by what was really used, **in the slot of
//! the reservation**. An amount therefore leaves its period when the request was admitted so long
//! ago, not when it ended: what requests that are admitted in one period spend in the end is never
//! more than its budget, as long as none spends more than it has reserved.

mod account;
mod allowance;
mod budget;
mod outcome;
mod packed;
mod period;
mod policy;
mod shards;
mod snapshot;

use std::hash::Hash;
use std::time::{Duration, Instant};

pub(crate) use self::account::Account;
use self::{
    account::Shortage,
    outcome::Reserved,
    shards::{Locked, Name, Shards},
};
pub use self::{
    allowance::Allowance,
    budget::{Budget, Reservation},
    outcome::{Balance, BudgetRefusal, Receipt},
    period::Period,
    policy::BudgetPolicy,
};
use crate::slots::{Epoch, Moment};

/// Budgets of many accounts in memory.
///
/// `B` is the kind of budgets that it applies: a [`Budget`], or an [`Allowance`] for windows of other
/// lengths. The first reservation tells the compiler which.
///
/// Threads share a ledger by reference, since every method takes `&self`.
///
/// # Guarantees
/// - **Admission.** At every decision, what is settled, what is reserved and what is asked for are
///   within every budget of the decision, or nothing is reserved.
/// - **Spending.** In no interval as long as a period do the reservations made in it come, once
///   settled, to more than the budget and what they used beyond their reservations.
/// - **Release.** A settlement frees only what was reserved and not used, once, in the slot of the
///   reservation.
/// - **Failure is stricter.** A receipt that is lost leaves its reservation as it is.
/// - **Any clock.** For an account, time never runs backwards.
/// - **Bounded memory.** At most `capacity` accounts are kept, each in up to 7 kB. With allowances,
///   each window of an account counts as one, in up to 2.5 kB. Beyond the capacity, a reservation of
///   a new account is refused.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use aisbreaker_quota::ledger::{Budget, BudgetRefusal, Ledger, Period, Reservation};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let now = Instant::now();
/// let ledger = Ledger::new(now, 1_000);
/// let budget = Budget::unlimited().with(Period::Day, 100);
///
/// // 80 may be needed, 30 are used.
/// let receipt = ledger.reserve(&[Reservation::new("ada", budget, 80)], now)?;
/// assert!(ledger.reserve(&[Reservation::new("ada", budget, 21)], now).is_err());
/// ledger.settle(receipt, &[30], now);
///
/// let receipt = ledger.reserve(&[Reservation::new("ada", budget, 70)], now)?;
/// // More than was reserved counts as well, and the next ones wait.
/// ledger.settle(receipt, &[90], now);
/// let refusal = ledger.reserve(&[Reservation::new("ada", budget, 1)], now);
/// assert!(matches!(refusal, Err(BudgetRefusal::Exceeded { remaining: 0, .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Ledger<K, B: BudgetPolicy = Budget> {
    epoch: Epoch,
    shards: Shards<K, B>,
}

impl<K: Clone + Eq + Hash, B: BudgetPolicy> Ledger<K, B> {
    /// Creates a ledger of at most `capacity` accounts.
    ///
    /// `epoch` is where the grid of slots begins: any moment not after the first `now`.
    #[must_use]
    pub fn new(epoch: Instant, capacity: usize) -> Self {
        Self {
            epoch: Epoch::new(epoch, Moment::ZERO),
            shards: Shards::new(capacity),
        }
    }

    /// Reserves every amount, or none.
    ///
    /// Two reservations of one account need room for both. Allowances with windows of different lengths
    /// have accounts of their own. Periods without a limit are not counted.
    ///
    /// # Errors
    /// [`BudgetRefusal`], with nothing reserved.
    pub fn reserve(
        &self,
        reservations: &[Reservation<K, B>],
        now: Instant,
    ) -> Result<Receipt<K, B>, BudgetRefusal<B>> {
        let name = |one| Reservation::name(one);
        let accounts: Vec<Name<'_, K, B>> = reservations.iter().map(name).collect();
        let needed = needed(&accounts, reservations);
        if let Some(refusal) = too_large(reservations, &needed) {
            return Err(refusal);
        }
        let moment = self.epoch.moment(now);
        let mut locked = self.shards.lock(accounts.iter().copied());
        if let Some(refusal) = refusal(&mut locked, (reservations, &needed), moment) {
            return Err(refusal);
        }
        if !locked.create(accounts.iter().copied(), moment) {
            return Err(BudgetRefusal::Full);
        }
        let mut entries = Vec::with_capacity(reservations.len());
        for reservation in reservations {
            let Some(account) = locked.known(reservation.name()) else {
                continue;
            };
            account.add(&reservation.budget, reservation.amount);
            if let Some(until) = reservation.keep_until {
                account.keep(self.epoch.moment(until));
            }
            entries.push(Reserved {
                account: reservation.account.clone(),
                budget: reservation.budget,
                amount: reservation.amount,
                at: account.latest,
                generation: account.generation,
            });
        }
        Ok(Receipt { entries })
    }

    /// Replaces what was reserved by what was used: `used` has an amount for each reservation, in
    /// their order; one that is missing leaves its reservation as it is.
    ///
    /// The amounts change in the slots of the reservation. A period that has slid past them is left
    /// as it is. More than was reserved counts too, even beyond the budget.
    pub fn settle(&self, receipt: Receipt<K, B>, used: &[u64], now: Instant) {
        let now = self.epoch.moment(now);
        for (entry, used) in receipt.entries.into_iter().zip(used) {
            let name = (&entry.account, entry.budget.window());
            let mut locked = self.shards.lock([name]);
            if let Some(account) = locked.known(name) {
                account.advance(now);
                let place = (entry.at, entry.generation);
                account.replace(&entry.budget, place, entry.amount, *used);
            }
        }
    }

    /// Returns the balance of every budget of an account, shortest period first.
    pub fn balances(&self, account: &K, budget: &B, now: Instant) -> Vec<Balance<B::Period>> {
        let now = self.epoch.moment(now);
        let name = (account, budget.window());
        let mut locked = self.shards.lock([name]);
        if let Some(account) = locked.known(name) {
            account.advance(now);
        }
        let known = locked.find(name);
        balances_of(known, budget)
    }

    /// Frees the idle accounts in the next part of the ledger, and returns how many it freed. Call it
    /// at an even pace: [`sweep_steps`](Self::sweep_steps) calls visit every account once.
    pub fn sweep(&self, now: Instant) -> usize {
        self.shards.sweep(self.epoch.moment(now))
    }

    /// Returns how many calls of [`sweep`](Self::sweep) visit every account once.
    #[must_use]
    pub fn sweep_steps(&self) -> usize {
        self.shards.count()
    }

    /// Returns the number of accounts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Reports whether there is no account.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Clone + Eq + Hash> Ledger<K> {
    /// Returns the total of an account in [`Period::Lifetime`]: what is settled and reserved.
    pub fn lifetime_total(&self, account: &K) -> u64 {
        let locked = self.shards.lock([(account, ())]);
        let known = locked.find((account, ()));
        known.map_or(0, |account| account.used(Period::Lifetime))
    }

    /// Raises the total of an account in [`Period::Lifetime`] to `total`, if it is less, and keeps
    /// the account until `keep_until` at least. No other period changes.
    ///
    /// This is for a ledger that was restored, before its first reservation: for what is known to
    /// have been spent, or may have been, since the snapshot. An account that does not exist is
    /// created, even beyond the capacity.
    pub fn raise_lifetime_total(&self, account: &K, total: u64, now: Instant, keep_until: Instant) {
        let now = self.epoch.moment(now);
        let mut locked = self.shards.lock([(account, ())]);
        if let Some(account) = locked.known_or_new((account, ()), now) {
            account.advance(now);
            account.raise_lifetime(total);
            account.keep(self.epoch.moment(keep_until));
        }
    }
}

impl<K, B: BudgetPolicy> Reservation<K, B> {
    /// Returns what names the account.
    fn name(&self) -> Name<'_, K, B> {
        (&self.account, self.budget.window())
    }
}

/// Returns the refusal with the longest wait, if a budget has too little left.
fn refusal<K: Clone + Eq + Hash, B: BudgetPolicy>(
    locked: &mut Locked<'_, K, B>,
    (reservations, needed): (&[Reservation<K, B>], &[u64]),
    now: Moment,
) -> Option<BudgetRefusal<B>> {
    for reservation in reservations {
        if let Some(account) = locked.known(reservation.name()) {
            account.advance(now);
        }
    }
    let known = |index: usize| locked.find(reservations.get(index)?.name());
    refusal_of(reservations, needed, known)
}

/// Returns the refusal with the longest wait, if a budget has too little left of what is [`needed`].
/// `account_of` returns the account of a reservation by its index; one that does not exist has spent
/// nothing.
pub(crate) fn refusal_of<'a, K, B: BudgetPolicy + 'a>(
    reservations: &[Reservation<K, B>],
    needed: &[u64],
    account_of: impl Fn(usize) -> Option<&'a Account<B>>,
) -> Option<BudgetRefusal<B>> {
    let mut longest = None;
    for (index, (reservation, needed)) in reservations.iter().zip(needed).enumerate() {
        let Some(account) = account_of(index) else {
            continue;
        };
        if let Some(shortage) = account.shortage(&reservation.budget, *needed) {
            let exceeded = exceeded(index, reservation.amount, &shortage);
            longest = Some(longer(longest, exceeded));
        }
    }
    longest
}

/// Returns the balance of every budget of an account; one that does not exist has spent nothing.
pub(crate) fn balances_of<B: BudgetPolicy>(
    account: Option<&Account<B>>,
    budget: &B,
) -> Vec<Balance<B::Period>> {
    let balance = |(period, limit): (B::Period, u64)| {
        let used = account.map_or(0, |account| account.used(period));
        let of_none = B::index(period).map(|_sliding| Duration::ZERO);
        Balance {
            period,
            limit,
            used,
            remaining: limit.saturating_sub(used),
            reset: account.map_or(of_none, |account| account.reset(period)),
        }
    };
    budget.limits().map(balance).collect()
}

/// Returns for each reservation what it and those before it need of its account. `accounts` has
/// something for each that is equal where the account is the same.
pub(crate) fn needed<A: Eq, K, B>(accounts: &[A], reservations: &[Reservation<K, B>]) -> Vec<u64> {
    let pairs = || accounts.iter().zip(reservations);
    let needed = |(index, (account, reservation)): (usize, (&A, &Reservation<K, B>))| {
        let same = pairs()
            .take(index)
            .filter(|(earlier, _)| *earlier == account);
        same.fold(reservation.amount, |sum, (_, earlier)| {
            sum.saturating_add(earlier.amount)
        })
    };
    pairs().enumerate().map(needed).collect()
}

/// Returns the refusal for the first budget below what is [`needed`] of it.
pub(crate) fn too_large<K, B: BudgetPolicy>(
    reservations: &[Reservation<K, B>],
    needed: &[u64],
) -> Option<BudgetRefusal<B>> {
    for (index, (reservation, needed)) in reservations.iter().zip(needed).enumerate() {
        for (period, limit) in reservation.budget.limits() {
            if *needed > limit {
                return Some(BudgetRefusal::TooLarge {
                    reservation: index,
                    period,
                    limit,
                    requested: *needed,
                });
            }
        }
    }
    None
}

fn exceeded<B: BudgetPolicy>(
    reservation: usize,
    requested: u64,
    shortage: &Shortage<B::Period>,
) -> BudgetRefusal<B> {
    BudgetRefusal::Exceeded {
        reservation,
        period: shortage.period,
        limit: shortage.limit,
        remaining: shortage.limit.saturating_sub(shortage.used),
        requested,
        retry_after: shortage.wait,
    }
}

/// Returns the refusal with the longer wait; no wait is the longest.
fn longer<B: BudgetPolicy>(
    known: Option<BudgetRefusal<B>>,
    other: BudgetRefusal<B>,
) -> BudgetRefusal<B> {
    let wait = |refusal: &BudgetRefusal<B>| match refusal {
        BudgetRefusal::Exceeded { retry_after, .. } => *retry_after,
        BudgetRefusal::TooLarge { .. } | BudgetRefusal::Full => None,
    };
    match known {
        Some(known) => match (wait(&known), wait(&other)) {
            (None, _) => known,
            (Some(_), None) => other,
            (Some(one), Some(two)) if two > one => other,
            (Some(_), Some(_)) => known,
        },
        None => other,
    }
}
