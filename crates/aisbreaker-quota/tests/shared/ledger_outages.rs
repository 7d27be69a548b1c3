//! Budgets while the store is gone: a settlement that is lost leaves its reservation.

use std::time::Duration;

use aisbreaker_quota::{
    ledger::{Budget, BudgetRefusal, Period, Reservation},
    shared::{NotReserved, SharedReceipt, StoreError},
};

use crate::{
    ledger::used,
    oracle::some_instant,
    redis_server::RedisServer,
    support::{connect, options, options_with_deadline, wait_until_down, wait_until_up},
};

const BUDGET: Budget = Budget::unlimited().with(Period::Day, 1_000);

fn reserve(amount: u64) -> [Reservation<&'static str>; 1] {
    [Reservation::new("a", BUDGET, amount)]
}

/// Starts a server that keeps what it has confirmed when it is killed.
fn durable_server() -> Option<RedisServer> {
    RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"])
}

fn is_lost(answer: &Result<(), StoreError>) -> bool {
    matches!(answer, Err(StoreError::Failed(_) | StoreError::Down))
}

#[tokio::test]
async fn a_settlement_that_finds_the_store_stopped_leaves_the_reservation() {
    let Some(mut server) = durable_server() else {
        return;
    };
    let engine = connect(&server, options()).await;
    let ledger = engine.ledger();
    let settled = ledger.reserve(&reserve(300), some_instant()).await.unwrap();
    ledger.settle(settled, &[120]).await.unwrap();
    // The first of them finds a connection that breaks, the second one none at all.
    let mut lost: Vec<SharedReceipt> = Vec::new();
    for amount in [400, 50] {
        lost.push(
            ledger
                .reserve(&reserve(amount), some_instant())
                .await
                .unwrap(),
        );
    }

    server.stop();
    for receipt in lost {
        let answer = ledger.settle(receipt, &[7]).await;
        assert!(is_lost(&answer), "{answer:?}");
    }
    wait_until_down(&engine).await;
    let refused = ledger.reserve(&reserve(1), some_instant()).await;
    assert_eq!(refused, Err(NotReserved::Store(StoreError::Down)));
    server.start_again();
    wait_until_up(&engine).await;

    assert_eq!(used(&ledger, "a", &BUDGET).await, 120 + 400 + 50);
    let refused = ledger.reserve(&reserve(431), some_instant()).await;
    assert!(
        matches!(
            refused,
            Err(NotReserved::Refused(BudgetRefusal::Exceeded {
                remaining: 430,
                ..
            }))
        ),
        "{refused:?}"
    );
    let rest = ledger.reserve(&reserve(430), some_instant()).await.unwrap();
    ledger.settle(rest, &[0]).await.unwrap();
    assert_eq!(used(&ledger, "a", &BUDGET).await, 570);
}

#[tokio::test]
async fn a_settlement_after_the_store_came_back_is_made() {
    let Some(mut server) = durable_server() else {
        return;
    };
    let engine = connect(&server, options()).await;
    let ledger = engine.ledger();
    let receipt = ledger.reserve(&reserve(400), some_instant()).await.unwrap();

    server.stop();
    let refused = ledger.reserve(&reserve(1), some_instant()).await;
    assert!(matches!(refused, Err(NotReserved::Store(_))), "{refused:?}");
    wait_until_down(&engine).await;
    server.start_again();
    wait_until_up(&engine).await;
    ledger.settle(receipt, &[7]).await.unwrap();

    assert_eq!(used(&ledger, "a", &BUDGET).await, 7);
}

#[tokio::test]
async fn a_process_that_dies_leaves_its_reservations() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&server, options()).await;
    let _never_settled = engine
        .ledger()
        .reserve(&reserve(400), some_instant())
        .await
        .unwrap();
    drop(engine);

    let ledger = connect(&server, options()).await.ledger();

    assert_eq!(used(&ledger, "a", &BUDGET).await, 400);
}

#[tokio::test]
async fn a_settlement_that_is_not_confirmed_is_made_once_or_not_at_all() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let options = options_with_deadline(Duration::from_millis(200));
    let engine = connect(&server, options).await;
    let ledger = engine.ledger();
    let _stands = ledger.reserve(&reserve(300), some_instant()).await.unwrap();
    let receipt = ledger.reserve(&reserve(100), some_instant()).await.unwrap();
    server.pause();
    assert_eq!(
        ledger.settle(receipt, &[10]).await,
        Err(StoreError::Timeout)
    );
    let not_reserved = ledger.reserve(&reserve(7), some_instant()).await;
    assert_eq!(not_reserved, Err(NotReserved::Store(StoreError::Timeout)));
    server.resume();
    wait_until_up(&engine).await;
    let used = used(&ledger, "a", &BUDGET).await;
    assert!([400, 310, 407, 317].contains(&used), "{used}");
}
