//! Single decisions.

use std::time::Duration;

use aisbreaker_quota::{Charge, Engine, Limits, Refusal, Window};

use crate::oracle::{at, limits, number, some_instant as epoch};

#[test]
fn refusal_reports_charge_window_limit_and_wait() {
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
fn refusal_reports_the_limit_with_the_longest_wait() {
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
fn shared_and_individual_counters_of_one_key_are_separate() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 10);
    let own = [Charge::new(7, Limits::per_minute(1))];
    let shared = [Charge::shared(7, Limits::per_minute(1))];

    let _ = engine.charge(&own, number(1), epoch).unwrap();
    let _ = engine.charge(&shared, number(1), epoch).unwrap();

    assert_eq!(engine.len(), 2);
}

#[test]
fn decision_without_charges_is_admitted() {
    let epoch = epoch();
    let engine = Engine::<u8>::new(epoch, 0);

    let admitted = engine.charge(&[], number(1), epoch).unwrap();

    assert_eq!(admitted.standings().tightest(), None);
}

#[test]
fn new_limits_apply_to_earlier_charges() {
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
    let charges = [Charge::new(1, Limits::per_minute(1))];

    let _ = engine.charge(&charges, number(1), start).unwrap();
    let refusal = engine.charge(&charges, number(1), start).unwrap_err();

    assert!(
        matches!(refusal, Refusal::Exceeded { retry_after, .. } if retry_after == at(60_600)),
        "{refusal:?}"
    );
}

#[test]
fn record_counts_beyond_the_limits() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 10);
    let charges = [
        Charge::new(1, Limits::per_minute(3)),
        Charge::new(1, Limits::per_day(9)),
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
    // A charge that a counter cannot hold is left out.
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
