//! Exact totals of many threads.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use aisbreaker_quota::{Charge, Engine, Limits, Refusal, Window};

use crate::oracle::{at, number, some_instant as epoch};

/// Charges several counters from many threads, each in its own order, until nothing is left.
///
/// Returns how many requests were admitted, and how many charges their individual counters have.
fn totals(threads: u32, limit: u32) -> (u32, u32) {
    let epoch = epoch();
    let engine = Engine::new(epoch, 1_000);
    let (admitted, steps) = (AtomicU32::new(0), 40 * limit / threads);
    let wide = Limits::per_day(1_000_000);
    thread::scope(|scope| {
        for thread in 0..threads {
            let (engine, admitted) = (&engine, &admitted);
            scope.spawn(move || {
                for step in 0..steps {
                    let (one, other) = (thread.wrapping_mul(7).wrapping_add(step) % 20, step % 20);
                    let limited = Charge::shared(1_000, Limits::per_hour(limit));
                    let charges = if step % 2 == 0 {
                        [Charge::new(one, wide), Charge::new(other, wide), limited]
                    } else {
                        [limited, Charge::new(other, wide), Charge::new(one, wide)]
                    };
                    let now = epoch + at(u64::from(step));
                    if engine.charge(&charges, number(1), now).is_ok() {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let now = epoch + at(u64::from(steps));
    let counted = (0..20).map(|key| {
        let standings = engine.peek(&[Charge::new(key, wide)], now);
        1_000_000 - standings.of(0, Window::Day).unwrap().remaining
    });
    (admitted.into_inner(), counted.sum())
}

#[test]
fn eight_threads_are_admitted_exactly_the_limit() {
    assert_eq!(totals(8, 4_000), (4_000, 8_000));
}

#[test]
fn sixty_four_threads_are_admitted_exactly_the_limit() {
    assert_eq!(totals(64, 3_200), (3_200, 6_400));
}

#[test]
fn threads_with_new_keys_stay_within_the_capacity() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 100);
    let admitted = AtomicU32::new(0);

    thread::scope(|scope| {
        for thread in 0..8_u32 {
            let (engine, admitted) = (&engine, &admitted);
            scope.spawn(move || {
                for step in 0..200 {
                    let charges = [Charge::new(thread * 1_000 + step, Limits::per_minute(3))];
                    if engine.charge(&charges, number(1), epoch).is_ok() {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                    assert!(engine.len() <= 100);
                }
            });
        }
    });

    assert_eq!(
        admitted.into_inner(),
        100 + 3,
        "one for each tracked key, three for all others together"
    );
}

/// Every refusal of threads on one key undoes what it charged to the counters before the limit, and
/// no thread sees that.
#[test]
fn threads_on_one_key_are_admitted_exactly_the_limit() {
    let (epoch, limit, threads, calls) = (epoch(), 2_000, 8, 1_000);
    let engine = Engine::with_shard_by(epoch, 1_000, |(_, client): &(u32, u64)| *client);
    let (admitted, wide) = (AtomicU32::new(0), Limits::per_day(1_000_000));
    let charges = [
        Charge::new((0, 7), wide),
        Charge::new((1, 7), wide),
        Charge::shared((1, 0), Limits::per_hour(limit)),
        Charge::shared((0, 0), wide),
    ];

    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..calls {
                    let standings = match engine.charge(&charges, number(1), epoch) {
                        Ok(allowed) => {
                            admitted.fetch_add(1, Ordering::Relaxed);
                            *allowed.standings()
                        }
                        Err(Refusal::Exceeded {
                            charge, standings, ..
                        }) => {
                            assert_eq!(charge, 2);
                            standings
                        }
                        Err(refusal) => panic!("{refusal:?}"),
                    };
                    let used = [0, 1, 2, 3].map(|index| {
                        let hour = standings.of(index, Window::Hour).unwrap();
                        hour.limit.get() - hour.remaining
                    });
                    assert_eq!(used, [used[2]; 4], "counters charged together differ");
                }
            });
        }
    });

    assert_eq!(admitted.into_inner(), limit);
    for (index, counter) in charges.into_iter().enumerate() {
        let hour = engine.peek(&[counter], epoch).of(0, Window::Hour).unwrap();
        assert_eq!(hour.limit.get() - hour.remaining, limit, "{index}");
    }
}
