//! Sweeps, and keys beyond the capacity.

use std::time::Duration;

use aisbreaker_quota::{Charge, Engine, Limits, Refusal};

use crate::oracle::{at, limits, number, some_instant as epoch};
use crate::subject::sweep_all;

#[test]
fn sweep_frees_only_idle_keys() {
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
    let day = Duration::from_secs(864 * 101);

    assert_eq!(sweep_all(&engine, epoch + day - at(1)), 0);
    assert_eq!(sweep_all(&engine, epoch + day), 999);
    assert_eq!(engine.len(), 1);
    assert_eq!(sweep_all(&engine, epoch + day + day), 1);
    assert!(engine.is_empty());
}

#[test]
fn charge_before_the_last_sweep_counts_at_the_sweep() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 10);
    let charges = [Charge::new(1, Limits::per_day(1))];
    let _ = engine.charge(&charges, number(1), epoch).unwrap();
    let later = epoch + Duration::from_secs(864 * 101);
    sweep_all(&engine, later);

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
fn sweep_on_an_earlier_clock_keeps_the_later_one() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 100_000);
    let own = |key| [Charge::new(key, Limits::per_day(1))];
    let (later, back) = (
        epoch + Duration::from_secs(864 * 202),
        epoch + Duration::from_secs(864 * 101),
    );
    for key in 0..1_000 {
        assert!(engine.charge(&own(key), number(1), epoch).is_ok());
    }
    let (quarter, steps) = (engine.sweep_steps() / 4, engine.sweep_steps());

    // Individual counters are in the first half of the steps. Some are freed at the later time, and
    // the others at the earlier one.
    let freed: usize = (0..steps)
        .map(|step| engine.sweep(if step < quarter { later } else { back }))
        .sum();

    assert_eq!(freed, 1_000);
    for key in 0..1_000 {
        assert!(engine.charge(&own(key), number(1), back).is_ok());
    }
    for key in 0..1_000 {
        assert!(
            engine.charge(&own(key), number(1), later).is_err(),
            "key {key}"
        );
    }
}

#[test]
fn tracked_keys_are_unaffected_by_a_full_table() {
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
        "untracked keys share one counter"
    );
    assert_eq!(engine.charge(&own(1), number(2), epoch).map(drop), Ok(()));
    assert_eq!(engine.len(), 2);
}

#[test]
fn key_leaving_the_overflow_keeps_its_charges() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 1);
    let own = |key| [Charge::new(key, Limits::per_day(3))];
    let _ = engine.charge(&own(1), number(1), epoch).unwrap();
    let later = epoch + Duration::from_secs(86_400);
    let _ = engine.charge(&own(2), number(3), later).unwrap();
    let day = epoch + Duration::from_secs(864 * 101);
    let freed = sweep_all(&engine, day);

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
fn overflow_charge_counts_until_its_slot_leaves_the_day() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 1);
    let own = |key| [Charge::new(key, Limits::per_day(3))];
    let slot = Duration::from_secs(864);
    let _ = engine.charge(&own(1), number(1), epoch).unwrap();
    let _ = engine
        .charge(&own(2), number(3), epoch + 2 * slot - at(1))
        .unwrap();
    let freed = sweep_all(&engine, epoch + 101 * slot);

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
fn untracked_key_on_an_earlier_clock_keeps_overflow_charges() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 1);
    let own = |key, limit| [Charge::new(key, Limits::per_day(limit))];
    let slot = Duration::from_secs(864);
    let _ = engine.charge(&own(1, 3), number(1), epoch).unwrap();
    let _ = engine
        .charge(&own(2, 3), number(3), epoch + 50 * slot)
        .unwrap();
    let _ = engine.charge(&own(3, 4), number(1), epoch).unwrap();
    let freed = sweep_all(&engine, epoch + 101 * slot);

    assert_eq!(freed, 1);
    assert!(
        engine
            .charge(&own(2, 3), number(1), epoch + 101 * slot)
            .is_err(),
        "51 slots later"
    );
}

#[test]
fn record_moves_a_key_out_of_the_overflow_with_its_charges() {
    let epoch = epoch();
    let engine = Engine::new(epoch, 1);
    let ten_a_day = |key| [Charge::new(key, Limits::per_day(10))];
    let at = |seconds| epoch + Duration::from_secs(seconds);
    let _ = engine.charge(&ten_a_day(1), number(1), epoch).unwrap();
    let admitted = |now| {
        (0..20)
            .filter(|_| engine.charge(&ten_a_day(2), number(1), now).is_ok())
            .count()
    };

    let while_untracked = admitted(at(80_000));
    let freed = sweep_all(&engine, at(88_300));
    engine.record(&ten_a_day(2), number(1), at(88_300));

    assert_eq!((while_untracked, freed), (10, 1));
    assert_eq!(
        admitted(at(88_300)),
        0,
        "its own counter continues from the overflow counter"
    );
}
