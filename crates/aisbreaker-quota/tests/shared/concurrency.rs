//! Many engines at once on the counters of one store.

use aisbreaker_quota::{Charge, Limits, shared::SharedEngine};
use tokio::task::JoinSet;

use crate::{
    oracle::number,
    redis_server::RedisServer,
    store::{charge, engine, patient, per_minute},
};

/// Engines with connections of their own.
const ENGINES: usize = 4;
/// Tasks of each engine.
const TASKS: usize = 8;

/// How many of so many requests, each from every task of every engine at the same time, are
/// admitted.
async fn admitted(
    engines: &[SharedEngine],
    key: &'static str,
    limit: u32,
    asked: usize,
    weight: u32,
) -> u32 {
    let mut tasks = JoinSet::new();
    for engine in engines {
        for _ in 0..TASKS {
            let engine = engine.clone();
            tasks.spawn(async move {
                let mut admitted = 0;
                for _ in 0..asked {
                    admitted += u32::from(
                        charge(&engine, &per_minute(key, limit), weight)
                            .await
                            .is_ok(),
                    );
                }
                admitted
            });
        }
    }
    tasks.join_all().await.into_iter().sum()
}

async fn engines(server: &RedisServer) -> Vec<SharedEngine> {
    let mut engines = Vec::new();
    for _ in 0..ENGINES {
        engines.push(engine(&server.url(), patient("many")).await);
    }
    engines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_engines_on_one_key_admit_exactly_the_limit() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engines = engines(&server).await;

    for (key, limit, asked, weight, expected) in [
        ("one", 100, 10, 1, 100),
        ("none refused", 320, 10, 1, 320),
        ("heavy", 100, 4, 7, 14),
    ] {
        assert_eq!(
            admitted(&engines, key, limit, asked, weight).await,
            expected,
            "{key}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_counters_both_are_charged_or_none_whoever_asks() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engines = engines(&server).await;
    let limits = |limit| Limits::per_day(number(limit));
    let mut tasks = JoinSet::new();
    for (index, engine) in engines.iter().cloned().enumerate() {
        tasks.spawn(async move {
            let own = ["a", "b", "c", "d"][index];
            let charges = [
                Charge::new(own, limits(30)),
                Charge::shared("all", limits(100)),
            ];
            let mut admitted = 0;
            for _ in 0..50 {
                admitted += u32::from(charge(&engine, &charges, 1).await.is_ok());
            }
            assert!(admitted <= 30, "{own}: {admitted}");
            let left = engine
                .peek(&charges)
                .await
                .unwrap()
                .iter()
                .next()
                .map(|(_, minute)| minute.remaining);
            assert_eq!(left, Some(u32::MAX - admitted), "{own}");
            admitted
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().sum::<u32>(), 100);
}
