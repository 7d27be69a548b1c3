//! Random histories of a ledger in memory.

use std::time::{Duration, Instant, SystemTime};

use aisbreaker_quota::ledger::{
    Allowance, Budget, BudgetRefusal, Ledger, Period, Receipt, Reservation,
};
use proptest::prelude::*;

use crate::{
    history::{History, Step, Subject, budgets, step_with, steps},
    model::{ACCOUNTS, Kind},
    some_instant,
};

/// A ledger in memory, which a restart writes and reads.
struct Memory<B: Kind> {
    epoch: Instant,
    capacity: usize,
    ledger: Ledger<usize, B>,
    /// Returns the key of an account.
    name: fn(usize) -> usize,
}

impl<B: Kind> Memory<B> {
    fn new(capacity: usize, name: fn(usize) -> usize) -> Self {
        let epoch = some_instant();
        Self {
            epoch,
            capacity,
            ledger: Ledger::new(epoch, capacity),
            name,
        }
    }

    fn instant(&self, units: u64) -> Instant {
        let nanos = u64::try_from(B::UNIT.as_nanos()).unwrap() * units;
        self.epoch + Duration::from_nanos(nanos)
    }
}

impl<B: Kind> Subject for Memory<B> {
    const READS_ADVANCE: bool = true;
    const CHECKS_EVERY_STEP: bool = true;
    const EXACT_UP_TO: u64 = u64::MAX;
    type Budget = B;
    type Receipt = Receipt<usize, B>;

    fn reserve(
        &mut self,
        amounts: &[(usize, B, u64, bool)],
        now: u64,
    ) -> Result<Self::Receipt, BudgetRefusal<B>> {
        let forever = self.instant(1 << 42);
        let reservation = |(account, budget, amount, is_kept): &(usize, B, u64, bool)| {
            let reservation = Reservation::new((self.name)(*account), *budget, *amount);
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

    fn used(&self, account: usize, budget: &B, now: u64) -> Vec<u64> {
        let balances = self
            .ledger
            .balances(&(self.name)(account), budget, self.instant(now));
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
        History::play(Memory::new(capacity, |account| account), budgets, steps_back, &steps);
    }
}

/// Allowances whose windows have lengths of all orders of magnitude. The windows of the two accounts
/// with one name differ.
fn allowances() -> impl Strategy<Value = [Allowance; ACCOUNTS]> {
    let millis = prop_oneof![
        1_000_u64..10_000,
        10_000_u64..1_000_000,
        1_000_000_u64..2_592_000_000,
        Just(2_591_999_998),
    ];
    prop::array::uniform4((millis, 1_u64..3_000)).prop_map(|windows| {
        std::array::from_fn(|account| {
            let (millis, limit) = windows[account];
            let odd = u64::try_from(account % 2).unwrap();
            Allowance::per(Duration::from_millis(millis / 2 * 2 + odd), limit)
        })
    })
}

/// Allowances, and histories whose clock moves by parts of their windows.
fn histories_of_allowances() -> impl Strategy<Value = ([Allowance; ACCOUNTS], bool, Vec<Step>)> {
    (allowances(), any::<bool>()).prop_flat_map(|(allowances, steps_back)| {
        let slots = allowances.map(|allowance| {
            let (slot, _) = allowance.periods()[0].0.unwrap();
            i64::try_from(slot).unwrap()
        });
        let parts = prop_oneof![
            6 => 0_i64..300,
            5 => 0_i64..3_000,
            4 => 9_800_i64..10_300,
            3 => 0_i64..30_000,
            u32::from(steps_back) => -20_000_i64..0,
        ];
        let clock = (prop::sample::select(slots.to_vec()), parts, -1_i64..=1)
            .prop_map(|(slot, hundredths, off)| slot * hundredths / 100 + off);
        let forward = move |change: i64| if steps_back { change } else { change.max(0) };
        let step = step_with(clock.prop_map(forward), steps_back);
        let steps = prop::collection::vec(step, 1..60);
        (Just(allowances), Just(steps_back), steps)
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_ledger_of_allowances_is_what_its_reference_is(
        capacity in prop_oneof![2 => Just(ACCOUNTS), 1 => 1..ACCOUNTS],
        (allowances, steps_back, steps) in histories_of_allowances(),
    ) {
        // Two accounts of one key have windows of different lengths.
        History::play(Memory::new(capacity, |account| account / 2), allowances, steps_back, &steps);
    }
}

proptest! {
    #[test]
    fn raising_a_total_changes_nothing_else(
        amounts in proptest::collection::vec((0_u64..1_000, 0_u64..1_000), 0..5),
        total in 0_u64..5_000,
        keep in 1_u64..10_000_000,
    ) {
        let start = some_instant();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let periods = [Period::Minute, Period::Month];
        let budget = periods.iter().fold(
            Budget::unlimited().with(Period::Lifetime, 10_000),
            |budget, period| budget.with(*period, 10_000),
        );
        // There is room for one account, and another one is there.
        let ledger = Ledger::new(start, 1);
        let other = Reservation::new(7_usize, budget, 3).kept_until(start + Duration::from_secs(1 << 32));
        ledger.reserve(&[other], start).map(drop).unwrap();
        let ledger = restarted(&ledger, (start, wall));
        let mut spent = 0;
        if !amounts.is_empty() {
            ledger.raise_lifetime_total(&1, 0, start, start);
        }
        for (amount, used) in amounts {
            let receipt = ledger.reserve(&[Reservation::new(1, budget, amount)], start).unwrap();
            ledger.settle(receipt, &[used], start);
            spent += used;
        }
        let end = start + Duration::from_millis(keep);
        ledger.raise_lifetime_total(&1, total, start, end);

        prop_assert_eq!(ledger.lifetime_total(&1), spent.max(total));
        prop_assert_eq!(ledger.lifetime_total(&7), 3);
        let used: Vec<u64> = ledger.balances(&1, &budget, start).iter().map(|one| one.used).collect();
        prop_assert_eq!(used, [spent, spent, spent.max(total)]);
        let ledger = restarted(&ledger, (start, wall));
        for _ in 0..ledger.sweep_steps() {
            ledger.sweep(end);
        }
        prop_assert_eq!(ledger.lifetime_total(&1), spent.max(total));
    }
}

/// Writes a ledger, and reads it at the same moment.
fn restarted(ledger: &Ledger<usize>, now: (Instant, SystemTime)) -> Ledger<usize> {
    let mut bytes = Vec::new();
    let written = ledger.snapshot(
        now.0,
        now.1,
        |key, to| to.extend_from_slice(&key.to_le_bytes()),
        |piece| {
            bytes.extend_from_slice(piece);
            Ok::<(), ()>(())
        },
    );
    written.unwrap();
    let decode = |bytes: &[u8]| Some(usize::from_le_bytes(bytes.try_into().ok()?));
    Ledger::restore(&bytes, now, 1, decode).unwrap()
}
