//! Decisions whose outcome is written out.

use std::time::{Duration, Instant};

use aisbreaker_quota::ledger::{Budget, BudgetRefusal, Ledger, Period, Receipt, Reservation};

use crate::some_instant;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

fn daily(limit: u64) -> Budget {
    Budget::unlimited().with(Period::Day, limit)
}

fn one(
    ledger: &Ledger<&'static str>,
    budget: Budget,
    amount: u64,
    now: Instant,
) -> Result<Receipt<&'static str>, BudgetRefusal> {
    ledger.reserve(&[Reservation::new("a", budget, amount)], now)
}

#[track_caller]
fn used(ledger: &Ledger<&'static str>, budget: Budget, now: Instant) -> u64 {
    ledger.balances(&"a", &budget, now)[0].used
}

#[test]
fn a_settlement_is_in_the_slot_of_the_reservation() {
    let start = some_instant();
    let ledger = Ledger::new(start, 10);
    let receipt = one(&ledger, daily(100), 100, start).unwrap();
    // Settled half a day later, up: it still leaves the day when the request began.
    ledger.settle(receipt, &[150], start + DAY / 2);
    assert_eq!(used(&ledger, daily(100), start + DAY), 150);
    assert_eq!(used(&ledger, daily(100), start + DAY + DAY / 100), 0);
    // Settled after its day: there is nothing left to change.
    let begin = start + 2 * DAY;
    let receipt = one(&ledger, daily(100), 100, begin).unwrap();
    let later = begin + 2 * DAY;
    let _second = one(&ledger, daily(100), 60, later).unwrap();
    ledger.settle(receipt, &[0], later);
    assert_eq!(used(&ledger, daily(100), later), 60);
}

#[test]
fn a_lifetime_is_settled_however_late() {
    let start = some_instant();
    let ledger = Ledger::new(start, 10);
    let budget = Budget::unlimited().with(Period::Lifetime, 1_000);
    let kept = Reservation::new("a", budget, 900).kept_until(start + 400 * DAY);
    let receipt = ledger.reserve(&[kept], start).unwrap();
    let now = start + 300 * DAY;
    for _ in 0..ledger.sweep_steps() {
        assert_eq!(ledger.sweep(now), 0);
    }
    ledger.settle(receipt, &[40], now);
    assert_eq!(used(&ledger, budget, now), 40);
    let refusal = one(&ledger, budget, 961, now).unwrap_err();
    let BudgetRefusal::Exceeded {
        remaining: 960,
        retry_after: None,
        ..
    } = refusal
    else {
        panic!("{refusal:?}");
    };
    let freed: usize = (0..ledger.sweep_steps())
        .map(|_| ledger.sweep(start + 401 * DAY))
        .sum();
    assert_eq!((freed, ledger.len()), (1, 0));
}

#[test]
fn all_accounts_are_charged_or_none() {
    let start = some_instant();
    let ledger = Ledger::new(start, 10);
    let small = daily(10);
    let reservations = [
        Reservation::new("a", daily(100), 50),
        Reservation::new("b", small, 10),
    ];
    let _held = ledger.reserve(&reservations, start).unwrap();
    let more = [
        Reservation::new("a", daily(100), 50),
        Reservation::new("b", small, 1),
    ];
    let refusal = ledger.reserve(&more, start).unwrap_err();
    assert!(matches!(
        refusal,
        BudgetRefusal::Exceeded {
            reservation: 1,
            remaining: 0,
            ..
        }
    ));
    assert_eq!(used(&ledger, daily(100), start), 50);
    // Twice the same account needs room for both.
    let twice = [
        Reservation::new("a", daily(100), 30),
        Reservation::new("a", daily(100), 21),
    ];
    let refusal = ledger.reserve(&twice, start).unwrap_err();
    assert!(matches!(
        refusal,
        BudgetRefusal::Exceeded {
            reservation: 1,
            remaining: 50,
            ..
        }
    ));
    let never = [
        Reservation::new("c", small, 6),
        Reservation::new("c", small, 5),
    ];
    let refusal = ledger.reserve(&never, start).unwrap_err();
    assert!(matches!(
        refusal,
        BudgetRefusal::TooLarge {
            reservation: 1,
            requested: 11,
            ..
        }
    ));
    assert_eq!(ledger.len(), 2);
}

#[test]
fn the_longest_wait_is_reported() {
    let start = some_instant();
    let ledger = Ledger::new(start, 10);
    let budget = Budget::unlimited()
        .with(Period::Minute, 10)
        .with(Period::Hour, 15)
        .with(Period::Month, 1_000);
    let _first = one(&ledger, budget, 10, start).unwrap();
    let refusal = one(&ledger, budget, 5, start + SECOND).unwrap_err();
    let BudgetRefusal::Exceeded {
        period: Period::Minute,
        retry_after: Some(wait),
        ..
    } = refusal
    else {
        panic!("{refusal:?}");
    };
    assert_eq!(wait, Duration::from_millis(59_600));
    let refusal = one(&ledger, budget, 6, start + SECOND).unwrap_err();
    let BudgetRefusal::Exceeded {
        period: Period::Hour,
        retry_after: Some(wait),
        ..
    } = refusal
    else {
        panic!("{refusal:?}");
    };
    assert_eq!(wait, Duration::from_secs(3_636) - SECOND);
    assert!(one(&ledger, budget, 6, start + SECOND + wait).is_ok());
}

#[test]
fn beyond_the_capacity_new_accounts_are_refused() {
    let start = some_instant();
    let ledger = Ledger::new(start, 1);
    let _held = one(&ledger, daily(10), 5, start).unwrap();
    let other = [
        Reservation::new("a", daily(10), 5),
        Reservation::new("b", daily(10), 1),
    ];
    assert_eq!(ledger.reserve(&other, start), Err(BudgetRefusal::Full));
    assert_eq!((ledger.len(), used(&ledger, daily(10), start)), (1, 5));
    let later = start + 2 * DAY;
    for _ in 0..ledger.sweep_steps() {
        ledger.sweep(later);
    }
    assert!(
        ledger
            .reserve(&[Reservation::new("b", daily(10), 1)], later)
            .is_ok()
    );
}

#[test]
fn sums_do_not_overflow() {
    let start = some_instant();
    let ledger = Ledger::new(start, 10);
    let budget = daily(u64::MAX).with(Period::Lifetime, 10);
    assert_eq!(budget.of(Period::Day), Some(Budget::MAX));
    let receipt = one(&ledger, budget, 10, start).unwrap();
    ledger.settle(receipt, &[u64::MAX], start);
    assert_eq!(used(&ledger, budget, start), u64::MAX);
    let receipt = one(&ledger, Budget::unlimited(), u64::MAX, start).unwrap();
    ledger.settle(receipt, &[1], start);
    let refusal = one(&ledger, budget, 1, start).unwrap_err();
    assert!(
        matches!(refusal, BudgetRefusal::Exceeded { remaining: 0, .. }),
        "{refusal:?}"
    );
}

#[test]
fn a_very_large_settlement_hides_nothing_of_other_slots() {
    let start = some_instant();
    let ledger = Ledger::new(start, 10);
    let budget = Budget::unlimited().with(Period::Minute, 100);
    let large = [1, 1, 1].map(|amount| one(&ledger, budget, amount, start).unwrap());
    let five = one(&ledger, budget, 5, start + 30 * SECOND).unwrap();
    for receipt in large {
        ledger.settle(receipt, &[u64::MAX], start + 31 * SECOND);
    }
    assert_eq!(used(&ledger, budget, start + 31 * SECOND), u64::MAX);
    // The large ones have left the minute, the five have not.
    let later = start + 62 * SECOND;
    assert_eq!(used(&ledger, budget, later), 5);
    let refusal = one(&ledger, budget, 96, later).unwrap_err();
    assert!(
        matches!(refusal, BudgetRefusal::Exceeded { remaining: 95, .. }),
        "{refusal:?}"
    );
    ledger.settle(five, &[4], later);
    assert!(one(&ledger, budget, 96, later).is_ok());
}

#[test]
fn what_is_missing_in_a_settlement_stays_reserved() {
    let start = some_instant();
    let ledger = Ledger::new(start, 10);
    let both = [
        Reservation::new("b", daily(100), 40),
        Reservation::new("a", daily(100), 50),
    ];
    let receipt = ledger.reserve(&both, start).unwrap();
    let amounts: Vec<_> = receipt
        .iter()
        .map(|(account, amount)| (*account, amount))
        .collect();
    assert_eq!(amounts, [("b", 40), ("a", 50)]);
    ledger.settle(receipt, &[1], start);
    assert_eq!(used(&ledger, daily(100), start), 50);
}

#[test]
fn a_late_settlement_releases_nothing_of_the_account_that_came_after() {
    let start = some_instant();
    let ledger = Ledger::new(start, 10);
    let budget = Budget::unlimited().with(Period::Lifetime, 100);
    // Nothing keeps the account, so the next sweep frees it.
    let late = one(&ledger, budget, 80, start).unwrap();
    let swept: usize = (0..ledger.sweep_steps())
        .map(|_| ledger.sweep(start + SECOND))
        .sum();
    assert_eq!(swept, 1);
    // At the very moment of the sweep, too.
    let held = one(&ledger, budget, 70, start + SECOND).unwrap();
    ledger.settle(late, &[30], start + SECOND);
    assert_eq!(used(&ledger, budget, start + SECOND), 70);
    ledger.settle(held, &[10], start + SECOND);
    assert_eq!(used(&ledger, budget, start + SECOND), 10);
}
