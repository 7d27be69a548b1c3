//! Calls while the store is down return at once, and lost connections are restored.

use std::{num::NonZeroU32, time::Duration};

use aisbreaker_quota::shared::{SharedEngine, SharedRefusal, StoreError, StoreState};
use tokio::time::{Instant, timeout};

use crate::{
    redis_server::RedisServer,
    support::{
        PATIENCE, charge, connect, options_with_deadline, options_with_prefix, per_minute,
        wait_until_down, wait_until_up,
    },
};

/// Charges a counter that is never used up.
pub(crate) async fn try_charge(engine: &SharedEngine) -> Result<(), StoreError> {
    match engine
        .charge(&per_minute("unlimited", u32::MAX), NonZeroU32::MIN)
        .await
    {
        Ok(_) => Ok(()),
        Err(SharedRefusal::Store(error)) => Err(error),
        Err(SharedRefusal::Quota(refusal)) => panic!("{refusal}"),
    }
}

/// Charges until the store is down.
pub(crate) async fn charge_until_down(engine: &SharedEngine) {
    let down = timeout(PATIENCE, async {
        while try_charge(engine).await != Err(StoreError::Down) {}
    });
    down.await.expect("the store goes down");
}

#[tokio::test]
async fn calls_while_the_store_is_down_return_at_once() {
    const DEADLINE: Duration = Duration::from_millis(200);
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&server, options_with_deadline(DEADLINE)).await;

    server.pause();
    for _ in 0..3 {
        assert_eq!(try_charge(&engine).await, Err(StoreError::Timeout));
    }
    assert_eq!(
        *engine.states().borrow(),
        StoreState::Down(StoreError::Timeout)
    );
    let begun = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(try_charge(&engine).await, Err(StoreError::Down));
    }
    // Five deadlines are one second; a thousand would be 200 seconds.
    assert!(
        begun.elapsed() < DEADLINE * 5,
        "a call waited for a store that is known to be down"
    );

    server.resume();
    wait_until_up(&engine).await;
    assert_eq!(try_charge(&engine).await, Ok(()));
}

#[tokio::test]
async fn killed_connection_is_restored() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&server, options_with_prefix("cut")).await;

    server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    let result = try_charge(&engine).await;

    assert_eq!(
        result,
        Err(StoreError::Failed("connection closed".to_owned()))
    );
    assert_eq!(
        wait_until_down(&engine).await,
        StoreError::Failed("connection closed".to_owned()).to_string()
    );
    wait_until_up(&engine).await;
    assert_eq!(try_charge(&engine).await, Ok(()));
}

#[tokio::test]
async fn flushed_function_fails_no_call() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&server, options_with_prefix("flushed")).await;
    let charges = per_minute("one", 10);

    for remaining in (5..10).rev() {
        assert_eq!(server.cli(&["FUNCTION", "FLUSH"]).trim(), "OK");
        let admitted = charge(&engine, &charges, 1).await.unwrap();
        assert_eq!(
            admitted.standings().tightest().unwrap().1.remaining,
            remaining
        );
        assert_eq!(server.cli(&["FUNCTION", "FLUSH"]).trim(), "OK");
        assert_eq!(
            engine
                .peek(&charges)
                .await
                .unwrap()
                .tightest()
                .unwrap()
                .1
                .remaining,
            remaining
        );
    }
}
