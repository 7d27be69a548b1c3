//! Random histories of reservations and settlements, played to a subject and to the reference.

use std::time::Duration;

use aisbreaker_quota::ledger::{Budget, BudgetRefusal, Period};
use proptest::prelude::*;

use super::model::{ACCOUNTS, Kind, Model, Spent};

/// What histories are played to. Times are in units since an epoch at which slots of all
/// periods begin.
pub(crate) trait Subject {
    /// Whether refusals and reads move the time of an account forward.
    const READS_ADVANCE: bool;
    /// Whether balances are cheap enough to be compared after every step.
    const CHECKS_EVERY_STEP: bool;
    /// Up to which amount balances are exact. Beyond it, they only have to be beyond it too.
    const EXACT_UP_TO: u64;
    /// The kind of budgets.
    type Budget: Kind;
    /// Proof that amounts are reserved.
    type Receipt;

    /// Reserves amounts of accounts that are kept for good where asked.
    fn reserve(
        &mut self,
        amounts: &[(usize, Self::Budget, u64, bool)],
        now: u64,
    ) -> Result<Self::Receipt, BudgetRefusal<Self::Budget>>;

    fn settle(&mut self, receipt: Self::Receipt, used: &[u64], now: u64);

    /// Drops a receipt.
    fn lose(&mut self, receipt: Self::Receipt) {
        drop(receipt);
    }

    /// Returns what counts in every period of the budget, shortest first.
    fn used(&self, account: usize, budget: &Self::Budget, now: u64) -> Vec<u64>;

    /// Returns how many accounts there may be.
    fn capacity(&self) -> usize;

    /// Frees idle accounts.
    fn sweep(&mut self, now: u64);

    /// Goes on in another process.
    fn restart(&mut self, now: u64);
}

/// What was used of a reservation.
#[derive(Clone, Debug)]
pub(crate) enum Used {
    /// This share of it.
    Hundredths(u64),
    /// The most that a settlement may say.
    Everything,
}

/// One step of a history.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Changes the clock by this many units.
    Clock(i64),
    /// Reserves an amount of each account that has one.
    Reserve([Option<u64>; ACCOUNTS]),
    /// Settles one of the open receipts.
    Settle(prop::sample::Index, Used),
    /// Loses one of the open receipts.
    Lose(prop::sample::Index),
    /// Frees idle accounts.
    Sweep,
    /// Continues in another ledger, as after a restart: all receipts are lost.
    Restart,
}

/// Histories in which the clock may step back, or accounts may be freed, but not both: then the
/// reference would have to know which accounts share a lock.
pub(crate) fn steps() -> impl Strategy<Value = (bool, Vec<Step>)> {
    any::<bool>().prop_flat_map(|steps_back| {
        let step = step(steps_back);
        (Just(steps_back), prop::collection::vec(step, 1..50))
    })
}

fn step(steps_back: bool) -> impl Strategy<Value = Step> {
    let clock = prop_oneof![
        6 => 0_i64..2_000,
        5 => 0_i64..70_000,
        4 => 0_i64..4_000_000,
        3 => 0_i64..100_000_000,
        1 => 0_i64..4_000_000_000,
        u32::from(steps_back) => -100_000_i64..0,
    ];
    step_with(clock, steps_back)
}

/// Steps with a clock that changes like this.
pub(crate) fn step_with(
    clock: impl Strategy<Value = i64>,
    steps_back: bool,
) -> impl Strategy<Value = Step> {
    let used = prop_oneof![
        12 => prop_oneof![Just(0), 0_u64..100, Just(100), 100_u64..300].prop_map(Used::Hundredths),
        1 => Just(Used::Everything),
    ];
    let amount = prop::option::of(prop_oneof![0_u64..60, 0_u64..1_200]);
    prop_oneof![
        5 => clock.prop_map(Step::Clock),
        8 => prop::array::uniform4(amount).prop_map(Step::Reserve),
        6 => (any::<prop::sample::Index>(), used)
            .prop_map(|(receipt, used)| Step::Settle(receipt, used)),
        1 => any::<prop::sample::Index>().prop_map(Step::Lose),
        u32::from(!steps_back) => Just(Step::Sweep),
        1 => Just(Step::Restart),
    ]
}

pub(crate) fn budgets() -> impl Strategy<Value = [Budget; ACCOUNTS]> {
    let limits = prop::array::uniform5(prop::option::weighted(0.6, 1_u64..3_000));
    let budget = limits.prop_map(|limits| {
        Period::ALL
            .into_iter()
            .zip(limits)
            .fold(Budget::unlimited(), |budget, (period, limit)| match limit {
                Some(limit) => budget.with(period, limit),
                None => budget,
            })
    });
    prop::array::uniform4(budget)
}

/// A subject and its reference.
pub(crate) struct History<S: Subject> {
    subject: S,
    budgets: [S::Budget; ACCOUNTS],
    models: [Model; ACCOUNTS],
    now: u64,
    /// When the latest restart was. Before it, the clock of a restarted ledger stands still.
    restarted: u64,
    /// Whether accounts are kept although they are idle.
    keeps_all: bool,
    open: Vec<Open<S::Receipt>>,
}

/// A receipt, and where its entries are in the reference.
struct Open<R> {
    receipt: R,
    entries: Vec<(usize, usize)>,
}

impl<S: Subject> History<S> {
    /// Plays the steps, and checks the subject against the reference.
    pub(crate) fn play(
        subject: S,
        budgets: [S::Budget; ACCOUNTS],
        keeps_all: bool,
        steps: &[Step],
    ) {
        let mut history = Self {
            subject,
            budgets,
            models: Default::default(),
            // At the epoch itself, no account is idle yet.
            now: 1,
            restarted: 0,
            keeps_all,
            open: Vec::new(),
        };
        for step in steps {
            history.take(step);
            if S::CHECKS_EVERY_STEP {
                history.check_balances();
            }
        }
        history.check_balances();
        // What is not settled may still be spent as a whole.
        for (model, budget) in history.models.iter().zip(&budgets) {
            model.assert_spending_is_within(budget);
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Clock(change) => {
                self.now = self.now.saturating_add_signed(*change).max(self.restarted);
            }
            Step::Reserve(amounts) => self.reserve(amounts),
            Step::Settle(index, used) if !self.open.is_empty() => {
                let open = self.open.swap_remove(index.index(self.open.len()));
                self.settle(open, used);
            }
            Step::Lose(index) if !self.open.is_empty() => {
                let open = self.open.swap_remove(index.index(self.open.len()));
                self.subject.lose(open.receipt);
            }
            Step::Settle(..) | Step::Lose(_) => {}
            Step::Sweep => {
                self.subject.sweep(self.now);
                self.free_idle_accounts();
            }
            Step::Restart => {
                self.subject.restart(self.now);
                self.free_idle_accounts();
                self.restarted = self.now;
                self.open.clear();
            }
        }
    }

    /// Whether an account stays after nothing in it counts.
    fn is_kept(&self, account: usize) -> bool {
        self.keeps_all || self.budgets[account].has_lifetime()
    }

    fn free_idle_accounts(&mut self) {
        for account in 0..ACCOUNTS {
            if !self.is_kept(account) {
                let budget = self.budgets[account];
                self.models[account].free_if_idle(&budget, self.now);
            }
        }
    }

    /// Whether there is room for those of the accounts that do not exist.
    fn has_room(&self, asked: &[(usize, u64)]) -> bool {
        let existing = self.models.iter().filter(|model| model.exists).count();
        let is_new = |(account, _): &&(usize, u64)| !self.models[*account].exists;
        let new = asked.iter().filter(is_new).count();
        new == 0 || existing + new <= self.subject.capacity()
    }

    /// The time of an account.
    fn time_of(&self, account: usize) -> u64 {
        self.models[account].latest.max(self.now)
    }

    fn reserve(&mut self, amounts: &[Option<u64>; ACCOUNTS]) {
        let asked: Vec<(usize, u64)> = (0..ACCOUNTS)
            .filter_map(|account| Some((account, amounts[account]?)))
            .collect();
        let reservation = |(account, amount): &(usize, u64)| {
            let is_kept = self.is_kept(*account);
            (*account, self.budgets[*account], *amount, is_kept)
        };
        let reservations: Vec<_> = asked.iter().map(reservation).collect();
        let is_too_large = reservations.iter().any(|(_, budget, amount, _)| {
            let periods = budget.periods();
            periods.iter().any(|(_, limit)| amount > limit)
        });
        let fits = asked.iter().all(|(account, amount)| {
            let now = self.time_of(*account);
            self.models[*account].fits(&self.budgets[*account], *amount, now)
        });
        let has_room = self.has_room(&asked);
        let answer = self.subject.reserve(&reservations, self.now);
        for (account, _) in &asked {
            // An account that nobody has spent from is not kept after a refusal.
            let model = &mut self.models[*account];
            let sees_refusal = S::READS_ADVANCE && !is_too_large && !model.spent.is_empty();
            if answer.is_ok() || sees_refusal {
                model.see(self.now);
            }
        }
        match answer {
            Ok(receipt) => {
                assert!(fits && has_room && !is_too_large, "admitted {asked:?}");
                let mut entries = Vec::new();
                for (account, amount) in asked {
                    let model = &mut self.models[account];
                    model.exists = true;
                    entries.push((account, model.spent.len()));
                    model.spent.push(Spent {
                        at: model.latest,
                        reserved: amount,
                        amount,
                    });
                }
                self.open.push(Open { receipt, entries });
            }
            Err(BudgetRefusal::Exceeded { retry_after, .. }) => {
                assert!(!fits, "refused {asked:?}");
                self.check_wait(&asked, retry_after);
            }
            Err(BudgetRefusal::TooLarge { .. }) => assert!(is_too_large, "refused {asked:?}"),
            Err(BudgetRefusal::Full) => {
                assert!(fits && !has_room && !is_too_large, "no room for {asked:?}");
            }
        }
    }

    /// Checks that the same is refused right before the wait is over, and fits then.
    fn check_wait(&self, asked: &[(usize, u64)], wait: Option<Duration>) {
        let fits_after = |wait: Duration| {
            let units = wait.as_nanos() / S::Budget::UNIT.as_nanos();
            let wait = u64::try_from(units).unwrap();
            asked.iter().all(|(account, amount)| {
                let at = self.time_of(*account) + wait;
                self.models[*account].fits(&self.budgets[*account], *amount, at)
            })
        };
        match wait {
            // The times of the accounts may differ after steps back: each waits by its own.
            Some(wait) => {
                let used = asked
                    .iter()
                    .filter(|(a, _)| !self.models[*a].spent.is_empty());
                let times: Vec<u64> = used.map(|(account, _)| self.time_of(*account)).collect();
                if times.iter().all(|time| *time == times[0]) {
                    assert!(fits_after(wait), "{wait:?}");
                    let before = wait.checked_sub(S::Budget::UNIT).unwrap();
                    assert!(!fits_after(before), "{wait:?}");
                }
            }
            None => assert!(!fits_after(Duration::from_secs(400 * 86_400))),
        }
    }

    fn settle(&mut self, open: Open<S::Receipt>, used_of_each: &Used) {
        let mut used = Vec::new();
        for (account, index) in &open.entries {
            let model = &mut self.models[*account];
            model.see(self.now);
            let spent = &mut model.spent[*index];
            spent.amount = match used_of_each {
                Used::Hundredths(hundredths) => spent.reserved * hundredths / 100,
                Used::Everything => Budget::MAX,
            };
            used.push(spent.amount);
        }
        self.subject.settle(open.receipt, &used, self.now);
    }

    fn check_balances(&mut self) {
        for (account, model) in self.models.iter_mut().enumerate() {
            if S::READS_ADVANCE && !model.spent.is_empty() {
                model.see(self.now);
            }
            let now = model.latest.max(self.now);
            let budget = &self.budgets[account];
            let mut used = self.subject.used(account, budget, self.now);
            let periods = budget.periods().into_iter();
            let mut expected: Vec<u64> = periods.map(|(slots, _)| model.used(slots, now)).collect();
            for amount in used.iter_mut().chain(&mut expected) {
                *amount = (*amount).min(S::EXACT_UP_TO);
            }
            assert_eq!(used, expected, "account {account} at {now}");
        }
    }
}
