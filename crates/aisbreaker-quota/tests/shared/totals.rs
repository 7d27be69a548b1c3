//! Many engines with connections of their own, as of many processes.

use aisbreaker_quota::shared::{SharedEngine, SharedRefusal};
use aisbreaker_quota::{Charge, Limits};
use tokio::task::JoinSet;

use crate::redis_server::RedisServer;
use crate::{number, options, per_day, remaining, up};

/// How many of `asked` charges are admitted.
async fn admitted(engine: SharedEngine, charges: [Charge<&'static str>; 3], asked: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..asked {
        match engine.charge(&charges, number(1)).await {
            Ok(_) => admitted += 1,
            Err(SharedRefusal::Quota(_)) => {}
            Err(SharedRefusal::Store(error)) => panic!("{error}"),
        }
    }
    admitted
}

/// Four engines, with eight tasks each that ask for `asked`, all of one client or each of one of
/// four.
async fn total(redis: &RedisServer, lease: u32, limit: u32, asked: u32) -> u32 {
    let mut options = options();
    options.lease = Some(number(lease));
    let mut tasks = JoinSet::new();
    for engine in 0..4 {
        let shared = up(redis, options.clone()).await;
        for task in 0..8 {
            let wide = Limits::per_hour(number(1_000_000));
            let client = ["ada", "bob", "cid", "dan"][(engine + task) % 4];
            let charges = [
                Charge::new(client, wide),
                Charge::new("key", wide),
                Charge::shared("all", Limits::per_day(number(limit))),
            ];
            tasks.spawn(admitted(shared.clone(), charges, asked));
        }
    }
    tasks.join_all().await.iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_leases_no_more_and_what_was_not_used_comes_back() {
    const LIMIT: u32 = 3_000;
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    // The counters of four clients have one in common.
    let first = total(&redis, 50, LIMIT, 60).await;
    assert_eq!(first, 32 * 60, "there is enough for all");
    let watching = up(&redis, options()).await;
    let all = [Charge::shared("all", Limits::per_day(number(LIMIT)))];

    // Engines that are gone keep what they held until the lease ends, 0.6 s after it began.
    let mut left = remaining(&watching, &all).await;
    for _ in 0..100_000 {
        if left < LIMIT - first {
            left = remaining(&watching, &all).await;
        }
    }
    assert_eq!(left, LIMIT - first);
    let second = total(&redis, 50, LIMIT, 60).await;
    assert!(second <= left, "{second} of {left}");
}

#[tokio::test]
async fn a_lease_saves_calls_and_never_exceeds_a_limit_below_it() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let mut options = options();
    options.lease = Some(number(1_000));
    let engine = up(&redis, options).await;
    let charges = per_day("a", 40);

    let mut admitted = 0;
    for _ in 0..100 {
        admitted += u32::from(engine.charge(&charges, number(1)).await.is_ok());
    }
    assert!(admitted <= 40, "{admitted}");
    let stats = redis.cli(&["INFO", "commandstats"]);
    let calls = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_fcall:calls="));
    let calls: u32 = calls
        .and_then(|calls| calls.split(',').next())
        .unwrap()
        .parse()
        .unwrap();
    assert!(calls < 80, "{calls} calls for 100 charges");
}
