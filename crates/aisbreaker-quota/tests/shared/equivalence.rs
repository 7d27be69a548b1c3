//! Store and memory agree, decision by decision.

mod any_clock;

use std::time::{Duration, Instant};

use aisbreaker_quota::shared::{SharedEngine, SharedRefusal};
use aisbreaker_quota::{Admitted, Charge, Engine, Limits, Refusal, Standing, Standings};
use proptest::prelude::*;

use crate::oracle::number;
use crate::redis_server::RedisServer;
use crate::support::{connect, options};

/// Where histories begin, since the epoch of the store. Slots of every window begin there.
const START: Duration = Duration::from_secs(86_400 * 800);
const KEYS: usize = 5;

#[derive(Clone, Debug)]
struct Call {
    /// Milliseconds since the call before.
    step: u64,
    keys: [usize; 3],
    weight: u32,
    is_peek: bool,
}

fn step() -> impl Strategy<Value = u64> {
    let window = prop::sample::select(vec![60_000_u64, 3_600_000, 86_400_000]);
    let edge = (window, 99_u64..=102, 0_u64..=2)
        .prop_map(|(window, slots, off)| window / 100 * slots + off - 1);
    prop_oneof![
        6 => Just(0_u64),
        6 => 0_u64..1_500,
        4 => 0_u64..70_000,
        3 => 0_u64..4_000_000,
        2 => edge,
        1 => 0_u64..300_000_000,
    ]
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let weight = prop_oneof![5 => Just(1_u32), 2 => 1_u32..6, 1 => 1_u32..2_000];
    let call = (
        step(),
        prop::array::uniform3(0..KEYS),
        weight,
        prop::bool::weighted(0.2),
    );
    let call = call.prop_map(|(step, keys, weight, is_peek)| Call {
        step,
        keys,
        weight,
        is_peek,
    });
    prop::collection::vec(call, 1..200)
}

fn limits() -> impl Strategy<Value = Vec<Limits>> {
    let limit = || prop_oneof![2 => 1_u32..5, 3 => 1_u32..60, 2 => 1_u32..=1_000_000];
    let limits =
        (limit(), limit(), limit()).prop_map(|(minute, hour, day)| Limits::new(minute, hour, day));
    prop::collection::vec(limits, KEYS)
}

/// Everything in the standings.
fn visible<const N: usize>(standings: &Standings<N>) -> Vec<(usize, Standing)> {
    standings.iter().collect()
}

/// Everything in the result of a decision.
fn outcome<const N: usize>(result: Result<Admitted<N>, Refusal<N>>) -> String {
    match result {
        Ok(admitted) => format!("admitted {:?}", visible(admitted.standings())),
        Err(Refusal::Exceeded {
            charge,
            window,
            limit,
            remaining,
            retry_after,
            standings,
        }) => {
            let standings = visible(&standings);
            format!(
                "exceeded {charge} {window:?} {limit} {remaining} {retry_after:?} {standings:?}"
            )
        }
        Err(Refusal::TooHeavy {
            charge,
            window,
            limit,
        }) => format!("too heavy {charge} {window:?} {limit}"),
    }
}

async fn compare(shared: &SharedEngine, limits: &[Limits], calls: Vec<Call>, case: u32) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to count from"
    )]
    let epoch = Instant::now();
    let memory = Engine::new(epoch, 1_000);
    let mut now = Duration::ZERO;
    for (index, call) in calls.into_iter().enumerate() {
        now += Duration::from_millis(call.step);
        let charges = call.keys.map(|key| {
            let name = format!("{case}-{key}");
            if key == 0 {
                Charge::shared(name, limits[key])
            } else {
                Charge::new(name, limits[key])
            }
        });
        if call.is_peek {
            let standings = shared.peek_at(&charges, START + now).await.unwrap();
            assert_eq!(
                visible(&standings),
                visible(&memory.peek(&charges, epoch + now)),
                "{index}: peek"
            );
            continue;
        }
        let weight = number(call.weight);
        let result = shared
            .charge_at(&charges, weight, START + now)
            .await
            .map_err(|refusal| match refusal {
                SharedRefusal::Quota(refusal) => refusal,
                SharedRefusal::Store(error) => panic!("{index}: {error}"),
            });
        assert_eq!(
            outcome(result),
            outcome(memory.charge(&charges, weight, epoch + now)),
            "{index}: {call:?}"
        );
    }
}

#[test]
fn store_and_memory_agree_on_forward_clocks() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let engine = runtime.block_on(connect(&redis, options()));
    let config = ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let case = std::cell::Cell::new(0);

    let outcome =
        prop::test_runner::TestRunner::new(config).run(&(limits(), calls()), |(limits, calls)| {
            case.set(case.get() + 1);
            runtime.block_on(compare(&engine, &limits, calls, case.get()));
            Ok(())
        });

    outcome.unwrap();
    // Every counter expires by itself.
    for name in redis.cli(&["KEYS", "*"]).lines().take(50) {
        let ttl: i64 = redis.cli(&["TTL", name]).trim().parse().unwrap();
        assert!((87_264..=88_200).contains(&ttl), "{name}: {ttl}");
    }
}

#[tokio::test]
async fn lists_of_every_length_fold_like_in_memory() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&redis, options()).await;
    let limits = vec![Limits::new(90, 4_000, 400_000); KEYS];
    let steady = |step, count| {
        let call = Call {
            step,
            keys: [1, 2, 0],
            weight: 1,
            is_peek: false,
        };
        vec![call; count]
    };

    // Every slot of the minute, then slots of the hour, then of the day; an idle day, and slots of
    // the minute again.
    let rounds = [
        steady(600, 250),
        steady(36_000, 210),
        steady(864_000, 130),
        steady(87_264_000, 2),
        steady(601, 150),
    ];
    compare(&engine, &limits, rounds.concat(), 0).await;
}

#[tokio::test]
async fn clock_that_steps_back_counts_as_standing_still() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&redis, options()).await;
    let charges = [Charge::new("a", Limits::per_minute(2))];
    let at = |seconds| START + Duration::from_secs(seconds);

    assert!(engine.charge_at(&charges, number(1), at(600)).await.is_ok());
    assert!(engine.charge_at(&charges, number(1), at(0)).await.is_ok());

    // Both count from the later time on.
    for refused in [0, 300, 601, 660] {
        let result = engine.charge_at(&charges, number(1), at(refused)).await;
        assert!(
            matches!(result, Err(SharedRefusal::Quota(_))),
            "{refused}: {result:?}"
        );
    }
    assert!(engine.charge_at(&charges, number(2), at(661)).await.is_ok());
}
