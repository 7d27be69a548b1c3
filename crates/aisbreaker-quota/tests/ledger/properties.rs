//! Random histories of a ledger in memory.

use std::time::{Duration, Instant, SystemTime};

use aisbreaker_quota::ledger::{Budget, BudgetRefusal, Ledger, Receipt, Reservation};
use proptest::prelude::*;

use crate::{
    history::{History, Subject, budgets, steps},
    model::ACCOUNTS,
    some_instant,
};

/// A ledger in memory, which a restart writes and reads.
struct Memory {
    epoch: Instant,
    capacity: usize,
    ledger: Ledger<usize>,
}

impl Memory {
    fn new(capacity: usize) -> Self {
        let epoch = some_instant();
        Self {
            epoch,
            capacity,
            ledger: Ledger::new(epoch, capacity),
        }
    }

    fn instant(&self, millis: u64) -> Instant {
        self.epoch + Duration::from_millis(millis)
    }
}

impl Subject for Memory {
    const READS_ADVANCE: bool = true;
    const CHECKS_EVERY_STEP: bool = true;
    const EXACT_UP_TO: u64 = u64::MAX;
    type Receipt = Receipt<usize>;

    fn reserve(
        &mut self,
        amounts: &[(usize, Budget, u64, bool)],
        now: u64,
    ) -> Result<Self::Receipt, BudgetRefusal> {
        let forever = self.instant(1 << 42);
        let reservation = |(account, budget, amount, is_kept): &(usize, Budget, u64, bool)| {
            let reservation = Reservation::new(*account, *budget, *amount);
            match is_kept {
                true => reservation.kept_until(forever),
                false => reservation,
            }
        };
        let reservations: Vec<_> = amounts.iter().map(reservation).collect();
        self.ledger.reserve(&reservations, self.instant(now))
    }

    fn settle(&mut self, receipt: Self::Receipt, used: &[u64], now: u64) {
        self.ledger.settle(receipt, used, self.instant(now));
    }

    fn used(&self, account: usize, budget: &Budget, now: u64) -> Vec<u64> {
        let balances = self.ledger.balances(&account, budget, self.instant(now));
        balances.iter().map(|balance| balance.used).collect()
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn sweep(&mut self, now: u64) {
        for _ in 0..self.ledger.sweep_steps() {
            self.ledger.sweep(self.instant(now));
        }
    }

    fn restart(&mut self, now: u64) {
        let (now, wall) = (
            self.instant(now),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30),
        );
        let mut bytes = Vec::new();
        let written = self.ledger.snapshot(
            now,
            wall,
            |key, to| to.push(u8::try_from(*key).unwrap()),
            |piece| {
                bytes.extend_from_slice(piece);
                Ok::<(), ()>(())
            },
        );
        written.unwrap();
        let decode = |bytes: &[u8]| Some(usize::from(*bytes.first()?));
        self.ledger = Ledger::restore(&bytes, (now, wall), self.capacity, decode).unwrap();
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
        capacity in prop_oneof![2 => Just(ACCOUNTS), 1 => 1..ACCOUNTS],
        budgets in budgets(),
        (steps_back, steps) in steps(),
    ) {
        History::play(Memory::new(capacity), budgets, steps_back, &steps);
    }
}
