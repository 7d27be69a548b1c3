//! Snapshots: they keep everything, and are restored as a whole or refused.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use aisbreaker_quota::{
    Admitted, Charge, Engine, Limits, Refusal, RestoreOptions, SnapshotError, Standings, Window,
};

use proptest::prelude::*;

use crate::oracle::{limits, number, some_instant};
use crate::subject::sweep_all;

const WALL: Duration = Duration::from_secs(1_800_000_000);

fn wall(since: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + WALL + since
}

fn save(engine: &Engine<u32>, now: Instant, wall: SystemTime) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = engine.snapshot(
        now,
        wall,
        |key, to| to.extend_from_slice(&key.to_le_bytes()),
        |piece| {
            bytes.extend_from_slice(piece);
            Ok::<_, Infallible>(())
        },
    );
    assert_eq!(written, Ok(()));
    bytes
}

fn restore(
    bytes: &[u8],
    now: Instant,
    wall: SystemTime,
    capacity: usize,
) -> Result<Engine<u32>, SnapshotError> {
    let decode = |key: &[u8]| Some(u32::from_le_bytes(key.try_into().ok()?));
    Engine::restore(
        bytes,
        &RestoreOptions {
            now,
            wall,
            capacity,
            shard_by: None,
        },
        decode,
    )
}

fn error(bytes: &[u8]) -> Option<SnapshotError> {
    restore(bytes, some_instant(), wall(Duration::ZERO), 100).err()
}

/// A charge to one of several counters, each with limits of its own.
fn charge(key: u32, table: &[Limits]) -> Charge<u32> {
    let limits = table[key as usize % table.len()];
    if key.is_multiple_of(2) {
        Charge::new(key, limits)
    } else {
        Charge::shared(key, limits)
    }
}

/// The snapshot of an engine with some history.
fn sample() -> Vec<u8> {
    let start = some_instant();
    let engine = Engine::new(start, 3);
    let limits = Limits::per_day(1_000);
    for step in 0..40_u32 {
        let now = start + Duration::from_secs(u64::from(step) * 400);
        engine
            .charge(&[charge(step % 5, &[limits])], number(1 + step % 3), now)
            .unwrap();
    }
    save(
        &engine,
        start + Duration::from_secs(16_000),
        wall(Duration::ZERO),
    )
}

#[derive(Clone, Debug)]
struct Call {
    step: u64,
    key: u32,
    weight: u32,
    sweep: bool,
}

fn some_limits() -> impl Strategy<Value = Limits> {
    (1..30_u32, 1..60_u32, 1..120_u32).prop_map(|(minute, hour, day)| limits(minute, hour, day))
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let step = prop_oneof![
        4 => 0_u64..2_000,
        3 => 0_u64..70_000,
        2 => 0_u64..4_000_000,
        1 => 0_u64..300_000_000,
    ];
    let call = (step, 0..12_u32, 1..6_u32, prop::bool::weighted(0.2));
    prop::collection::vec(
        call.prop_map(|(step, key, weight, sweep)| Call {
            step,
            key,
            weight,
            sweep,
        }),
        0..80,
    )
}

/// Every limit as a caller sees it, whatever the counter's list looks like.
fn visible(standings: &Standings<2>) -> String {
    format!("{:?}", standings.iter().collect::<Vec<_>>())
}

/// Everything that a caller sees of a decision.
fn outcome(result: Result<Admitted<2>, Refusal<2>>) -> String {
    match result {
        Ok(admitted) => visible(admitted.standings()),
        Err(Refusal::Exceeded {
            charge,
            window,
            limit,
            remaining,
            retry_after,
            standings,
        }) => {
            let standings = visible(&standings);
            format!("{charge} {window:?} {limit} {remaining} {retry_after:?} {standings}")
        }
        Err(refusal @ Refusal::TooHeavy { .. }) => format!("{refusal:?}"),
    }
}

/// Makes the same calls to some engines, each with its own clock, and compares the results.
fn compare(calls: &[Call], table: &[Limits], engines: &mut [(&Engine<u32>, Instant)]) {
    for (index, call) in calls.iter().enumerate() {
        let charges = [charge(call.key, table), charge(call.key / 2 + 1, table)];
        let mut observed = Vec::new();
        for (engine, now) in &mut *engines {
            *now += Duration::from_millis(call.step);
            if call.sweep {
                sweep_all(engine, *now);
            }
            let weight = NonZeroU32::new(call.weight).unwrap();
            let result = engine.charge(&charges, weight, *now);
            observed.push((
                outcome(result),
                visible(&engine.peek(&charges, *now)),
                engine.len(),
            ));
        }
        for other in &observed[1..] {
            assert_eq!(observed[0], *other, "call {index}: {call:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The restored engine runs on another monotonic clock. The wall clock tells the time between.
    #[test]
    fn restored_engine_decides_like_one_that_never_stopped(
        before in calls(),
        after in calls(),
        table in prop::collection::vec(some_limits(), 1..5),
        capacity in prop_oneof![1..12_usize, Just(1_000)],
        idle in prop_oneof![Just(0_u64), 0..100_000_u64, 0..400_000_000_u64],
    ) {
        let start = some_instant();
        let idle = Duration::from_millis(idle);
        let engine = Engine::new(start, capacity);
        let mut now = start;
        for call in &before {
            compare(std::slice::from_ref(call), &table, &mut [(&engine, now)]);
            now += Duration::from_millis(call.step);
        }
        let bytes = save(&engine, now, wall(Duration::ZERO));
        let restart = start + Duration::from_secs(77);
        let second = restore(&bytes, restart, wall(idle), capacity).unwrap();
        // A snapshot leaves out idle counters, so both engines are swept at the same moment.
        for (engine, now) in [(&engine, now + idle), (&second, restart)] {
            sweep_all(engine, now);
        }

        compare(&after, &table, &mut [(&engine, now + idle), (&second, restart)]);
    }
}

#[test]
fn wall_clock_set_back_admits_nothing_early() {
    let start = some_instant();
    let engine = Engine::new(start, 10);
    let charges = [Charge::new(2, Limits::per_day(3))];
    engine.charge(&charges, number(3), start).unwrap();
    let bytes = save(&engine, start, wall(Duration::ZERO));
    let day = Duration::from_secs(90_000);
    let rows = [
        (
            "a year back",
            SystemTime::UNIX_EPOCH + WALL - 365 * day,
            false,
        ),
        ("before 1970", SystemTime::UNIX_EPOCH - day, false),
        ("the same moment", wall(Duration::ZERO), false),
        ("an hour later", wall(day / 25), false),
        ("more than a day later", wall(day), true),
        ("the end of time", wall(Duration::from_secs(1 << 40)), true),
    ];

    for (row, wall, admits) in rows {
        let second = restore(&bytes, start, wall, 10).unwrap();
        assert_eq!(
            second.charge(&charges, number(1), start).is_ok(),
            admits,
            "{row}"
        );
    }
}

#[test]
fn snapshot_truncated_or_changed_anywhere_is_refused() {
    let bytes = sample();
    assert_eq!(error(&bytes), None);

    for len in 0..bytes.len() {
        let expected = if len < 8 {
            SnapshotError::NotASnapshot
        } else {
            SnapshotError::Damaged
        };
        assert_eq!(
            error(&bytes[..len]),
            Some(expected),
            "truncated to {len} bytes"
        );
    }
    for at in 0..bytes.len() {
        for change in [1, 0x80, 0xFF] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            let found = error(&changed);
            match at {
                0..8 => assert_eq!(found, Some(SnapshotError::NotASnapshot), "byte {at}"),
                8..12 => {
                    assert!(
                        matches!(found, Some(SnapshotError::Version(_))),
                        "byte {at}: {found:?}"
                    )
                }
                _ => assert_eq!(found, Some(SnapshotError::Damaged), "byte {at}"),
            }
        }
    }
    assert_eq!(
        error(&[&*bytes, b"\0"].concat()),
        Some(SnapshotError::Damaged),
        "one byte more"
    );
    assert_eq!(
        error(&[&*bytes, &*bytes].concat()),
        Some(SnapshotError::Damaged),
        "twice"
    );
}

/// The checksums are valid, so that the reader has to validate everything else.
#[test]
fn hostile_snapshot_is_refused_or_yields_a_working_engine() {
    let bytes = sample();
    let (body, _) = bytes.split_last_chunk::<4>().unwrap();
    let sealed = |body: &[u8]| [body, &crc32fast::hash(body).to_le_bytes()].concat();
    assert_eq!(error(&sealed(body)), None);

    for len in 36..body.len() {
        let found = error(&sealed(&body[..len]));
        assert!(
            matches!(found, Some(SnapshotError::Invalid | SnapshotError::Damaged)),
            "{len} bytes: {found:?}"
        );
    }
    for at in 12..body.len() {
        for value in [0, 1, 2, 3, 0x7F, 0xFF] {
            let mut changed = body.to_vec();
            changed[at] = value;
            // Numbers may have any value. If the snapshot is accepted, the engine must work.
            if let Ok(engine) = restore(&sealed(&changed), some_instant(), wall(Duration::ZERO), 3)
            {
                let charges = [0, 1, 2, 3, 4].map(|key| charge(key, &[Limits::per_day(9)]));
                let _any = engine.charge(&charges, number(1), some_instant());
                engine.sweep(some_instant());
            }
        }
    }
    assert_eq!(
        error(&sealed(&[body, b"\0"].concat())),
        Some(SnapshotError::Invalid),
        "something after the end"
    );
}

#[test]
fn restored_keys_beyond_the_capacity_are_all_tracked() {
    let start = some_instant();
    let engine = Engine::new(start, 100);
    let spent = Limits::per_day(1);
    for key in 0..100 {
        engine
            .charge(&[Charge::new(key, spent)], number(1), start)
            .unwrap();
    }
    let bytes = save(&engine, start, wall(Duration::ZERO));

    let small = restore(&bytes, start, wall(Duration::ZERO), 10).unwrap();

    assert_eq!(small.len(), 100);
    for key in 0..100 {
        assert!(
            small
                .charge(&[Charge::new(key, spent)], number(1), start)
                .is_err(),
            "key {key}"
        );
    }
    let charge_new = |key| {
        small
            .charge(&[Charge::new(key, spent)], number(1), start)
            .is_ok()
    };
    assert_eq!(
        [charge_new(1_000), charge_new(1_001)],
        [true, false],
        "two new keys share the limit of one"
    );
    assert_eq!(small.len(), 100);
}

#[test]
fn snapshot_during_charges_has_a_prefix_of_each_counter() {
    let start = some_instant();
    let engine = Engine::new(start, 1_000);
    let limits = Limits::per_day(u32::MAX);
    let (counts, is_over) = ([const { AtomicU32::new(0) }; 16], AtomicBool::new(false));
    let keys = || (0..16_u32).map(|key| charge(key, &[limits]));
    let used = |engine: &Engine<u32>| -> Vec<u32> {
        let remaining = |charge| {
            engine
                .peek(&[charge], start)
                .of_charge(0)
                .find(|standing| standing.window == Window::Day)
        };
        keys()
            .map(|charge| u32::MAX - remaining(charge).unwrap().remaining)
            .collect()
    };

    thread::scope(|scope| {
        for thread in 0..8_u32 {
            let (engine, counts, is_over) = (&engine, &counts, &is_over);
            scope.spawn(move || {
                for step in 0_u32.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let key = (thread * 5 + step) % 16;
                    engine
                        .charge(&[charge(key, &[limits])], NonZeroU32::MIN, start)
                        .unwrap();
                    counts[key as usize].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..50 {
            let before = used(&engine);
            let bytes = save(&engine, start, wall(Duration::ZERO));
            let after = used(&engine);
            let kept = used(&restore(&bytes, start, wall(Duration::ZERO), 1_000).unwrap());
            for (key, ((kept, before), after)) in kept.iter().zip(before).zip(after).enumerate() {
                assert!(
                    before <= *kept && *kept <= after,
                    "round {round}, key {key}: {before} {kept} {after}"
                );
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let charged: Vec<u32> = counts.into_iter().map(AtomicU32::into_inner).collect();
    let bytes = save(&engine, start, wall(Duration::ZERO));
    assert_eq!(
        used(&restore(&bytes, start, wall(Duration::ZERO), 1_000).unwrap()),
        charged
    );
}
