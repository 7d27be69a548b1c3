//! Windows of any length: the histories and the single behaviours of rates.

use std::convert::Infallible;
use std::time::{Duration, Instant, SystemTime};

use aisbreaker_quota::{
    Charge, Engine, InvalidLimit, Rate, Refusal, RestoreOptions, SnapshotError, Standing,
};
use proptest::prelude::*;

use crate::{
    history::{check_decisions, check_refusals_change_nothing, check_remaining, check_waits},
    oracle::{Kind, Log, number, some_instant as epoch},
    strategies::{Call, KEYS, calls, limit},
    subject::{Memory, sweep_all},
};

const SECOND: Duration = Duration::from_secs(1);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Lengths of windows in milliseconds, from a second to 30 days, each order of magnitude equally
/// often.
fn window_millis() -> impl Strategy<Value = u64> {
    prop_oneof![
        1 => prop::sample::select(vec![1_000, 60_000, 3_600_000, 86_400_000, 604_800_000, 2_592_000_000]),
        1 => 1_000_u64..10_000,
        1 => 10_000_u64..100_000,
        1 => 100_000_u64..10_000_000,
        1 => 10_000_000_u64..100_000_000,
        1 => 100_000_000_u64..2_592_000_000,
    ]
}

/// Empty logs, each of a window of its own.
fn logs() -> impl Strategy<Value = Vec<Log<Rate>>> {
    prop::collection::vec((window_millis(), limit()), KEYS).prop_map(|rates| {
        let log = |(index, (millis, limit)): (usize, (u64, u32))| {
            // The two counters of a key have windows of different lengths.
            let even = millis / 2 * 2;
            let millis = match index % 2 {
                0 => even,
                _ => (even + 1).min(2_591_999_999),
            };
            Log::new(Rate::per(Duration::from_millis(millis), limit))
        };
        rates.into_iter().enumerate().map(log).collect()
    })
}

/// A change of the clock.
#[derive(Clone, Copy, Debug)]
enum Step {
    Stand,
    /// Thousandths of the length of the window of this log.
    Of(usize, i64),
    /// This many slots of the window of this log, and this many units more.
    Edge(usize, i64, i64),
}

fn forward() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Stand),
        6 => (0..KEYS, 0_i64..20).prop_map(|(log, part)| Step::Of(log, part)),
        4 => (0..KEYS, 0_i64..1_200).prop_map(|(log, part)| Step::Of(log, part)),
        3 => (0..KEYS, 98_i64..=102, -1_i64..=1).prop_map(|(log, slots, off)| Step::Edge(log, slots, off)),
        1 => (0..KEYS, 0_i64..5_000).prop_map(|(log, part)| Step::Of(log, part)),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => forward(),
        1 => (0..KEYS, 0_i64..1_200).prop_map(|(log, part)| Step::Of(log, -part)),
    ]
}

/// Logs, and calls with a clock that moves by parts of their windows.
fn histories(
    step: impl Strategy<Value = Step>,
) -> impl Strategy<Value = (Vec<Log<Rate>>, Vec<Call>)> {
    histories_of(logs(), step)
}

fn histories_of(
    logs: impl Strategy<Value = Vec<Log<Rate>>>,
    step: impl Strategy<Value = Step>,
) -> impl Strategy<Value = (Vec<Log<Rate>>, Vec<Call>)> {
    let steps = prop::collection::vec(step, 250);
    (logs, calls(Just(0)), steps).prop_map(|(logs, mut calls, steps)| {
        let length = |log: usize| {
            let (_, length, _) = logs[log].limits.windows()[0];
            i64::try_from(length).unwrap()
        };
        for (call, step) in calls.iter_mut().zip(steps) {
            call.step = match step {
                Step::Stand => 0,
                Step::Of(log, thousandths) => length(log) / 1_000 * thousandths,
                Step::Edge(log, slots, off) => length(log) / 100 * slots + off,
            };
        }
        (logs, calls)
    })
}

/// Empty logs with the same rate for all keys, so that all untracked keys share one counter. The
/// counters of even and odd indices have different keys then.
fn logs_with_equal_rates() -> impl Strategy<Value = Vec<Log<Rate>>> {
    (window_millis(), limit()).prop_map(|(millis, limit)| {
        let rate = Rate::per(Duration::from_millis(millis), limit);
        (0..KEYS).map(|_| Log::new(rate)).collect()
    })
}

/// Names only counters with keys of their own.
fn without_odd_counters(mut calls: Vec<Call>) -> Vec<Call> {
    for call in &mut calls {
        call.keys = call.keys.map(|key| key / 2 * 2);
    }
    calls
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn decisions_are_exact_to_one_slot((logs, calls) in histories(forward())) {
        check_decisions(Memory::new(KEYS), logs, &calls);
    }

    #[test]
    fn retry_after_is_exact((logs, calls) in histories(forward())) {
        check_waits(Memory::new(KEYS), logs, &calls[..calls.len().min(80)]);
    }

    #[test]
    fn clock_that_steps_back_never_admits_more((logs, calls) in histories(any_step())) {
        check_decisions(Memory::sharded(KEYS), logs, &calls);
    }

    #[test]
    fn counters_beyond_the_capacity_stay_within_their_limits(
        capacity in 0_usize..5, (logs, calls) in histories(forward())
    ) {
        check_decisions(Memory::new(capacity), logs, &calls);
    }

    #[test]
    fn counters_at_the_capacity_stay_within_their_limits_on_any_clock(
        capacity in 0_usize..KEYS / 2,
        (logs, calls) in histories_of(logs_with_equal_rates(), any_step()),
    ) {
        check_decisions(Memory::sharded(capacity), logs, &without_odd_counters(calls));
    }

    #[test]
    fn refusal_changes_no_observable_state(
        capacity in 0_usize..=KEYS, (logs, calls) in histories(forward())
    ) {
        let calls = &calls[..calls.len().min(80)];
        check_refusals_change_nothing(Memory::new(capacity), logs, calls);
    }

    #[test]
    fn remaining_is_what_can_still_be_charged((logs, calls) in histories(forward())) {
        check_remaining(Memory::new(KEYS), logs, &calls[..calls.len().min(40)]);
    }

    #[test]
    fn restored_engine_decides_like_the_saved_one(
        capacity in 0_usize..=KEYS, (logs, calls) in histories(forward()), cut in 0_usize..250,
    ) {
        let start = epoch();
        let mut engine = Engine::new(start, capacity);
        let mut now = start;
        for (index, call) in calls.iter().enumerate() {
            now += Rate::UNIT * u32::try_from(call.step).unwrap_or(u32::MAX);
            let charges = call.keys.map(|key| logs[key].limits.charge(key));
            let weight = number(call.weight.under(call.keys.map(|key| logs[key].limits)));
            if index == cut {
                // A snapshot leaves out what is idle, which makes room.
                sweep_all(&engine, now);
                let restored = restore(&save(&engine, now), now, capacity).unwrap();
                let everything = [0, 1, 2, 3, 4, 5].map(|key| logs[key].limits.charge(key));
                let visible = |engine: &Engine<usize, Rate>| -> Vec<(usize, Standing<Duration>)> {
                    engine.peek(&everything, now).iter().collect()
                };
                prop_assert_eq!(visible(&engine), visible(&restored));
                engine = restored;
            }
            let _either = engine.charge(&charges, weight, now);
        }
    }
}

fn save(engine: &Engine<usize, Rate>, now: Instant) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = engine.snapshot(
        now,
        SystemTime::UNIX_EPOCH,
        |key, to| to.push(u8::try_from(*key).unwrap()),
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
    capacity: usize,
) -> Result<Engine<usize, Rate>, SnapshotError> {
    let options = RestoreOptions {
        now,
        wall: SystemTime::UNIX_EPOCH,
        capacity,
        shard_by: None,
    };
    Engine::restore(bytes, &options, |key| Some(usize::from(*key.first()?)))
}

#[test]
fn snapshots_of_the_two_kinds_of_limits_are_not_mixed_up() {
    let now = epoch();
    let engine = Engine::new(now, 10);
    engine
        .charge_one(&[Charge::new(1_usize, Rate::per(WEEK, 3))], now)
        .unwrap();
    let bytes = save(&engine, now);

    let options = RestoreOptions {
        now,
        wall: SystemTime::UNIX_EPOCH,
        capacity: 10,
        shard_by: None,
    };
    let other = Engine::<usize>::restore(&bytes, &options, |_| Some(1));

    assert_eq!(other.err(), Some(SnapshotError::NotASnapshot));
    for cut in 0..bytes.len() {
        assert!(restore(&bytes[..cut], now, 10).is_err(), "{cut}");
    }
}

#[test]
fn lengths_of_windows_are_checked_and_rounded_up() {
    let of = |window| Rate::try_per(window, 5).map(|rate| rate.window());
    let nano = Duration::from_nanos(1);
    for (window, expected) in [
        (Duration::ZERO, Err(InvalidLimit::Window)),
        (SECOND - nano, Err(InvalidLimit::Window)),
        (SECOND, Ok(SECOND)),
        (SECOND + nano, Ok(Duration::from_millis(1_001))),
        (Rate::MAX_WINDOW - nano, Ok(Rate::MAX_WINDOW)),
        (Rate::MAX_WINDOW, Ok(Rate::MAX_WINDOW)),
        (Rate::MAX_WINDOW + nano, Err(InvalidLimit::Window)),
        (Duration::MAX, Err(InvalidLimit::Window)),
    ] {
        assert_eq!(of(window), expected, "{window:?}");
    }
    assert_eq!(Rate::try_per(SECOND, 0), Err(InvalidLimit::Zero));
}

#[test]
fn refusal_names_the_window_and_its_length() {
    let now = epoch();
    let engine = Engine::new(now, 10);
    for (window, expected) in [
        (
            SECOND,
            "limit of 1 per second exceeded, admitted again in 1.01s",
        ),
        (
            WEEK,
            "limit of 1 per 7 days exceeded, admitted again in 610848s",
        ),
        (
            Duration::from_secs(90),
            "limit of 1 per 90 seconds exceeded, admitted again in 90.9s",
        ),
        (
            Duration::from_millis(1_500),
            "limit of 1 per 1.5s exceeded, admitted again in 1.515s",
        ),
    ] {
        let charges = [Charge::new("ada", Rate::per(window, 1))];
        engine.charge_one(&charges, now).unwrap();

        let refusal = engine.charge_one(&charges, now).unwrap_err();

        assert_eq!(refusal.to_string(), expected);
    }
}

#[test]
fn weight_above_a_rate_is_too_heavy() {
    let now = epoch();
    let engine = Engine::new(now, 10);
    let charges = [
        Charge::new("ada", Rate::per(SECOND, 9)),
        Charge::new("ada", Rate::per(WEEK, 5)),
    ];

    let refusal = engine.charge(&charges, number(6), now).unwrap_err();

    let expected = Refusal::TooHeavy {
        charge: 1,
        window: WEEK,
        limit: number(5),
    };
    assert_eq!(refusal, expected);
    assert_eq!(engine.len(), 0);
}

#[test]
fn key_has_a_counter_for_each_window() {
    let now = epoch();
    let engine = Engine::new(now, 10);
    let second = [Charge::new("ada", Rate::per(SECOND, 3))];
    let week = [Charge::new("ada", Rate::per(WEEK, 3))];
    // The limit is not part of a counter's name.
    let same_week = [Charge::new("ada", Rate::per(WEEK, 5))];

    engine.charge_one(&second, now).unwrap();
    engine.charge_one(&week, now).unwrap();
    engine.charge_one(&same_week, now).unwrap();

    let used = |charges| {
        let standing = engine.peek(charges, now).of(0).unwrap();
        standing.limit.get() - standing.remaining
    };
    assert_eq!([used(&second), used(&week), used(&same_week)], [1, 2, 2]);
    assert_eq!(engine.len(), 2);
}

#[test]
fn sweep_frees_each_counter_after_its_own_window() {
    let now = epoch();
    let engine = Engine::new(now, 10);
    for window in [SECOND, WEEK] {
        engine
            .charge_one(&[Charge::new("ada", Rate::per(window, 3))], now)
            .unwrap();
    }

    let after = |seconds| sweep_all(&engine, now + Duration::from_millis(seconds));

    assert_eq!(after(1_009), 0);
    assert_eq!(after(1_010), 1);
    assert_eq!(after(610_847_999), 0);
    assert_eq!(after(610_848_000), 1);
    assert!(engine.is_empty());
}

#[test]
fn record_counts_beyond_the_limit_up_to_the_largest_number() {
    let now = epoch();
    let engine = Engine::new(now, 10);
    let charges = [Charge::new("ada", Rate::per(SECOND, u32::MAX))];

    engine.record(&charges, number(u32::MAX - 1), now);
    engine.record(&charges, number(2), now);

    assert_eq!(engine.peek(&charges, now).of(0).unwrap().remaining, 1);
}
