//! Windows of any length: what is particular to allowances.

use std::time::{Duration, SystemTime};

use aisbreaker_quota::{
    InvalidLimit, SnapshotError,
    ledger::{Allowance, Balance, Budget, BudgetRefusal, Ledger, Reservation},
};

use crate::some_instant;

const SECOND: Duration = Duration::from_secs(1);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

#[test]
fn lengths_of_windows_are_checked_and_rounded_up() {
    let nano = Duration::from_nanos(1);
    let month = Duration::from_secs(30 * 86_400);
    for (window, expected) in [
        (SECOND - nano, Err(InvalidLimit::Window)),
        (SECOND, Ok(SECOND)),
        (SECOND + nano, Ok(Duration::from_millis(1_001))),
        (month, Ok(month)),
        (month + nano, Err(InvalidLimit::Window)),
    ] {
        let allowance = Allowance::try_per(window, 5);
        assert_eq!(allowance.map(|one| one.window()), expected, "{window:?}");
    }
    assert_eq!(Allowance::per(SECOND, u64::MAX).limit(), Budget::MAX);
}

#[test]
fn settlement_counts_in_the_slot_of_the_reservation() {
    let now = some_instant();
    let ledger = Ledger::new(now, 10);
    let allowance = Allowance::per(Duration::from_secs(10), 100);
    let receipt = ledger
        .reserve(&[Reservation::new("ada", allowance, 100)], now)
        .unwrap();

    ledger.settle(receipt, &[60], now + Duration::from_secs(9));

    let used = |millis| {
        let at = now + Duration::from_millis(millis);
        let balances = ledger.balances(&"ada", &allowance, at);
        balances.iter().map(|one| one.used).sum::<u64>()
    };
    assert_eq!([used(9_000), used(10_099), used(10_100)], [60, 60, 0]);
}

#[test]
fn reservations_of_two_windows_are_all_or_nothing() {
    let now = some_instant();
    let ledger = Ledger::new(now, 10);
    let second = Allowance::per(SECOND, 10);
    let week = Allowance::per(WEEK, 5);
    let both = |amount| {
        [
            Reservation::new("ada", second, amount),
            Reservation::new("ada", week, amount),
        ]
    };
    let receipt = ledger.reserve(&both(4), now).unwrap();
    assert_eq!(ledger.len(), 2);

    let refusal = ledger.reserve(&both(2), now).unwrap_err();

    assert_eq!(
        refusal,
        BudgetRefusal::Exceeded {
            reservation: 1,
            period: WEEK,
            limit: 5,
            remaining: 1,
            requested: 2,
            retry_after: Some(WEEK / 100 * 101),
        }
    );
    assert_eq!(
        refusal.to_string(),
        "budget of 5 per 7 days has 1 left, 2 requested"
    );
    let remaining = |allowance| {
        let balances = ledger.balances(&"ada", &allowance, now);
        let [Balance { remaining, .. }] = balances[..] else {
            panic!("an allowance has one balance")
        };
        remaining
    };
    assert_eq!([remaining(second), remaining(week)], [6, 1]);
    ledger.settle(receipt, &[0, 0], now);
    assert_eq!([remaining(second), remaining(week)], [10, 5]);
}

#[test]
fn snapshots_of_the_two_kinds_of_budgets_are_not_mixed_up() {
    let (now, wall) = (some_instant(), SystemTime::UNIX_EPOCH);
    let ledger = Ledger::new(now, 10);
    let reservation = Reservation::new(1_u8, Allowance::per(WEEK, 5), 3);
    let _receipt = ledger.reserve(&[reservation], now).unwrap();
    let mut bytes = Vec::new();
    let written = ledger.snapshot(
        now,
        wall,
        |key, to| to.push(*key),
        |piece| {
            bytes.extend_from_slice(piece);
            Ok::<(), ()>(())
        },
    );
    written.unwrap();
    let decode = |key: &[u8]| key.first().copied();

    let other = Ledger::<u8>::restore(&bytes, (now, wall), 10, decode);

    assert_eq!(other.err(), Some(SnapshotError::NotASnapshot));
    for cut in 0..bytes.len() {
        let part = Ledger::<u8, Allowance>::restore(&bytes[..cut], (now, wall), 10, decode);
        assert!(part.is_err(), "{cut}");
    }
}
