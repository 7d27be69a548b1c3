//! What single calls answer, and what many threads get in total.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use aisbreaker_quota::{Charge, Engine, Limits, Refusal, Window};

use crate::oracle::{at, limits, number, some_instant as epoch};

#[test]
fn refusal_names_the_charge_the_window_and_the_wait() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 10);
    let charges = [
        Charge::new("client", limits(9, 9, 9)),
        Charge::shared("all", limits(9, 2, 9)),
    ];
    for _ in 0..2 {
        let _ = engine.charge(&charges, number(1), epoch + at(100)).unwrap();
    }

    let refusal = engine
        .charge(&charges, number(1), epoch + at(1_000))
        .unwrap_err();

    let Refusal::Exceeded {
        charge,
        window,
        limit,
        remaining,
        retry_after,
        standings,
    } = refusal
    else {
        panic!("{refusal:?}")
    };
    assert_eq!(
        (charge, window, limit.get(), remaining),
        (1, Window::Hour, 2, 0)
    );
    assert_eq!(retry_after, Duration::from_secs(36 * 101) - at(1_000));
    assert_eq!(standings.of(1, Window::Hour).unwrap().reset, retry_after);
    assert_eq!(standings.of(0, Window::Minute).unwrap().remaining, 7);
    assert_eq!(standings.tightest().unwrap().0, 1);
    assert_eq!(
        refusal.to_string(),
        "limit of 2 per hour exceeded, admitted again in 3635s"
    );
}

#[test]
fn refusal_tells_the_limit_with_the_longest_wait() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 10);
    let charges = [
        Charge::new(1, limits(1, 9, 9)),
        Charge::new(2, limits(9, 9, 1)),
        Charge::new(3, limits(9, 1, 9)),
    ];
    let _ = engine.charge(&charges, number(1), epoch).unwrap();

    let refusal = engine.charge(&charges, number(1), epoch).unwrap_err();

    let Refusal::Exceeded {
        charge,
        window,
        retry_after,
        ..
    } = refusal
    else {
        panic!("{refusal:?}")
    };
    assert_eq!(
        (charge, window, retry_after),
        (1, Window::Day, Duration::from_secs(864 * 101))
    );
}

#[test]
fn weight_above_a_limit_is_never_admissible() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 10);
    let charges = [
        Charge::new(1, limits(9, 9, 9)),
        Charge::new(2, limits(9, 5, 9)),
    ];

    let refusal = engine.charge(&charges, number(6), epoch).unwrap_err();

    assert_eq!(
        refusal,
        Refusal::TooHeavy {
            charge: 1,
            window: Window::Hour,
            limit: number(5)
        }
    );
    assert!(engine.is_empty());
}

#[test]
fn key_named_twice_is_charged_twice() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 10);
    let twice = [Charge::new(1, limits(5, 9, 9)); 2];

    for remaining in [3, 1] {
        let admitted = engine.charge(&twice, number(1), epoch).unwrap();
        assert_eq!(
            admitted
                .standings()
                .of(1, Window::Minute)
                .unwrap()
                .remaining,
            remaining
        );
    }
    let refusal = engine.charge(&twice, number(1), epoch).unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::Exceeded {
                charge: 1,
                remaining: 1,
                ..
            }
        ),
        "{refusal:?}"
    );
    let refusal = engine.charge(&twice, number(3), epoch).unwrap_err();
    assert_eq!(
        refusal,
        Refusal::TooHeavy {
            charge: 1,
            window: Window::Minute,
            limit: number(5)
        }
    );
    assert_eq!(engine.len(), 1);
}

#[test]
fn shared_and_own_counters_of_one_key_are_two() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 10);
    let own = [Charge::new(7, Limits::per_minute(number(1)))];
    let shared = [Charge::shared(7, Limits::per_minute(number(1)))];

    let _ = engine.charge(&own, number(1), epoch).unwrap();
    let _ = engine.charge(&shared, number(1), epoch).unwrap();

    assert_eq!(engine.len(), 2);
}

#[test]
fn no_charges_are_always_admitted() {
    let epoch = epoch();
    let engine = Engine::<u8>::new(epoch, 0);

    let admitted = engine.charge(&[], number(1), epoch).unwrap();

    assert_eq!(admitted.standings().tightest(), None);
}

#[test]
fn limits_given_later_apply_to_what_was_counted_before() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 10);
    let _ = engine
        .charge(&[Charge::new(1, limits(9, 9, 9))], number(6), epoch)
        .unwrap();

    let refusal = engine
        .charge(&[Charge::new(1, limits(4, 9, 9))], number(1), epoch)
        .unwrap_err();

    assert!(
        matches!(refusal, Refusal::Exceeded { remaining: 0, .. }),
        "{refusal:?}"
    );
}

#[test]
fn time_before_the_epoch_counts_as_the_epoch() {
    let start = epoch();
    let engine = Engine::new(start + Duration::from_secs(100), 10);
    let charges = [Charge::new(1, Limits::per_minute(number(1)))];

    let _ = engine.charge(&charges, number(1), start).unwrap();
    let refusal = engine.charge(&charges, number(1), start).unwrap_err();

    assert!(
        matches!(refusal, Refusal::Exceeded { retry_after, .. } if retry_after == at(60_600)),
        "{refusal:?}"
    );
}

#[test]
fn sweep_frees_idle_keys_and_only_those() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 100_000);
    for key in 0..1_000 {
        let _ = engine
            .charge(&[Charge::new(key, limits(9, 9, 9))], number(1), epoch)
            .unwrap();
    }
    let _ = engine
        .charge(
            &[Charge::new(5, limits(9, 9, 9))],
            number(1),
            epoch + at(900_000),
        )
        .unwrap();
    let sweep = |now| {
        (0..engine.sweep_steps())
            .map(|_| engine.sweep(now))
            .sum::<usize>()
    };
    let day = Duration::from_secs(864 * 101);

    assert_eq!(sweep(epoch + day - at(1)), 0);
    assert_eq!(sweep(epoch + day), 999);
    assert_eq!(engine.len(), 1);
    assert_eq!(sweep(epoch + day + day), 1);
    assert!(engine.is_empty());
}

#[test]
fn clock_behind_the_last_sweep_revives_nothing() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 10);
    let charges = [Charge::new(1, Limits::per_day(number(1)))];
    let _ = engine.charge(&charges, number(1), epoch).unwrap();
    let later = epoch + Duration::from_secs(864 * 101);
    for _ in 0..engine.sweep_steps() {
        engine.sweep(later);
    }

    let _ = engine.charge(&charges, number(1), epoch).unwrap();
    let refusal = engine.charge(&charges, number(1), later).unwrap_err();

    let Refusal::Exceeded { retry_after, .. } = refusal else {
        panic!("{refusal:?}")
    };
    assert_eq!(
        retry_after,
        Duration::from_secs(864 * 101),
        "counted at the time of the sweep"
    );
}

#[test]
fn known_keys_do_not_feel_the_bound() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 2);
    let own = |key| [Charge::new(key, limits(3, 3, 3))];
    for key in [1, 2] {
        let _ = engine.charge(&own(key), number(1), epoch).unwrap();
    }
    for key in [3, 4, 5] {
        let _ = engine.charge(&own(key), number(1), epoch).unwrap();
    }

    assert!(
        engine.charge(&own(6), number(1), epoch).is_err(),
        "strangers share one counter"
    );
    assert_eq!(engine.charge(&own(1), number(2), epoch).map(drop), Ok(()));
    assert_eq!(engine.len(), 2);
}

#[test]
fn key_that_gets_its_own_counter_keeps_what_it_was_charged_while_sharing() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 1);
    let own = |key| [Charge::new(key, Limits::per_day(number(3)))];
    let _ = engine.charge(&own(1), number(1), epoch).unwrap();
    let later = epoch + Duration::from_secs(86_400);
    let _ = engine.charge(&own(2), number(3), later).unwrap();
    let day = epoch + Duration::from_secs(864 * 101);
    let freed: usize = (0..engine.sweep_steps()).map(|_| engine.sweep(day)).sum();

    assert_eq!(freed, 1);
    assert!(engine.charge(&own(2), number(1), day).is_err());
    assert_eq!(
        engine
            .charge(&own(2), number(3), later + Duration::from_secs(864 * 101))
            .map(drop),
        Ok(())
    );
}

#[test]
fn what_was_charged_while_sharing_counts_until_its_slot_leaves_the_day() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 1);
    let own = |key| [Charge::new(key, Limits::per_day(number(3)))];
    let slot = Duration::from_secs(864);
    let _ = engine.charge(&own(1), number(1), epoch).unwrap();
    let _ = engine
        .charge(&own(2), number(3), epoch + 2 * slot - at(1))
        .unwrap();
    let freed: usize = (0..engine.sweep_steps())
        .map(|_| engine.sweep(epoch + 101 * slot))
        .sum();

    assert_eq!(freed, 1);
    assert!(
        engine
            .charge(&own(2), number(1), epoch + 101 * slot)
            .is_err(),
        "99 slots later"
    );
    assert_eq!(
        engine
            .charge(&own(2), number(3), epoch + 102 * slot)
            .map(drop),
        Ok(())
    );
}

#[test]
fn stranger_on_a_clock_that_stepped_back_makes_nobody_forget_another_one() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 1);
    let own = |key, limit| [Charge::new(key, Limits::per_day(number(limit)))];
    let slot = Duration::from_secs(864);
    let _ = engine.charge(&own(1, 3), number(1), epoch).unwrap();
    let _ = engine
        .charge(&own(2, 3), number(3), epoch + 50 * slot)
        .unwrap();
    let _ = engine.charge(&own(3, 4), number(1), epoch).unwrap();
    let freed: usize = (0..engine.sweep_steps())
        .map(|_| engine.sweep(epoch + 101 * slot))
        .sum();

    assert_eq!(freed, 1);
    assert!(
        engine
            .charge(&own(2, 3), number(1), epoch + 101 * slot)
            .is_err(),
        "51 slots later"
    );
}

#[test]
fn sweep_on_a_clock_that_stepped_back_forgets_no_later_one() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 100_000);
    let own = |key| [Charge::new(key, Limits::per_day(number(1)))];
    let (later, back) = (
        epoch + Duration::from_secs(864 * 202),
        epoch + Duration::from_secs(864 * 101),
    );
    (0..1_000).for_each(|key| assert!(engine.charge(&own(key), number(1), epoch).is_ok()));
    let (half, steps) = (engine.sweep_steps() / 4, engine.sweep_steps());

    // Own counters are in the first half of the steps: some are freed now, and the others at an
    // earlier time.
    let freed = (0..steps)
        .map(|step| engine.sweep(if step < half { later } else { back }))
        .sum::<usize>();

    assert_eq!(freed, 1_000);
    (0..1_000).for_each(|key| assert!(engine.charge(&own(key), number(1), back).is_ok()));
    (0..1_000).for_each(|key| {
        assert!(
            engine.charge(&own(key), number(1), later).is_err(),
            "key {key}"
        )
    });
}

/// Many threads, each charging several counters in its own order, until nothing is left.
fn total_of(threads: u32, limit: u32) -> (u32, u32) {
    let epoch = epoch();
    let engine = Engine::new(epoch, 1_000);
    let (admitted, steps) = (AtomicU32::new(0), 40 * limit / threads);
    let wide = Limits::per_day(number(1_000_000));
    thread::scope(|scope| {
        for thread in 0..threads {
            let (engine, admitted) = (&engine, &admitted);
            scope.spawn(move || {
                for step in 0..steps {
                    let (one, other) = (thread.wrapping_mul(7).wrapping_add(step) % 20, step % 20);
                    let limited = Charge::shared(1_000, Limits::per_hour(number(limit)));
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
fn eight_threads_get_exactly_the_limit_in_total() {
    assert_eq!(total_of(8, 4_000), (4_000, 8_000));
}

#[test]
fn sixty_four_threads_get_exactly_the_limit_in_total() {
    assert_eq!(total_of(64, 3_200), (3_200, 6_400));
}

#[test]
fn threads_that_bring_new_keys_stay_within_the_bound() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 100);
    let admitted = AtomicU32::new(0);

    thread::scope(|scope| {
        for thread in 0..8_u32 {
            let (engine, admitted) = (&engine, &admitted);
            scope.spawn(move || {
                for step in 0..200 {
                    let charges = [Charge::new(
                        thread * 1_000 + step,
                        Limits::per_minute(number(3)),
                    )];
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
        "one each for the tracked, three for all others together"
    );
}

#[test]
fn what_is_recorded_counts_though_it_is_over_the_limits() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 10);
    let charges = [
        Charge::new(1, Limits::per_minute(number(3))),
        Charge::new(1, Limits::per_day(number(9))),
    ];
    engine.record(&charges, number(2), epoch);
    engine.record(&charges, number(2), epoch);

    let standings = engine.peek(&charges, epoch);
    assert_eq!(
        standings.of(0, Window::Minute).unwrap().remaining,
        0,
        "a counter named twice is charged twice"
    );
    assert_eq!(standings.of(1, Window::Day).unwrap().remaining, 1);
    assert!(engine.charge(&charges, number(1), epoch).is_err());
    // What a counter cannot count is left out.
    engine.record(&charges, number(u32::MAX), epoch);
    assert_eq!(
        engine
            .peek(&charges, epoch)
            .of(1, Window::Day)
            .unwrap()
            .remaining,
        1
    );
}

#[test]
fn what_is_recorded_gives_a_key_that_shared_nothing_anew() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 1);
    let ten_a_day = |key| [Charge::new(key, Limits::per_day(number(10)))];
    let at = |seconds| epoch + Duration::from_secs(seconds);
    let _ = engine.charge(&ten_a_day(1), number(1), epoch).unwrap();
    let admitted = |now| {
        (0..20)
            .filter(|_| engine.charge(&ten_a_day(2), number(1), now).is_ok())
            .count()
    };

    let while_sharing = admitted(at(80_000));
    let freed: usize = (0..engine.sweep_steps())
        .map(|_| engine.sweep(at(88_300)))
        .sum();
    engine.record(&ten_a_day(2), number(1), at(88_300));

    assert_eq!((while_sharing, freed), (10, 1));
    assert_eq!(
        admitted(at(88_300)),
        0,
        "its own counter goes on from the shared one"
    );
}
