//! The shared engine against a real Redis: the same answers as in memory, exact totals of many
//! processes, and what happens when the store is slow, gone, empty, full, or not one at all.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

#[cfg(test)]
mod access;
#[cfg(test)]
#[path = "../quota/calls.rs"]
mod calls;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod expiry;
#[cfg(test)]
mod health;
#[cfg(test)]
mod histories;
#[cfg(test)]
#[path = "../quota/history.rs"]
mod history;
#[cfg(test)]
mod impostors;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod likeness;
#[cfg(test)]
mod lockstep;
#[cfg(test)]
#[path = "../quota/oracle.rs"]
mod oracle;
#[cfg(test)]
mod recovery;
#[cfg(test)]
#[path = "../support/redis_server.rs"]
mod redis_server;
#[cfg(test)]
mod store;
#[cfg(test)]
#[path = "../quota/subject.rs"]
mod subject;
#[cfg(test)]
mod totals;

use std::num::NonZeroU32;
use std::time::Duration;

use aisbreaker_quota::shared::{SharedEngine, SharedOptions, StoreAddress, StoreState};
use aisbreaker_quota::{Charge, Limits, Window};

use redis_server::RedisServer;

/// Longer than any pause of a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn options() -> SharedOptions {
    let mut options = SharedOptions::default();
    options.deadline = PATIENCE;
    options
}

fn start(url: &str, options: SharedOptions) -> SharedEngine {
    SharedEngine::start(StoreAddress::parse(url).unwrap(), options).unwrap()
}

/// An engine that has found its store.
async fn up(redis: &RedisServer, options: SharedOptions) -> SharedEngine {
    let engine = start(&redis.url(), options);
    is_up(&engine).await;
    engine
}

async fn is_up(engine: &SharedEngine) {
    let mut states = engine.states();
    let found =
        tokio::time::timeout(PATIENCE, states.wait_for(|state| *state == StoreState::Up)).await;
    found.expect("the store is found").unwrap();
}

/// Waits until the store is gone, and tells for what cause.
async fn cause(engine: &SharedEngine) -> String {
    let mut states = engine.states();
    let down = tokio::time::timeout(
        PATIENCE,
        states.wait_for(|state| matches!(state, StoreState::Down(_))),
    );
    let state = down.await.expect("the store is given up").unwrap().clone();
    let StoreState::Down(cause) = state else {
        panic!("{state:?}")
    };
    cause.to_string()
}

fn per_day(key: &str, limit: u32) -> [Charge<&str>; 1] {
    [Charge::new(key, Limits::per_day(number(limit)))]
}

/// What remains for the day.
async fn remaining(engine: &SharedEngine, charges: &[Charge<&str>; 1]) -> u32 {
    engine
        .peek(charges)
        .await
        .unwrap()
        .of(0, Window::Day)
        .unwrap()
        .remaining
}
