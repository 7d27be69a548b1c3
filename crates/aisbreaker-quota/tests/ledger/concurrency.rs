//! Many threads on a few accounts.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use aisbreaker_quota::ledger::{Budget, Ledger, Period, Reservation};

use crate::some_instant;

#[test]
fn five_calls_at_once_stay_within_the_budget() {
    let start = some_instant();
    let budget = Budget::unlimited().with(Period::Day, 100);
    for round in 0..200_u64 {
        let ledger = Ledger::new(start, 10);
        let admitted = AtomicU64::new(0);
        thread::scope(|scope| {
            for amount in [58, 87, 58 + round % 43, 100, 175] {
                let (ledger, admitted) = (&ledger, &admitted);
                scope.spawn(move || {
                    let reservation = Reservation::new("key", budget, amount);
                    if let Ok(receipt) = ledger.reserve(&[reservation], start) {
                        admitted.fetch_add(amount, Ordering::Relaxed);
                        ledger.settle(receipt, &[amount], start);
                    }
                });
            }
        });
        let admitted = admitted.into_inner();
        assert!((58..=100).contains(&admitted), "{admitted}");
    }
}

#[test]
fn threads_that_lock_in_any_order_lose_nothing() {
    const THREADS: u64 = 8;
    const CALLS: u64 = 2_000;
    let start = some_instant();
    let ledger = Ledger::new(start, 100);
    let wide = Budget::unlimited().with(Period::Lifetime, Budget::MAX);
    let limited = Budget::unlimited().with(Period::Hour, 6_000);
    let admitted = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (ledger, admitted) = (&ledger, &admitted);
            scope.spawn(move || {
                for call in 0..CALLS {
                    let mut reservations = vec![
                        Reservation::new(thread % 3, wide, 9),
                        Reservation::new(100 + call % 5, wide, 9),
                        Reservation::new(1_000, limited, 3),
                    ];
                    reservations.rotate_left(usize::try_from((thread + call) % 3).unwrap());
                    if let Ok(receipt) = ledger.reserve(&reservations, start) {
                        admitted.fetch_add(1, Ordering::Relaxed);
                        let used: Vec<u64> = receipt
                            .iter()
                            .map(|(account, _)| if *account == 1_000 { 1 } else { 7 })
                            .collect();
                        ledger.settle(receipt, &used, start);
                    }
                }
            });
        }
    });
    let admitted = admitted.into_inner();
    let used = |account: u64, budget: &Budget| ledger.balances(&account, budget, start)[0].used;
    assert_eq!(used(1_000, &limited), admitted);
    assert!((5_900..=6_000).contains(&admitted), "{admitted}");
    let of_threads: u64 = (0..3).map(|account| used(account, &wide)).sum();
    let of_calls: u64 = (100..105).map(|account| used(account, &wide)).sum();
    assert_eq!((of_threads, of_calls), (7 * admitted, 7 * admitted));
}
