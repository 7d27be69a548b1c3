//! A cluster of three nodes without replicas.

use std::time::Duration;

use aisbreaker_quota::shared::{SharedRefusal, StoreError};
use aisbreaker_quota::{Charge, Limits};

use tokio::time::{Instant, timeout};

use crate::recovery::{ask, ask_until_down};
use crate::redis_server::RedisServer;
use crate::store::engine;
use crate::{PATIENCE, is_up, number, options, per_day, remaining, start};

fn nodes() -> Option<[RedisServer; 3]> {
    let arguments = [
        "--cluster-enabled",
        "yes",
        "--cluster-config-file",
        "nodes.conf",
        "--cluster-node-timeout",
        "1000",
    ];
    let start = || RedisServer::start(&arguments);
    let nodes = [start()?, start()?, start()?];
    let addresses = nodes
        .each_ref()
        .map(|node| format!("127.0.0.1:{}", node.port));
    let [first, second, third] = addresses.each_ref().map(String::as_str);
    let made = nodes[0].cli(&["--cluster", "create", first, second, third, "--cluster-yes"]);
    assert!(made.contains("All 16384 slots covered"), "{made}");
    for node in &nodes {
        while !node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok") {}
    }
    Some(nodes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_decides_as_one_server_and_all_counters_are_on_one_node() {
    let Some(mut nodes) = nodes() else { return };
    let url = format!(
        "redis+cluster://127.0.0.1:{},127.0.0.1:{}/",
        nodes[0].port, nodes[1].port
    );
    let mut leasing = options();
    leasing.lease = Some(number(20));
    let engine = start(&url, leasing);
    is_up(&engine).await;
    let charges = ["a", "b", "c", "d"].map(|key| Charge::new(key, Limits::per_day(number(100))));

    for _ in 0..60 {
        engine.charge(&charges, number(1)).await.unwrap();
    }
    let refused = engine.charge(&charges, number(50)).await;
    assert!(
        matches!(refused, Err(SharedRefusal::Quota(_))),
        "{refused:?}"
    );
    let counters: Vec<usize> = nodes
        .iter()
        .map(|node| node.cli(&["DBSIZE"]).trim().parse().unwrap())
        .collect();
    assert_eq!(
        counters.iter().filter(|count| **count > 0).count(),
        1,
        "{counters:?}"
    );

    let place = counters.iter().position(|count| *count > 0).unwrap();
    for node in &nodes {
        node.cli(&["FUNCTION", "FLUSH"]);
    }
    assert!(remaining(&engine, &per_day("a", 100)).await <= 40);

    nodes[place].stop();
    let answer = engine.charge(&charges, number(1)).await;
    assert!(matches!(answer, Err(SharedRefusal::Store(_))), "{answer:?}");
    let _noticed = engine.charge(&charges, number(1)).await;
    assert_eq!(
        engine.charge(&charges, number(1)).await,
        Err(StoreError::Down.into())
    );
}

#[tokio::test]
async fn a_cluster_s_leases_come_back_and_so_does_a_node_that_was_gone() {
    let Some(mut nodes) = nodes() else { return };
    let url = format!("redis+cluster://127.0.0.1:{}", nodes[0].port);
    let mut leasing = options();
    leasing.lease = Some(number(50));
    let (leasing, mut hasty) = (engine(&url, leasing).await, options());
    hasty.deadline = Duration::from_millis(500);
    let hasty = engine(&url, hasty).await;
    let charges = per_day("a", 100);

    for _ in 0..20 {
        leasing.charge(&charges, number(1)).await.unwrap();
    }
    let back = timeout(PATIENCE, async {
        while remaining(&hasty, &charges).await != 80 {}
    });
    back.await.expect("what was charged in advance comes back");

    let home = nodes
        .iter()
        .position(|node| node.cli(&["DBSIZE"]).trim() != "0")
        .unwrap();
    nodes[home].stop();
    let begun = Instant::now();
    ask_until_down(&hasty).await;
    assert!(
        begun.elapsed() < Duration::from_millis(500) * 10,
        "it was given up after {:?}",
        begun.elapsed()
    );

    nodes[home].start_again();
    is_up(&hasty).await;
    assert_eq!(ask(&hasty).await, Ok(()));
}
