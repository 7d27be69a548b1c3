//! Random histories of reservations and settlements, against the reference.

use std::time::{Duration, Instant};

use aisbreaker_quota::ledger::{Budget, BudgetRefusal, Ledger, Period, Receipt, Reservation};
use proptest::prelude::*;

use crate::model::{ACCOUNTS, Model, Spent, some_instant};

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// Changes the clock by this many milliseconds.
    Clock(i64),
    /// Reserves an amount of each account that has one.
    Reserve([Option<u64>; ACCOUNTS]),
    /// Settles one of the open receipts, by its share of the list, to this share of what it has, in
    /// hundredths.
    Settle(prop::sample::Index, u64),
    /// Loses one of the open receipts.
    Lose(prop::sample::Index),
    /// Frees idle accounts.
    Sweep,
    /// Continues in another ledger, as after a restart: all receipts are lost.
    Restart,
}

/// Histories in which the clock may step back, or accounts may be freed, but not both: then the
/// reference would have to know which accounts share a lock.
fn steps() -> impl Strategy<Value = (bool, Vec<Step>)> {
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
    let amount = prop::option::of(prop_oneof![0_u64..60, 0_u64..1_200]);
    prop_oneof![
        5 => clock.prop_map(Step::Clock),
        8 => prop::array::uniform4(amount).prop_map(Step::Reserve),
        6 => (any::<prop::sample::Index>(), prop_oneof![Just(0), 0_u64..100, Just(100), 100_u64..300])
            .prop_map(|(receipt, share)| Step::Settle(receipt, share)),
        1 => any::<prop::sample::Index>().prop_map(Step::Lose),
        u32::from(!steps_back) => Just(Step::Sweep),
        1 => Just(Step::Restart),
    ]
}

fn budgets() -> impl Strategy<Value = [Budget; ACCOUNTS]> {
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

/// A ledger and its reference.
struct History {
    epoch: Instant,
    ledger: Ledger<usize>,
    budgets: [Budget; ACCOUNTS],
    models: [Model; ACCOUNTS],
    now: u64,
    /// When the latest restart was. Before it, the clock of the ledger stands still.
    restarted: u64,
    /// Whether accounts are kept although they are idle.
    keeps_all: bool,
    open: Vec<Open>,
}

/// A receipt, and where its entries are in the reference.
struct Open {
    receipt: Receipt<usize>,
    entries: Vec<(usize, usize)>,
}

impl History {
    fn new(budgets: [Budget; ACCOUNTS], keeps_all: bool) -> Self {
        let epoch = some_instant();
        Self {
            epoch,
            ledger: Ledger::new(epoch, ACCOUNTS),
            budgets,
            models: Default::default(),
            now: 0,
            restarted: 0,
            keeps_all,
            open: Vec::new(),
        }
    }

    fn instant(&self, millis: u64) -> Instant {
        self.epoch + Duration::from_millis(millis)
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Clock(change) => {
                self.now = self.now.saturating_add_signed(*change).max(self.restarted);
            }
            Step::Reserve(amounts) => self.reserve(amounts),
            Step::Settle(index, hundredths) if !self.open.is_empty() => {
                let open = self.open.swap_remove(index.index(self.open.len()));
                self.settle(open, *hundredths);
            }
            Step::Lose(index) if !self.open.is_empty() => {
                let lost = self.open.swap_remove(index.index(self.open.len()));
                drop(lost);
            }
            Step::Settle(..) | Step::Lose(_) => {}
            Step::Sweep => {
                for _ in 0..self.ledger.sweep_steps() {
                    self.ledger.sweep(self.instant(self.now));
                }
            }
            Step::Restart => self.restart(),
        }
        self.check_balances();
    }

    fn reserve(&mut self, amounts: &[Option<u64>; ACCOUNTS]) {
        let asked: Vec<(usize, u64)> = (0..ACCOUNTS)
            .filter_map(|account| Some((account, amounts[account]?)))
            .collect();
        let forever = self.instant(1 << 42);
        let reservation = |(account, amount): &(usize, u64)| {
            let budget = self.budgets[*account];
            let reservation = Reservation::new(*account, budget, *amount);
            match self.keeps_all || budget.of(Period::Lifetime).is_some() {
                true => reservation.kept_until(forever),
                false => reservation,
            }
        };
        let reservations: Vec<_> = asked.iter().map(reservation).collect();
        let answer = self.ledger.reserve(&reservations, self.instant(self.now));
        let is_too_large = asked.iter().any(|(account, amount)| {
            self.budgets[*account]
                .iter()
                .any(|(_, limit)| *amount > limit)
        });
        if is_too_large {
            assert!(
                matches!(answer, Err(BudgetRefusal::TooLarge { .. })),
                "{answer:?}"
            );
            return;
        }
        for (account, _) in &asked {
            // An account that nobody has spent from is not kept after a refusal.
            if answer.is_ok() || !self.models[*account].spent.is_empty() {
                self.models[*account].see(self.now);
            }
        }
        let fits = asked.iter().all(|(account, amount)| {
            let model = &self.models[*account];
            model.fits(&self.budgets[*account], *amount, model.latest.max(self.now))
        });
        match answer {
            Ok(receipt) => {
                assert!(fits, "admitted {asked:?}");
                let mut entries = Vec::new();
                for (account, amount) in asked {
                    let model = &mut self.models[account];
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
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Checks that the same is refused right before the wait is over, and fits then.
    fn check_wait(&self, asked: &[(usize, u64)], wait: Option<Duration>) {
        let fits_after = |wait: Duration| {
            let wait = u64::try_from(wait.as_millis()).unwrap();
            asked.iter().all(|(account, amount)| {
                let model = &self.models[*account];
                model.fits(&self.budgets[*account], *amount, model.latest + wait)
            })
        };
        match wait {
            // The clocks of the accounts may differ after steps back: each waits by its own.
            Some(wait) => {
                let models = asked.iter().map(|(account, _)| &self.models[*account]);
                let used = models.filter(|model| !model.spent.is_empty());
                let clocks: Vec<u64> = used.map(|model| model.latest).collect();
                if clocks.iter().all(|clock| *clock == clocks[0]) {
                    assert!(fits_after(wait), "{wait:?}");
                    let before = wait.checked_sub(Duration::from_millis(1)).unwrap();
                    assert!(!fits_after(before), "{wait:?}");
                }
            }
            None => assert!(!fits_after(Duration::from_secs(400 * 86_400))),
        }
    }

    fn settle(&mut self, open: Open, hundredths: u64) {
        let mut used = Vec::new();
        for (account, index) in &open.entries {
            let model = &mut self.models[*account];
            model.see(self.now);
            let spent = &mut model.spent[*index];
            spent.amount = spent.reserved * hundredths / 100;
            used.push(spent.amount);
        }
        self.ledger
            .settle(open.receipt, &used, self.instant(self.now));
    }

    fn restart(&mut self) {
        let wall = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut bytes = Vec::new();
        let saved = self.ledger.snapshot(
            self.instant(self.now),
            wall,
            |key, to| to.push(u8::try_from(*key).unwrap()),
            |piece| {
                bytes.extend_from_slice(piece);
                Ok::<(), ()>(())
            },
        );
        saved.unwrap();
        let decode = |bytes: &[u8]| Some(usize::from(*bytes.first()?));
        let now = self.instant(self.now);
        let restored = Ledger::restore(&bytes, (now, wall), ACCOUNTS, decode).unwrap();
        // The grid of slots goes on: the clock of the new ledger reads what that of the old did.
        self.ledger = restored;
        self.restarted = self.now;
        self.open.clear();
    }

    fn check_balances(&mut self) {
        let instant = self.instant(self.now);
        for (account, model) in self.models.iter_mut().enumerate() {
            if !model.spent.is_empty() {
                model.see(self.now);
            }
            let now = model.latest.max(self.now);
            let budget = &self.budgets[account];
            let balances = self.ledger.balances(&account, budget, instant);
            let used: Vec<u64> = balances.iter().map(|balance| balance.used).collect();
            let expected: Vec<u64> = budget
                .iter()
                .map(|(period, _)| model.used(period, now))
                .collect();
            assert_eq!(used, expected, "account {account} at {now}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_ledger_is_what_its_reference_is(
        budgets in budgets(), (steps_back, steps) in steps()
    ) {
        let mut history = History::new(budgets, steps_back);
        for step in &steps {
            history.take(step);
        }
        // What is not settled may still be spent as a whole.
        for (model, budget) in history.models.iter().zip(&budgets) {
            model.assert_spending_is_within(budget);
        }
    }
}
