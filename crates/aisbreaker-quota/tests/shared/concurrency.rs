//! Several engines at once on the counters of one store.

use aisbreaker_quota::{Charge, Limits, shared::SharedEngine};
use tokio::task::JoinSet;

use crate::{
    redis_server::RedisServer,
    support::{charge, connect, options_with_prefix, per_minute},
};

/// The number of engines, each with a connection of its own.
const ENGINES: usize = 4;
/// The number of tasks of each engine.
const TASKS: usize = 8;

/// Makes `requests` charges from every task of every engine at once, and returns how many are
/// admitted.
async fn admitted(
    engines: &[SharedEngine],
    key: &'static str,
    limit: u32,
    requests: usize,
    weight: u32,
) -> u32 {
    let mut tasks = JoinSet::new();
    for engine in engines {
        for _ in 0..TASKS {
            let engine = engine.clone();
            tasks.spawn(async move {
                let mut admitted = 0;
                for _ in 0..requests {
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
        engines.push(connect(server, options_with_prefix("many")).await);
    }
    engines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_engines_on_one_key_admit_exactly_the_limit() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engines = engines(&server).await;

    for (key, limit, requests, weight, expected) in [
        ("one", 100, 10, 1, 100),
        ("none refused", 320, 10, 1, 320),
        ("heavy", 100, 4, 7, 14),
    ] {
        assert_eq!(
            admitted(&engines, key, limit, requests, weight).await,
            expected,
            "{key}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_charge_both_counters_or_neither() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engines = engines(&server).await;
    let limits = |limit| Limits::per_day(limit);
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
