//! Chains of counters in a store: a thousand children of one key, and everything above them.

use std::{array, fmt};

use aisbreaker_quota::{
    Charge, Limits, Window,
    shared::{SharedEngine, SharedRefusal},
};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    oracle::{at, number},
    redis_server::RedisServer,
    support::{PATIENCE, connect, options_with_prefix},
};

const CHILDREN: u32 = 1_000;
const ENGINES: u32 = 4;
const TASKS: u32 = 8;
const LIMIT: u32 = 150;
const PLENTY: u32 = 1_000_000;

/// The name of a counter.
#[derive(Clone, Copy)]
enum Name {
    Child(u32),
    Level(usize),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Child(number) => write!(f, "child {number}"),
            Self::Level(level) => write!(f, "level {level}"),
        }
    }
}

/// Returns the charges of a child to itself, to the three keys above it, and to the server: per
/// client, then for all clients. Only the last key above it has a limit that can be reached.
fn chain(child: u32) -> [Charge<Name>; 10] {
    array::from_fn(|index| {
        let (name, limit) = match index % 5 {
            0 => (Name::Child(child), PLENTY),
            3 => (Name::Level(3), LIMIT),
            level => (Name::Level(level), PLENTY),
        };
        let limits = Limits::per_day(limit);
        if index < 5 {
            Charge::new(name, limits)
        } else {
            Charge::shared(name, limits)
        }
    })
}

async fn engine(server: &RedisServer, lease: u32) -> SharedEngine {
    let mut options = options_with_prefix("chains");
    options.lease = (lease > 0).then(|| number(lease));
    connect(server, options).await
}

/// Charges these children from every task of four engines. Returns how many are admitted.
async fn admitted(server: &RedisServer, lease: u32, child: fn(u32) -> u32, requests: u32) -> u32 {
    let mut running = JoinSet::new();
    for engine_number in 0..ENGINES {
        let engine = engine(server, lease).await;
        for task in 0..TASKS {
            let engine = engine.clone();
            running.spawn(async move {
                let mut admitted = 0;
                for step in 0..requests {
                    let request = (step * TASKS + task) * ENGINES + engine_number;
                    let charges = chain(child(request));
                    match engine.charge(&charges, number(1)).await {
                        Ok(_) => admitted += 1,
                        Err(SharedRefusal::Quota(_)) => {}
                        Err(SharedRefusal::Store(error)) => panic!("{error}"),
                    }
                }
                admitted
            });
        }
    }
    running.join_all().await.into_iter().sum()
}

async fn used(engine: &SharedEngine, charge: Charge<Name>) -> u32 {
    let standings = engine.peek(&[charge]).await.unwrap();
    let standing = standings.of(0, Window::Day).unwrap();
    standing.limit.get() - standing.remaining
}

/// Waits until every counter above the children has exactly what was admitted.
async fn assert_settles(engine: &SharedEngine, admitted: u32) {
    let above = chain(0).into_iter().enumerate();
    for (index, charge) in above.filter(|(index, _)| index % 5 != 0) {
        let settled = timeout(PATIENCE, async {
            while used(engine, charge).await != admitted {
                tokio::time::sleep(at(5)).await;
            }
        });
        assert!(settled.await.is_ok(), "counter {index}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_children_together_are_admitted_exactly_the_limit_above_them() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };

    let requests = CHILDREN / ENGINES / TASKS + 1;
    let total = admitted(&server, 0, |request| request % CHILDREN, requests).await;

    assert_eq!(total, LIMIT);
    let engine = engine(&server, 0).await;
    assert_settles(&engine, LIMIT).await;
    let mut by_children = 0;
    for child in 0..CHILDREN {
        by_children += used(&engine, chain(child)[0]).await;
    }
    assert_eq!(by_children, LIMIT, "a refusal leaves no charge");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_of_children_stay_within_the_limit_above_them_and_are_released() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };

    // Few enough children that each is charged often enough for a lease.
    let total = admitted(&server, 50, |request| request % 12, 12).await;

    assert!((1..=LIMIT).contains(&total), "{total}");
    let engine = engine(&server, 0).await;
    assert_settles(&engine, total).await;
    let mut more = 0;
    while engine.charge(&chain(more % 12), number(1)).await.is_ok() {
        more += 1;
    }
    assert_eq!(total + more, LIMIT, "what was released can be charged");
}
