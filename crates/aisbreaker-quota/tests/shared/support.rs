//! Engines and charges for the tests.

use std::time::Duration;

use aisbreaker_quota::{
    Admitted, Charge, Limits, Refusal, Window,
    shared::{SharedEngine, SharedOptions, SharedRefusal, StoreAddress, StoreState},
};
use tokio::time::timeout;

use crate::{oracle::number, redis_server::RedisServer};

/// A timeout that only a broken test reaches, however busy the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Default options with a long deadline.
pub(crate) fn options() -> SharedOptions {
    let mut options = SharedOptions::default();
    options.deadline = PATIENCE;
    options
}

pub(crate) fn options_with_deadline(deadline: Duration) -> SharedOptions {
    let mut options = options();
    options.deadline = deadline;
    options
}

pub(crate) fn options_with_prefix(prefix: &str) -> SharedOptions {
    let mut options = options();
    prefix.clone_into(&mut options.prefix);
    options
}

pub(crate) fn options_with_lease(lease: u32) -> SharedOptions {
    let mut options = options();
    options.lease = Some(number(lease));
    options
}

/// Starts an engine, which then connects in the background.
pub(crate) fn start(url: &str, options: SharedOptions) -> SharedEngine {
    SharedEngine::start(StoreAddress::parse(url).unwrap(), options).unwrap()
}

/// Starts an engine and waits until it is connected.
pub(crate) async fn connect(server: &RedisServer, options: SharedOptions) -> SharedEngine {
    connect_to(&server.url(), options).await
}

/// Starts an engine for the store at `url` and waits until it is connected.
pub(crate) async fn connect_to(url: &str, options: SharedOptions) -> SharedEngine {
    let engine = start(url, options);
    wait_until_up(&engine).await;
    engine
}

pub(crate) async fn wait_until_up(engine: &SharedEngine) {
    let mut states = engine.states();
    let up = timeout(PATIENCE, states.wait_for(|state| *state == StoreState::Up)).await;
    up.expect("the store comes up").unwrap();
}

/// Waits until the store is down and returns the cause.
pub(crate) async fn wait_until_down(engine: &SharedEngine) -> String {
    let mut states = engine.states();
    let is_down = |state: &StoreState| matches!(state, StoreState::Down(_));
    let down = timeout(PATIENCE, states.wait_for(is_down)).await;
    let state = down.expect("the store goes down").unwrap().clone();
    let StoreState::Down(cause) = state else {
        panic!("{state:?}")
    };
    cause.to_string()
}

/// One counter with a limit per minute.
pub(crate) fn per_minute(key: &str, limit: u32) -> [Charge<&str>; 1] {
    [Charge::new(key, Limits::per_minute(limit))]
}

/// One counter with a limit per day.
pub(crate) fn per_day(key: &str, limit: u32) -> [Charge<&str>; 1] {
    [Charge::new(key, Limits::per_day(limit))]
}

/// Charges; fails the test if the store does not decide.
pub(crate) async fn charge<const N: usize>(
    engine: &SharedEngine,
    charges: &[Charge<&str>; N],
    weight: u32,
) -> Result<Admitted<N>, Refusal<N>> {
    match engine.charge(charges, number(weight)).await {
        Ok(admitted) => Ok(admitted),
        Err(SharedRefusal::Quota(refusal)) => Err(refusal),
        Err(SharedRefusal::Store(error)) => panic!("{error}"),
    }
}

/// Returns what remains for the day.
pub(crate) async fn remaining(engine: &SharedEngine, charges: &[Charge<&str>; 1]) -> u32 {
    engine
        .peek(charges)
        .await
        .unwrap()
        .of(0, Window::Day)
        .unwrap()
        .remaining
}
