//! Calls while a store is gone cost nothing, and a connection that is cut is made again.

use std::{num::NonZeroU32, time::Duration};

use aisbreaker_quota::shared::{SharedEngine, SharedRefusal, StoreError, StoreState};
use tokio::time::{Instant, timeout};

use crate::{
    PATIENCE, cause, is_up, options,
    redis_server::RedisServer,
    store::{charge, engine, patient, per_minute},
};

pub(crate) async fn ask(engine: &SharedEngine) -> Result<(), StoreError> {
    match engine
        .charge(&per_minute("asked", u32::MAX), NonZeroU32::MIN)
        .await
    {
        Ok(_) => Ok(()),
        Err(SharedRefusal::Store(error)) => Err(error),
        Err(SharedRefusal::Quota(refusal)) => panic!("{refusal}"),
    }
}

/// Asks until the store is found to be down.
pub(crate) async fn ask_until_down(engine: &SharedEngine) {
    let asked = timeout(PATIENCE, async {
        while ask(engine).await != Err(StoreError::Down) {}
    });
    asked.await.expect("it goes down");
}

#[tokio::test]
async fn calls_while_the_store_is_down_do_not_wait_for_it() {
    const DEADLINE: Duration = Duration::from_millis(200);
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let mut options = options();
    options.deadline = DEADLINE;
    let engine = engine(&server.url(), options).await;

    server.pause();
    for _ in 0..3 {
        assert_eq!(ask(&engine).await, Err(StoreError::Timeout));
    }
    assert_eq!(
        *engine.states().borrow(),
        StoreState::Down(StoreError::Timeout)
    );
    let begun = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(ask(&engine).await, Err(StoreError::Down));
    }
    // Five deadlines, where a thousand would be 200 seconds.
    assert!(
        begun.elapsed() < DEADLINE * 5,
        "a call waited for a store that is known to be gone"
    );

    server.resume();
    is_up(&engine).await;
    assert_eq!(ask(&engine).await, Ok(()));
}

#[tokio::test]
async fn connection_that_is_cut_is_made_again() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engine = engine(&server.url(), patient("cut")).await;

    server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    let asked = ask(&engine).await;

    assert_eq!(
        asked,
        Err(StoreError::Failed("connection closed".to_owned()))
    );
    assert_eq!(
        cause(&engine).await,
        StoreError::Failed("connection closed".to_owned()).to_string()
    );
    is_up(&engine).await;
    assert_eq!(ask(&engine).await, Ok(()));
}

#[tokio::test]
async fn no_call_fails_for_a_function_that_is_flushed() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engine = engine(&server.url(), patient("flushed")).await;
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
