//! Leases: never more than the limit, and whatever is not used is released.

use std::num::NonZeroU32;

use aisbreaker_quota::{
    Charge, Limits, Refusal,
    shared::{SharedEngine, SharedRefusal},
};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    oracle::{at, number},
    redis_server::RedisServer,
    support::{
        PATIENCE, charge, connect, options, options_with_lease, options_with_prefix, per_day,
        per_minute, remaining,
    },
};

/// Connects an engine that takes leases.
async fn leasing(server: &RedisServer, lease: u32) -> SharedEngine {
    let mut options = options_with_prefix("leases");
    options.lease = NonZeroU32::new(lease);
    connect(server, options).await
}

/// Connects an engine for the same counters that takes no leases.
async fn plain(server: &RedisServer) -> SharedEngine {
    connect(server, options_with_prefix("leases")).await
}

/// Returns what an engine without leases finds used of the charge at `index`.
async fn used<const N: usize>(
    engine: &SharedEngine,
    charges: &[Charge<&str>; N],
    index: usize,
) -> u32 {
    let standings = engine.peek(charges).await.unwrap();
    let least = standings
        .of_charge(index)
        .min_by_key(|standing| standing.remaining)
        .unwrap();
    least.limit.get() - least.remaining
}

/// Waits until exactly what was admitted is used: everything else has been released.
async fn assert_settles<const N: usize>(
    engine: &SharedEngine,
    charges: &[Charge<&str>; N],
    index: usize,
    admitted: u32,
) {
    let settled = timeout(PATIENCE, async {
        while used(engine, charges, index).await != admitted {
            tokio::time::sleep(at(5)).await;
        }
    });
    let last = settled.await;
    assert!(
        last.is_ok(),
        "{} used, {admitted} admitted",
        used(engine, charges, index).await
    );
}

/// Charges `times` and returns how much was admitted.
async fn charge_repeatedly<const N: usize>(
    engine: &SharedEngine,
    charges: &[Charge<&str>; N],
    weight: u32,
    times: u32,
) -> u32 {
    let mut admitted = 0;
    for _ in 0..times {
        match charge(engine, charges, weight).await {
            Ok(_) => admitted += weight,
            Err(Refusal::Exceeded { .. }) => {}
            Err(refusal) => panic!("{refusal}"),
        }
    }
    admitted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_with_leases_admit_exactly_the_limit() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let plain = plain(&server).await;
    // Limit, lease, tasks of each engine, requests of each task, weight.
    for (key, limit, lease, tasks, requests, weight) in [
        ("large lease", 400, 50, 8, 20, 1),
        ("lease above the limit", 7, 1_000, 4, 10, 1),
        ("limit of one", 1, 50, 4, 10, 1),
        ("weights", 300, 50, 4, 20, 7),
        ("never refused", 3_000, 50, 8, 20, 1),
        ("lease of one", 100, 1, 4, 20, 1),
    ] {
        let mut running = JoinSet::new();
        for _ in 0..4 {
            let engine = leasing(&server, lease).await;
            for _ in 0..tasks {
                let engine = engine.clone();
                running.spawn(async move {
                    charge_repeatedly(&engine, &per_minute(key, limit), weight, requests).await
                });
            }
        }
        let admitted: u32 = running.join_all().await.into_iter().sum();

        assert!(admitted <= limit, "{key}: {admitted}");
        let charges = per_minute(key, limit);
        assert_settles(&plain, &charges, 0, admitted).await;
        let more = charge_repeatedly(&plain, &charges, 1, limit - admitted + 1).await;
        assert_eq!(
            admitted + more,
            limit,
            "{key}: what was released can be charged, and no more"
        );
    }
}

#[tokio::test]
async fn first_charge_takes_nothing_in_advance() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let (leasing, plain) = (leasing(&server, 50).await, plain(&server).await);
    let charges = per_minute("seldom", 1_000);

    charge(&leasing, &charges, 1).await.unwrap();

    assert_eq!(used(&plain, &charges, 0).await, 1);
}

#[tokio::test]
async fn groups_with_a_common_counter_each_release_their_own() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let (leasing, plain) = (leasing(&server, 50).await, plain(&server).await);
    let group = |own| {
        [
            Charge::new(own, Limits::per_minute(200)),
            Charge::shared("all", Limits::per_minute(300)),
        ]
    };
    let (ada, eve) = (group("ada"), group("eve"));

    let mut admitted = [0; 2];
    for _ in 0..25 {
        admitted[0] += charge_repeatedly(&leasing, &ada, 1, 3).await;
        admitted[1] += charge_repeatedly(&leasing, &eve, 2, 2).await;
    }

    assert_settles(&plain, &ada, 0, admitted[0]).await;
    assert_settles(&plain, &eve, 0, admitted[1]).await;
    assert_settles(&plain, &eve, 1, admitted[0] + admitted[1]).await;
}

#[tokio::test]
async fn dropped_engine_releases_its_lease() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let (leasing, plain) = (leasing(&server, 50).await, plain(&server).await);
    let charges = per_minute("dropped", 1_000);

    let admitted = charge_repeatedly(&leasing, &charges, 1, 60).await;
    drop(leasing);

    assert_settles(&plain, &charges, 0, admitted).await;
}

#[tokio::test]
async fn charge_heavier_than_the_lease_is_decided_by_the_limit() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let (leasing, plain) = (leasing(&server, 1_000).await, plain(&server).await);

    // Whatever is held in advance when the heavy charges come, the limit has room for them.
    for round in 0..10 {
        let key = format!("heavy {round}");
        let charges = per_minute(&key, 100);
        let light = charge_repeatedly(&leasing, &charges, 1, 40).await;
        assert_eq!(light, 40, "{round}");
        charge(&leasing, &charges, 60).await.unwrap();
        charge(&leasing, &charges, 1).await.unwrap_err();
        assert_settles(&plain, &charges, 0, 100).await;
    }
}

#[tokio::test]
async fn weight_above_the_limit_leaves_the_lease_alone() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let (leasing, plain) = (leasing(&server, 50).await, plain(&server).await);
    let charges = per_minute("too heavy", 100);

    let admitted = charge_repeatedly(&leasing, &charges, 1, 20).await;
    let refused = charge(&leasing, &charges, 101).await.unwrap_err();

    assert!(
        matches!(refused, Refusal::TooHeavy { charge: 0, .. }),
        "{refused}"
    );
    assert_settles(&plain, &charges, 0, admitted).await;
}

#[tokio::test]
async fn refusal_ends_soon_after_another_engine_releases() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let (one, other) = (leasing(&server, 1_000).await, leasing(&server, 1_000).await);
    let charges = per_minute("refused", 40);

    // One engine holds a lease when the other is refused. The other then gets the rest by trying
    // again.
    let mut admitted = charge_repeatedly(&one, &charges, 1, 20).await;
    let waited = timeout(PATIENCE, async {
        while admitted < 40 {
            admitted += charge_repeatedly(&other, &charges, 1, 1).await;
            tokio::task::yield_now().await;
        }
    });
    assert!(waited.await.is_ok(), "{admitted}");
    let more = charge_repeatedly(&one, &charges, 1, 3).await
        + charge_repeatedly(&other, &charges, 1, 3).await;
    assert_eq!(more, 0);
}

#[tokio::test]
async fn lost_store_admits_no_more_than_the_lease() {
    let Some(mut server) = RedisServer::start(&[]) else {
        return;
    };
    let leasing = leasing(&server, 50).await;
    let charges = per_minute("gone", 100);

    let before = charge_repeatedly(&leasing, &charges, 1, 20).await;
    server.stop();
    let mut after = 0;
    for _ in 0..200 {
        after += u32::from(leasing.charge(&charges, number(1)).await.is_ok());
    }

    assert!(
        before == 20 && after <= 25,
        "{before} and {after}: a quarter of the rest at most"
    );
}

/// Makes `requests` charges and returns how many are admitted.
async fn admitted(engine: SharedEngine, charges: [Charge<&'static str>; 3], requests: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..requests {
        match engine.charge(&charges, number(1)).await {
            Ok(_) => admitted += 1,
            Err(SharedRefusal::Quota(_)) => {}
            Err(SharedRefusal::Store(error)) => panic!("{error}"),
        }
    }
    admitted
}

/// Makes `requests` charges from each of eight tasks of four new engines, on the counters of four
/// clients, and returns how many are admitted.
async fn total_admitted(redis: &RedisServer, lease: u32, limit: u32, requests: u32) -> u32 {
    let mut tasks = JoinSet::new();
    for engine in 0..4 {
        let shared = connect(redis, options_with_lease(lease)).await;
        for task in 0..8 {
            let wide = Limits::per_hour(1_000_000);
            let client = ["ada", "bob", "cid", "dan"][(engine + task) % 4];
            let charges = [
                Charge::new(client, wide),
                Charge::new("key", wide),
                Charge::shared("all", Limits::per_day(limit)),
            ];
            tasks.spawn(admitted(shared.clone(), charges, requests));
        }
    }
    tasks.join_all().await.iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_engines_release_all_leases_on_a_common_counter() {
    const LIMIT: u32 = 3_000;
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    // The counters of four clients have one in common.
    let first = total_admitted(&redis, 50, LIMIT, 60).await;
    assert_eq!(first, 32 * 60, "there is enough for all");
    let watching = connect(&redis, options()).await;
    let all = [Charge::shared("all", Limits::per_day(LIMIT))];

    // Dropped engines keep what they held until the lease ends, 0.6 s after it began.
    let mut left = remaining(&watching, &all).await;
    for _ in 0..100_000 {
        if left < LIMIT - first {
            left = remaining(&watching, &all).await;
        }
    }
    assert_eq!(left, LIMIT - first);
    let second = total_admitted(&redis, 50, LIMIT, 60).await;
    assert!(second <= left, "{second} of {left}");
}

#[tokio::test]
async fn lease_saves_calls_and_keeps_a_lower_limit() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&redis, options_with_lease(1_000)).await;
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
