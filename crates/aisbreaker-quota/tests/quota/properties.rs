//! Random histories against an exact log: what the engine promises, for any limits, weights, clocks and keys.

use std::time::Instant;

use aisbreaker_quota::{Charge, Engine, Refusal, Window};

use proptest::prelude::*;

use crate::oracle::{self, Log, at, limits, number, some_instant};

/// One call of a history.
#[derive(Clone, Debug)]
struct Call {
    /// Change of the clock in milliseconds.
    step: i64,
    keys: [usize; 3],
    weight: u32,
    sweep: bool,
}

const KEYS: usize = 6;

fn forward() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => Just(0_i64),
        6 => 0_i64..50,
        5 => 0_i64..2_000,
        4 => 0_i64..70_000,
        3 => 0_i64..4_000_000,
        1 => 0_i64..300_000_000,
    ]
}

fn any_step() -> impl Strategy<Value = i64> {
    prop_oneof![5 => forward(), 1 => (0_i64..70_000).prop_map(|back| -back), 1 => (0_i64..90_000_000).prop_map(|back| -back)]
}

fn calls(step: impl Strategy<Value = i64>) -> impl Strategy<Value = Vec<Call>> {
    let weight = prop_oneof![4 => Just(1_u32), 2 => 1_u32..6, 1 => 1_u32..2_000];
    let call = (step, prop::array::uniform3(0..KEYS), weight, prop::bool::weighted(0.2));
    prop::collection::vec(
        call.prop_map(|(step, keys, weight, sweep)| Call { step, keys, weight, sweep }),
        1..250,
    )
}

fn limit() -> impl Strategy<Value = u32> {
    prop_oneof![2 => 1_u32..4, 3 => 1_u32..40, 1 => 1_u32..1_000_001]
}

fn logs() -> impl Strategy<Value = Vec<Log>> {
    let one = (limit(), limit(), limit()).prop_map(|(minute, hour, day)| Log::new(limits(minute, hour, day)));
    prop::collection::vec(one, KEYS)
}

/// An engine, the logs beside it, and the clock.
struct History {
    engine: Engine<usize>,
    logs: Vec<Log>,
    epoch: Instant,
    now: u64,
}

impl History {
    fn new(capacity: usize, logs: Vec<Log>) -> Self {
        let epoch = some_instant();
        Self { engine: Engine::new(epoch, capacity), logs, epoch, now: 0 }
    }

    fn charges<const N: usize>(&self, keys: [usize; N]) -> [Charge<usize>; N] {
        keys.map(|key| match key {
            0 => Charge::shared(key, self.logs[key].limits),
            _ => Charge::new(key, self.logs[key].limits),
        })
    }

    /// Charges at the current time and keeps the logs; `exact` also checks that no refusal was needless.
    fn charge<const N: usize>(
        &mut self,
        keys: [usize; N],
        weight: u32,
        exact: bool,
    ) -> Result<(), Refusal<N>> {
        let now = self.now;
        let charges = self.charges(keys);
        let answer = self.engine.charge(&charges, number(weight), self.epoch + at(now));

        // Counters are looked at, and so learn the time, unless the weight alone is too much.
        let looked =
            keys.iter().all(|key| Window::ALL.iter().all(|w| self.logs[*key].limits.of(*w).get() >= weight));
        for key in keys {
            let log = &mut self.logs[key];
            if looked && (answer.is_ok() || !log.admitted.is_empty()) {
                log.seen = log.seen.max(now);
            }
        }
        if answer.is_ok() {
            for key in keys {
                let log = &mut self.logs[key];
                log.admitted.push((log.seen, weight));
                assert!(log.holds(log.seen), "let too many through: key {key} at {now}");
            }
        } else if exact {
            let needless = keys.iter().all(|key| {
                let times = u64::try_from(keys.iter().filter(|other| *other == key).count()).unwrap();
                self.logs[*key].fits_slotted(times * u64::from(weight), self.logs[*key].seen.max(now))
            });
            assert!(!needless, "stricter than one slot: {keys:?} at {now}");
        }
        answer.map(drop)
    }

    /// Goes to where a refusal said the request would be admitted, looking in just before.
    fn follow<const N: usize>(&mut self, keys: [usize; N], weight: u32, refusal: &Refusal<N>) {
        let Refusal::Exceeded { retry_after, charge, window, limit, remaining, standings } = *refusal else {
            return;
        };
        assert!(remaining < weight * u32::try_from(N).unwrap(), "{refusal:?}");
        assert_eq!(self.logs[keys[charge]].limits.of(window), limit);
        assert_eq!(standings.of(charge, window).unwrap().remaining, remaining);
        let from = self.epoch + at(self.now);
        let charges = self.charges(keys);

        let before = self.engine.charge(&charges, number(weight), from + retry_after - at(1));
        assert!(
            matches!(before, Err(Refusal::Exceeded { retry_after, .. }) if retry_after == at(1)),
            "{before:?}"
        );

        self.now += u64::try_from(retry_after.as_millis()).unwrap();
        assert_eq!(self.epoch + at(self.now), from + retry_after, "slots end on whole milliseconds");
        assert_eq!(self.charge(keys, weight, true), Ok(()), "the announced wait was too short");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn admits_neither_more_than_the_window_allows_nor_less_than_one_percent_off(
        logs in logs(), calls in calls(forward())
    ) {
        let mut history = History::new(100, logs);
        for call in calls {
            history.now += u64::try_from(call.step).unwrap();
            if call.sweep {
                sweep_all(&history);
            }
            let _ = history.charge(call.keys, call.weight, true);
        }
    }

    #[test]
    fn announced_wait_is_exact_to_the_millisecond(logs in logs(), calls in calls(forward())) {
        let mut history = History::new(100, logs);
        for call in calls.into_iter().take(80) {
            history.now += u64::try_from(call.step).unwrap();
            if let Err(refusal) = history.charge(call.keys, call.weight, true) {
                history.follow(call.keys, call.weight, &refusal);
            }
            let [key, ..] = call.keys;
            if let Err(refusal) = history.charge([key], 1, true) {
                history.follow([key], 1, &refusal);
            }
        }
    }

    #[test]
    fn clock_that_steps_back_never_admits_more(logs in logs(), calls in calls(any_step())) {
        let mut history = History::new(100, logs);
        for call in calls {
            history.now = history.now.saturating_add_signed(call.step);
            let _ = history.charge(call.keys, call.weight, true);
        }
    }

    #[test]
    fn keys_beyond_the_bound_are_never_waved_through(
        capacity in 0_usize..5, minute in limit(), calls in calls(forward())
    ) {
        let logs = (0..KEYS).map(|key| Log::new(if key < 4 { limits(minute, 30, 40) } else { limits(5, 9, 12) }));
        let mut history = History::new(capacity, logs.collect());
        for call in calls {
            history.now += u64::try_from(call.step).unwrap();
            if call.sweep {
                sweep_all(&history);
            }
            let _ = history.charge(call.keys, call.weight, false);
            prop_assert!(history.engine.len() <= capacity);
        }
    }

    #[test]
    fn refusal_changes_nothing_anyone_can_see(logs in logs(), calls in calls(forward())) {
        let mut history = History::new(4, logs);
        let everything = [0, 1, 2, 3, 4, 5];
        for call in calls.into_iter().take(80) {
            history.now += u64::try_from(call.step).unwrap();
            let now = history.epoch + at(history.now);
            let all = history.charges(everything);
            let before = (history.engine.peek(&all, now), history.engine.len());

            let answer = history.engine.charge(&history.charges(call.keys), number(call.weight), now);

            match answer {
                Err(_) => prop_assert_eq!(before, (history.engine.peek(&all, now), history.engine.len())),
                Ok(admitted) => {
                    prop_assert_eq!(*admitted.standings(), history.engine.peek(&history.charges(call.keys), now));
                }
            }
        }
    }

    #[test]
    fn remaining_is_what_can_still_be_charged(logs in logs(), calls in calls(forward())) {
        let mut history = History::new(100, logs);
        for call in calls.into_iter().take(40) {
            history.now += u64::try_from(call.step).unwrap();
            let _ = history.charge(call.keys, call.weight, true);
            let now = history.epoch + at(history.now);
            let [key, ..] = call.keys;
            let charges = history.charges([key]);
            let standings = history.engine.peek(&charges, now);
            let (_, tightest) = standings.tightest().unwrap();

            if let Some(more) = tightest.remaining.checked_add(1) {
                prop_assert!(history.engine.charge(&charges, number(more), now).is_err());
            }
            if tightest.remaining > 0 {
                prop_assert_eq!(history.charge([key], tightest.remaining, true), Ok(()));
            }
        }
    }
}

fn sweep_all(history: &History) {
    for _ in 0..history.engine.sweep_steps() {
        history.engine.sweep(history.epoch + at(history.now));
    }
}

#[test]
fn windows_are_as_long_as_they_say() {
    assert_eq!(Window::ALL.map(oracle::millis), [60_000, 3_600_000, 86_400_000]);
}
