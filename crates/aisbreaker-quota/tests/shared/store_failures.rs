//! Stores that lose data, hang, stop, are full or read-only, or are no stores at all.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use aisbreaker_quota::shared::{SharedEngine, SharedRefusal, StoreError, StoreState};
use aisbreaker_quota::{Admitted, Charge};

use crate::oracle::number;
use crate::redis_server::RedisServer;
use crate::support::{
    PATIENCE, connect, options, options_with_deadline, per_day, remaining, start, wait_until_down,
    wait_until_up,
};

const SHORT_DEADLINE: Duration = Duration::from_millis(100);

async fn charge(
    engine: &SharedEngine,
    charges: &[Charge<&str>; 1],
) -> Result<Admitted<1>, SharedRefusal<1>> {
    engine.charge(charges, number(1)).await
}

#[tokio::test]
async fn flushed_function_is_reloaded_and_flushed_counters_start_anew() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&redis, options()).await;
    let charges = per_day("a", 5);
    charge(&engine, &charges).await.unwrap();

    redis.cli(&["FUNCTION", "FLUSH"]);
    assert_eq!(remaining(&engine, &charges).await, 4);
    redis.cli(&["FUNCTION", "FLUSH"]);
    // Several calls at once find the function missing.
    let (one, two, three) = tokio::join!(
        charge(&engine, &charges),
        charge(&engine, &charges),
        charge(&engine, &charges)
    );
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(remaining(&engine, &charges).await, 1);

    redis.cli(&["FLUSHALL"]);
    assert_eq!(remaining(&engine, &charges).await, 5);
    assert_eq!(
        *engine.states().borrow(),
        StoreState::Up,
        "none of this is a failure"
    );
}

#[tokio::test]
async fn hanging_store_is_down_after_three_timeouts_and_recovers() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&redis, options_with_deadline(SHORT_DEADLINE)).await;
    let charges = per_day("a", 100);

    redis.pause();
    for _ in 0..3 {
        assert_eq!(
            charge(&engine, &charges).await,
            Err(StoreError::Timeout.into())
        );
    }
    assert_eq!(
        *engine.states().borrow(),
        StoreState::Down(StoreError::Timeout)
    );
    // From now on no call waits. This many timeouts would take a quarter of an hour.
    for _ in 0..10_000 {
        assert_eq!(
            charge(&engine, &charges).await,
            Err(StoreError::Down.into())
        );
    }
    redis.resume();

    wait_until_up(&engine).await;
    // Charges that timed out may be counted; nothing else is.
    assert!((96..=100).contains(&remaining(&engine, &charges).await));
}

#[tokio::test]
async fn stopped_store_is_down_and_starts_empty() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&redis, options()).await;
    let charges = per_day("a", 3);
    charge(&engine, &charges).await.unwrap();

    redis.stop();
    let result = charge(&engine, &charges).await;
    assert!(
        matches!(
            result,
            Err(SharedRefusal::Store(
                StoreError::Failed(_) | StoreError::Down
            ))
        ),
        "{result:?}"
    );
    assert_eq!(
        charge(&engine, &charges).await,
        Err(StoreError::Down.into())
    );
    redis.start_again();

    wait_until_up(&engine).await;
    assert_eq!(remaining(&engine, &charges).await, 3);
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let _may_fail = charge(&engine, &charges).await;
    wait_until_up(&engine).await;
    assert!(charge(&engine, &charges).await.is_ok());
}

#[tokio::test]
async fn store_that_starts_after_the_engine_is_found() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    redis.stop();
    let engine = start(&redis.url(), options());

    assert!(
        wait_until_down(&engine)
            .await
            .contains("connection refused")
    );
    assert_eq!(
        charge(&engine, &per_day("a", 3)).await,
        Err(StoreError::Down.into())
    );
    redis.start_again();

    wait_until_up(&engine).await;
    assert!(charge(&engine, &per_day("a", 3)).await.is_ok());
}

#[tokio::test]
async fn full_or_read_only_store_is_down_with_that_cause() {
    let Some(redis) = RedisServer::start(&["--maxmemory-policy", "noeviction"]) else {
        return;
    };
    let engine = connect(&redis, options()).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let result = charge(&engine, &per_day("a", 3)).await;
    assert_eq!(result, Err(StoreError::Failed("OOM".to_owned()).into()));
    assert!(wait_until_down(&engine).await.contains("OOM"));
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    wait_until_up(&engine).await;

    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let result = charge(&engine, &per_day("a", 3)).await;
    assert_eq!(
        result,
        Err(StoreError::Failed("READONLY".to_owned()).into())
    );
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    wait_until_up(&engine).await;
}

#[tokio::test]
async fn foreign_value_fails_only_its_own_counter() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&redis, options()).await;
    redis.cli(&["SET", "{aisbreaker}:own:spoiled", "not a counter"]);

    let result = charge(&engine, &per_day("spoiled", 3)).await;

    assert!(
        matches!(result, Err(SharedRefusal::Store(StoreError::Failed(_)))),
        "{result:?}"
    );
    assert!(engine.peek(&per_day("spoiled", 3)).await.is_err());
    assert_eq!(*engine.states().borrow(), StoreState::Up);
    assert!(charge(&engine, &per_day("sound", 3)).await.is_ok());
}

/// Starts a server that replies to every command with these bytes, and returns its address.
fn fake(reply: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || respond(&mut stream, reply));
        }
    });
    format!("redis://127.0.0.1:{port}/")
}

fn respond(stream: &mut TcpStream, reply: &[u8]) {
    let mut piece = [0; 65_536];
    while let Some(read) = stream.read(&mut piece).ok().filter(|read| *read > 0) {
        // Every command begins with such a line.
        let commands = piece[..read]
            .split(|byte| *byte == b'\n')
            .filter(|line| line.starts_with(b"*"))
            .count();
        if stream.write_all(&reply.repeat(commands)).is_err() {
            break;
        }
    }
}

#[tokio::test]
async fn fake_store_is_never_up_and_its_words_are_not_repeated() {
    let rows: [(&str, &'static [u8], &str); 7] = [
        (
            "an old one",
            b"-ERR unknown command 'FUNCTION', with args beginning with: 'LOAD'\r\n",
            "Redis 7",
        ),
        ("a chatty one", b"-SECRET do not repeat me\r\n", "SECRET"),
        (
            "a shouting one",
            b"-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA no\r\n",
            "extension error",
        ),
        (
            "an HTTP server",
            b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n",
            "quota store",
        ),
        ("wrong types", b":7\r\n:7\r\n:7\r\n", "quota store"),
        ("half a reply", b"$1000\r\nabc", "time"),
        ("silence", b"", "time"),
    ];
    for (row, reply, expected) in rows {
        let engine = start(&fake(reply), options_with_deadline(SHORT_DEADLINE));
        let cause = wait_until_down(&engine).await;
        assert!(cause.contains(expected), "{row}: {cause}");
        assert!(!cause.contains("do not repeat"), "{row}: {cause}");
        assert_eq!(
            charge(&engine, &per_day("a", 3)).await,
            Err(StoreError::Down.into()),
            "{row}"
        );
    }
}

#[tokio::test]
async fn connection_closes_with_the_last_clone() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&redis, options()).await;
    let clone = engine.clone();
    drop(engine);
    assert!(charge(&clone, &per_day("a", 3)).await.is_ok());
    drop(clone);

    let connected = || {
        redis
            .cli(&["CLIENT", "LIST", "TYPE", "normal"])
            .lines()
            .filter(|line| !line.contains("cmd=client"))
            .count()
    };
    let gone = tokio::time::timeout(PATIENCE, async {
        while connected() > 0 {
            tokio::task::yield_now().await;
        }
    });
    gone.await.expect("every connection is closed");
}
