//! A cluster of three nodes without replicas.

use std::time::Duration;

use aisbreaker_quota::shared::{SharedRefusal, StoreError};
use aisbreaker_quota::{Charge, Limits};
use tokio::time::{Instant, timeout};

use crate::oracle::number;
use crate::reconnect::{charge_until_down, try_charge};
use crate::redis_server::RedisServer;
use crate::support::{
    PATIENCE, connect_to, options_with_deadline, options_with_lease, per_day, remaining,
    wait_until_up,
};

/// Starts the cluster.
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
    let created = nodes[0].cli(&["--cluster", "create", first, second, third, "--cluster-yes"]);
    assert!(created.contains("All 16384 slots covered"), "{created}");
    for node in &nodes {
        while !node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok") {}
    }
    Some(nodes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_decides_like_one_server_with_all_counters_on_one_node() {
    let Some(mut nodes) = nodes() else { return };
    let url = format!(
        "redis+cluster://127.0.0.1:{},127.0.0.1:{}/",
        nodes[0].port, nodes[1].port
    );
    let engine = connect_to(&url, options_with_lease(20)).await;
    let charges = ["a", "b", "c", "d"].map(|key| Charge::new(key, Limits::per_day(100)));

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
    let result = engine.charge(&charges, number(1)).await;
    assert!(matches!(result, Err(SharedRefusal::Store(_))), "{result:?}");
    let _may_fail = engine.charge(&charges, number(1)).await;
    assert_eq!(
        engine.charge(&charges, number(1)).await,
        Err(StoreError::Down.into())
    );
}

#[tokio::test]
async fn cluster_releases_leases_and_recovers_from_a_lost_node() {
    const DEADLINE: Duration = Duration::from_millis(500);
    let Some(mut nodes) = nodes() else { return };
    let url = format!("redis+cluster://127.0.0.1:{}", nodes[0].port);
    let leasing = connect_to(&url, options_with_lease(50)).await;
    let hasty = connect_to(&url, options_with_deadline(DEADLINE)).await;
    let charges = per_day("a", 100);

    for _ in 0..20 {
        leasing.charge(&charges, number(1)).await.unwrap();
    }
    let released = timeout(PATIENCE, async {
        while remaining(&hasty, &charges).await != 80 {}
    });
    released.await.expect("unused permits are released");

    let owner = nodes
        .iter()
        .position(|node| node.cli(&["DBSIZE"]).trim() != "0")
        .unwrap();
    nodes[owner].stop();
    let begun = Instant::now();
    charge_until_down(&hasty).await;
    assert!(
        begun.elapsed() < DEADLINE * 10,
        "the store was down after {:?}",
        begun.elapsed()
    );

    nodes[owner].start_again();
    wait_until_up(&hasty).await;
    assert_eq!(try_charge(&hasty).await, Ok(()));
}
