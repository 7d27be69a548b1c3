//! Charges in advance: never more than the limit, and what is not used can be had again.

use std::num::NonZeroU32;

use aisbreaker_quota::{Charge, Limits, Refusal, shared::SharedEngine};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    PATIENCE,
    oracle::{at, number},
    redis_server::RedisServer,
    store::{charge, engine, patient, per_minute},
};

async fn leasing(server: &RedisServer, most: u32) -> SharedEngine {
    let mut options = patient("leases");
    options.lease = NonZeroU32::new(most);
    engine(&server.url(), options).await
}

/// What an engine that holds no leases finds used.
async fn used<const N: usize>(
    engine: &SharedEngine,
    charges: &[Charge<&str>; N],
    of: usize,
) -> u32 {
    let standings = engine.peek(charges).await.unwrap();
    let (_, least) = standings
        .iter()
        .filter(|(index, _)| *index == of)
        .min_by_key(|(_, one)| one.remaining)
        .unwrap();
    least.limit.get() - least.remaining
}

/// Waits until so much is used and no more: all that was held is given back.
async fn settles<const N: usize>(
    engine: &SharedEngine,
    charges: &[Charge<&str>; N],
    of: usize,
    admitted: u32,
) {
    let settled = timeout(PATIENCE, async {
        while used(engine, charges, of).await != admitted {
            tokio::time::sleep(at(5)).await;
        }
    });
    let last = settled.await;
    assert!(
        last.is_ok(),
        "{} used, {admitted} admitted",
        used(engine, charges, of).await
    );
}

/// Charges until refused, or so many times.
async fn exhaust<const N: usize>(
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
async fn engines_with_leases_admit_the_limit_in_all_and_no_more() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let plain = engine(&server.url(), patient("leases")).await;
    // Limit, most in advance, tasks of each engine, requests of each task, weight.
    for (key, limit, most, tasks, asked, weight) in [
        ("plenty in advance", 400, 50, 8, 20, 1),
        ("lease above the limit", 7, 1_000, 4, 10, 1),
        ("limit of one", 1, 50, 4, 10, 1),
        ("weights", 300, 50, 4, 20, 7),
        ("never refused", 3_000, 50, 8, 20, 1),
        ("one in advance", 100, 1, 4, 20, 1),
    ] {
        let mut running = JoinSet::new();
        for _ in 0..4 {
            let engine = leasing(&server, most).await;
            for _ in 0..tasks {
                let engine = engine.clone();
                running.spawn(async move {
                    exhaust(&engine, &per_minute(key, limit), weight, asked).await
                });
            }
        }
        let admitted: u32 = running.join_all().await.into_iter().sum();

        assert!(admitted <= limit, "{key}: {admitted}");
        let charges = per_minute(key, limit);
        settles(&plain, &charges, 0, admitted).await;
        let more = exhaust(&plain, &charges, 1, limit - admitted + 1).await;
        assert_eq!(
            admitted + more,
            limit,
            "{key}: what was given back can be had, and no more"
        );
    }
}

#[tokio::test]
async fn who_comes_seldom_takes_nothing_in_advance() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let (leasing, plain) = (
        leasing(&server, 50).await,
        engine(&server.url(), patient("leases")).await,
    );
    let charges = per_minute("seldom", 1_000);

    charge(&leasing, &charges, 1).await.unwrap();

    assert_eq!(used(&plain, &charges, 0).await, 1);
}

#[tokio::test]
async fn groups_with_a_counter_in_common_give_back_what_each_of_them_took() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let (leasing, plain) = (
        leasing(&server, 50).await,
        engine(&server.url(), patient("leases")).await,
    );
    let group = |own| {
        [
            Charge::new(own, Limits::per_minute(number(200))),
            Charge::shared("all", Limits::per_minute(number(300))),
        ]
    };
    let (ada, eve) = (group("ada"), group("eve"));

    let mut admitted = [0; 2];
    for _ in 0..25 {
        admitted[0] += exhaust(&leasing, &ada, 1, 3).await;
        admitted[1] += exhaust(&leasing, &eve, 2, 2).await;
    }

    settles(&plain, &ada, 0, admitted[0]).await;
    settles(&plain, &eve, 0, admitted[1]).await;
    settles(&plain, &eve, 1, admitted[0] + admitted[1]).await;
}

#[tokio::test]
async fn engine_that_is_dropped_gives_back_what_it_holds() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let (leasing, plain) = (
        leasing(&server, 50).await,
        engine(&server.url(), patient("leases")).await,
    );
    let charges = per_minute("dropped", 1_000);

    let admitted = exhaust(&leasing, &charges, 1, 60).await;
    drop(leasing);

    settles(&plain, &charges, 0, admitted).await;
}

#[tokio::test]
async fn heavier_charge_than_a_lease_has_left_is_refused_only_if_the_limit_has_not_enough() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let (leasing, plain) = (
        leasing(&server, 1_000).await,
        engine(&server.url(), patient("leases")).await,
    );

    // Whatever is held in advance when the heavy ones come, the limit has room for them.
    for round in 0..10 {
        let key = format!("heavy {round}");
        let charges = per_minute(&key, 100);
        let light = exhaust(&leasing, &charges, 1, 40).await;
        assert_eq!(light, 40, "{round}");
        charge(&leasing, &charges, 60).await.unwrap();
        charge(&leasing, &charges, 1).await.unwrap_err();
        settles(&plain, &charges, 0, 100).await;
    }
}

#[tokio::test]
async fn too_heavy_a_charge_leaves_the_lease_as_it_was() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let (leasing, plain) = (
        leasing(&server, 50).await,
        engine(&server.url(), patient("leases")).await,
    );
    let charges = per_minute("too heavy", 100);

    let admitted = exhaust(&leasing, &charges, 1, 20).await;
    let refused = charge(&leasing, &charges, 101).await.unwrap_err();

    assert!(
        matches!(refused, Refusal::TooHeavy { charge: 0, .. }),
        "{refused}"
    );
    settles(&plain, &charges, 0, admitted).await;
}

#[tokio::test]
async fn refusal_is_forgotten_soon_after_others_gave_something_back() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let (one, other) = (leasing(&server, 1_000).await, leasing(&server, 1_000).await);
    let charges = per_minute("refused", 40);

    // One holds some in advance when the other is refused; the other gets the rest without asking
    // for anything special.
    let mut admitted = exhaust(&one, &charges, 1, 20).await;
    let waited = timeout(PATIENCE, async {
        while admitted < 40 {
            admitted += exhaust(&other, &charges, 1, 1).await;
            tokio::task::yield_now().await;
        }
    });
    assert!(waited.await.is_ok(), "{admitted}");
    assert_eq!(
        exhaust(&one, &charges, 1, 3).await + exhaust(&other, &charges, 1, 3).await,
        0
    );
}

#[tokio::test]
async fn store_that_is_gone_while_permits_are_held_admits_no_more_than_those() {
    let Some(mut server) = RedisServer::start(&[]) else {
        return;
    };
    let leasing = leasing(&server, 50).await;
    let charges = per_minute("gone", 100);

    let before = exhaust(&leasing, &charges, 1, 20).await;
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
