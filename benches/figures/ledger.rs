//! Rows about budgets: a reservation and its settlement in memory.

use std::time::{Duration, Instant};

use aisbreaker_quota::ledger::{Budget, Ledger, Period, Reservation};

use crate::{
    cpu::sample,
    row::{Measurement, Sample},
    workload::{CLIENTS, KEY, client_numbers, now},
};

/// The name of an account: the tokens or the dollars of a key, of one client or of all.
type Account = (u8, [u8; 16], u64);

/// What a reservation and its settlement may take together, in nanoseconds.
const GOAL: f64 = 2_000.0;

pub(crate) fn rows() -> Vec<Measurement> {
    vec![
        Measurement::absolute("reserve and settle, one budget", "ns", GOAL, one_budget),
        Measurement::absolute(
            "reserve and settle, ten budgets of four accounts, hot key",
            "ns",
            GOAL,
            || ten_budgets(|| 1),
        ),
        Measurement::absolute(
            "reserve and settle, ten budgets of four accounts, every slot full",
            "ns",
            GOAL,
            full,
        ),
        Measurement::absolute(
            "reserve and settle, ten budgets of four accounts, a million clients",
            "ns",
            GOAL,
            || ten_budgets(client_numbers()),
        )
        .without_goal()
        .rounds_at_most(5),
    ]
}

fn unreached(periods: &[Period]) -> Budget {
    let with = |budget: Budget, period: &Period| budget.with(*period, Budget::MAX);
    periods.iter().fold(Budget::unlimited(), with)
}

/// Reserves what a call with every kind of budget needs, and settles it.
fn call(ledger: &Ledger<Account>, client: u64, now: Instant) {
    let tokens = unreached(&[Period::Minute, Period::Hour, Period::Day]);
    let reservations = [
        Reservation::new((0, KEY, client), tokens, 5_000),
        Reservation::new((1, KEY, client), unreached(&[Period::Day]), 60_000_000),
        Reservation::new((2, KEY, 0), tokens, 5_000),
        Reservation::new(
            (3, KEY, 0),
            unreached(&[Period::Day, Period::Month, Period::Lifetime]),
            60_000_000,
        ),
    ];
    let receipt = ledger.reserve(&reservations, now);
    let used = [700, 9_000_000, 700, 9_000_000];
    ledger.settle(receipt.expect("the budgets are wide"), &used, now);
}

fn ledger(start: Instant) -> Ledger<Account> {
    let clients = usize::try_from(CLIENTS).expect("a million fits");
    Ledger::new(start, 2 * clients + 2)
}

fn one_budget() -> Sample {
    let start = now();
    let ledger = ledger(start);
    let reservations = [Reservation::new(
        (0, KEY, 1),
        unreached(&[Period::Minute]),
        5_000,
    )];
    sample(move || {
        let receipt = ledger.reserve(&reservations, start);
        ledger.settle(receipt.expect("the budget is wide"), &[700], start);
    })
}

fn ten_budgets(mut client: impl FnMut() -> u64 + 'static) -> Sample {
    let start = now();
    let ledger = ledger(start);
    sample(move || call(&ledger, client(), start))
}

/// Calls of accounts that have an amount in every slot of every period. Each is in a new slot of the minute.
fn full() -> Sample {
    let mut now = now();
    let ledger = ledger(now);
    for seconds in [86_400, 864, 36] {
        for _ in 0..101 {
            now += Duration::from_secs(seconds);
            call(&ledger, 1, now);
        }
    }
    sample(move || {
        now += Duration::from_millis(600);
        call(&ledger, 1, now);
    })
}
