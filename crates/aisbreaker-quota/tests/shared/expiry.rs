//! What is in the store: the counters that were charged, and they leave it by themselves.

use aisbreaker_quota::{Charge, Limits};

use crate::{
    oracle::number,
    redis_server::RedisServer,
    store::{charge, engine, patient, per_minute},
};

#[tokio::test]
async fn every_counter_expires_a_day_after_its_last_charge_and_a_refusal_makes_none() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engine = engine(&server.url(), patient("expiry")).await;
    let names = |pattern: &str| {
        let mut names: Vec<_> = server
            .cli(&["KEYS", pattern])
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names
    };
    let limits = Limits::per_day(number(2));
    let charges = [Charge::new("ada", limits), Charge::shared("all", limits)];

    charge(&engine, &charges, 1).await.unwrap();
    charge(&engine, &[Charge::new("eve", limits), charges[1]], 2)
        .await
        .unwrap_err();
    engine.peek(&[Charge::new("bob", limits)]).await.unwrap();

    assert_eq!(
        names("*"),
        ["{expiry}:all:all", "{expiry}:own:ada", "{expiry}:probe"]
    );
    // Longer than a day's charge counts, 87 264 s, and shorter than 25 hours.
    for name in names("*") {
        let left: u32 = server.cli(&["TTL", &name]).trim().parse().unwrap();
        assert!((87_265..90_000).contains(&left), "{name}: {left}");
    }
}

#[tokio::test]
async fn looking_for_the_store_charges_no_key() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engine = engine(&server.url(), patient("probed")).await;

    let standings = engine.peek(&per_minute("probe", 5)).await.unwrap();

    assert_eq!(standings.tightest().unwrap().1.remaining, 5);
}

#[tokio::test]
async fn as_many_counters_as_anybody_likes_are_charged_together() {
    const MANY: usize = 300;
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engine = engine(&server.url(), patient("many")).await;
    let charges: [_; MANY] =
        std::array::from_fn(|key| Charge::new(key, Limits::per_day(number(2))));

    engine.charge(&charges, number(2)).await.unwrap();

    let standings = engine.peek(&charges).await.unwrap();
    assert_eq!(
        standings
            .iter()
            .filter(|(_, standing)| standing.remaining == 0)
            .count(),
        MANY
    );
}
