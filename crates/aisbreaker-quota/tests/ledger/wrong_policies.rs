//! The histories find what is wrong: a release at the time of the settlement instead of in the slot
//! of the reservation, a release that happens twice, and others that were easy to get wrong.

use std::time::Duration;

use aisbreaker_quota::ledger::{Budget, BudgetRefusal, Period};
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use crate::{
    history::{History, Subject, budgets, steps},
    model::{ACCOUNTS, slot_millis},
};

/// What a settlement does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Policy {
    /// Changes the amount in the slot of the reservation. Nothing is wrong with it.
    InSlot,
    /// Counts the difference at the time of the settlement.
    Now,
    /// Releases in the slot of the reservation what was not used, twice.
    Twice,
    /// Releases in the slot of the reservation, but does not count what was used beyond it.
    NeverMore,
    /// Releases reservations that were lost, as if nothing had been used.
    ForgetsTheLost,
}

/// A ledger that is a list of numbers which count since some time.
struct Listed {
    policy: Policy,
    latest: [u64; ACCOUNTS],
    amounts: Vec<Listing>,
}

struct Listing {
    account: usize,
    at: u64,
    amount: i128,
}

/// Which listings it has.
type Receipt = Vec<usize>;

impl Listed {
    fn time_of(&self, account: usize, now: u64) -> u64 {
        self.latest[account].max(now)
    }

    fn used_of(&self, account: usize, period: Period, now: u64) -> i128 {
        let counts = |listing: &&Listing| {
            let is_near = slot_millis(period)
                .is_none_or(|(slot, reach)| now / slot <= listing.at / slot + reach);
            listing.account == account && is_near
        };
        let amounts = self.amounts.iter().filter(counts);
        amounts.map(|listing| listing.amount).sum()
    }

    /// Whether everything fits after this wait.
    fn fits(&self, amounts: &[(usize, Budget, u64, bool)], now: u64, wait: u64) -> bool {
        amounts.iter().all(|(account, budget, amount, _)| {
            let at = self.time_of(*account, now) + wait;
            budget.iter().all(|(period, limit)| {
                self.used_of(*account, period, at) + i128::from(*amount) <= i128::from(limit)
            })
        })
    }

    /// Returns the wait after which everything fits.
    fn wait(&self, amounts: &[(usize, Budget, u64, bool)], now: u64) -> Option<Duration> {
        let mut waits = Vec::new();
        for listing in &self.amounts {
            for (slot, reach) in Period::ALL.into_iter().filter_map(slot_millis) {
                let leaves = (listing.at / slot + reach + 1) * slot;
                waits.extend(leaves.checked_sub(self.time_of(listing.account, now)));
            }
        }
        waits.sort_unstable();
        let first = waits
            .into_iter()
            .find(|wait| self.fits(amounts, now, *wait));
        first.map(Duration::from_millis)
    }
}

impl Subject for Listed {
    const READS_ADVANCE: bool = false;
    const CHECKS_EVERY_STEP: bool = true;
    const EXACT_UP_TO: u64 = u64::MAX;
    type Budget = Budget;
    type Receipt = Receipt;

    fn reserve(
        &mut self,
        amounts: &[(usize, Budget, u64, bool)],
        now: u64,
    ) -> Result<Receipt, BudgetRefusal> {
        for (account, budget, requested, _) in amounts {
            if let Some((period, limit)) = budget.iter().find(|(_, limit)| requested > limit) {
                return Err(BudgetRefusal::TooLarge {
                    reservation: *account,
                    period,
                    limit,
                    requested: *requested,
                });
            }
        }
        if !self.fits(amounts, now, 0) {
            return Err(BudgetRefusal::Exceeded {
                reservation: 0,
                period: Period::Minute,
                limit: 0,
                remaining: 0,
                requested: 0,
                retry_after: self.wait(amounts, now),
            });
        }
        let mut receipt = Vec::new();
        for (account, _, amount, _) in amounts {
            let at = self.time_of(*account, now);
            self.latest[*account] = at;
            receipt.push(self.amounts.len());
            self.amounts.push(Listing {
                account: *account,
                at,
                amount: i128::from(*amount),
            });
        }
        Ok(receipt)
    }

    fn settle(&mut self, receipt: Receipt, used: &[u64], now: u64) {
        for (index, used) in receipt.into_iter().zip(used) {
            let Listing { account, at, .. } = self.amounts[index];
            self.latest[account] = self.time_of(account, now);
            let amount = &mut self.amounts[index].amount;
            let change = i128::from(*used) - *amount;
            match self.policy {
                Policy::InSlot | Policy::ForgetsTheLost => *amount += change,
                Policy::Twice => *amount += change + change.min(0),
                Policy::NeverMore => *amount += change.min(0),
                Policy::Now => self.amounts.push(Listing {
                    account,
                    at: self.latest[account].max(at),
                    amount: change,
                }),
            }
        }
    }

    fn lose(&mut self, receipt: Receipt) {
        if self.policy == Policy::ForgetsTheLost {
            for index in receipt {
                self.amounts[index].amount = 0;
            }
        }
    }

    fn used(&self, account: usize, budget: &Budget, now: u64) -> Vec<u64> {
        let now = self.time_of(account, now);
        let used = |(period, _)| self.used_of(account, period, now).max(0);
        let used = budget.iter().map(used);
        used.map(|used| u64::try_from(used).unwrap()).collect()
    }

    fn capacity(&self) -> usize {
        ACCOUNTS
    }

    fn sweep(&mut self, _now: u64) {}

    fn restart(&mut self, _now: u64) {}
}

/// Plays histories until one fails, and returns why it did.
fn failure_of(policy: Policy) -> Option<String> {
    let config = Config {
        cases: 1_000,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let played = runner.run(&(budgets(), steps()), |(budgets, (steps_back, steps))| {
        let listed = Listed {
            policy,
            latest: [0; ACCOUNTS],
            amounts: Vec::new(),
        };
        History::play(listed, budgets, steps_back, &steps);
        Ok(())
    });
    match played {
        Ok(()) => None,
        Err(TestError::Fail(why, _)) => Some(why.to_string()),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

#[test]
fn histories_accept_a_settlement_in_the_slot_of_the_reservation() {
    assert_eq!(failure_of(Policy::InSlot), None);
}

#[test]
fn histories_find_every_wrong_settlement() {
    for policy in [
        Policy::Now,
        Policy::Twice,
        Policy::NeverMore,
        Policy::ForgetsTheLost,
    ] {
        assert!(failure_of(policy).is_some(), "{policy:?}");
    }
}
