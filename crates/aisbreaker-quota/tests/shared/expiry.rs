//! The keys in the store: one for each counter that was charged, and all of them expire.

use aisbreaker_quota::{Charge, Limits};

use crate::{
    oracle::number,
    redis_server::RedisServer,
    support::{charge, connect, options_with_prefix, per_minute},
};

#[tokio::test]
async fn counters_expire_a_day_after_their_last_charge() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&server, options_with_prefix("expiry")).await;
    let names = |pattern: &str| {
        let mut names: Vec<_> = server
            .cli(&["KEYS", pattern])
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names
    };
    let limits = Limits::per_day(2);
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
    // Longer than a charge counts in the day, 87 264 s, and shorter than 25 hours.
    for name in names("*") {
        let ttl: u32 = server.cli(&["TTL", &name]).trim().parse().unwrap();
        assert!((87_265..90_000).contains(&ttl), "{name}: {ttl}");
    }
}

#[tokio::test]
async fn probe_charges_no_key() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&server, options_with_prefix("probed")).await;

    let standings = engine.peek(&per_minute("probe", 5)).await.unwrap();

    assert_eq!(standings.tightest().unwrap().1.remaining, 5);
}

#[tokio::test]
async fn hundreds_of_counters_are_charged_together() {
    const MANY: usize = 300;
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&server, options_with_prefix("many")).await;
    let charges: [_; MANY] = std::array::from_fn(|key| Charge::new(key, Limits::per_day(2)));

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
