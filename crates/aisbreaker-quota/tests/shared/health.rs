//! A store that forgets, hangs, ends, is full, is read-only, or is none.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use aisbreaker_quota::shared::{
    SharedEngine, SharedOptions, SharedRefusal, StoreError, StoreState,
};
use aisbreaker_quota::{Admitted, Charge};

use crate::redis_server::RedisServer;
use crate::{PATIENCE, cause, is_up, number, options, per_day, remaining, start, up};

async fn charge(
    engine: &SharedEngine,
    charges: &[Charge<&str>; 1],
) -> Result<Admitted<1>, SharedRefusal<1>> {
    engine.charge(charges, number(1)).await
}

fn hasty() -> SharedOptions {
    let mut options = SharedOptions::default();
    options.deadline = Duration::from_millis(100);
    options
}

#[tokio::test]
async fn a_function_that_is_flushed_is_brought_again_and_counters_that_are_flushed_are_gone() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = up(&redis, options()).await;
    let charges = per_day("a", 5);
    charge(&engine, &charges).await.unwrap();

    redis.cli(&["FUNCTION", "FLUSH"]);
    assert_eq!(remaining(&engine, &charges).await, 4);
    redis.cli(&["FUNCTION", "FLUSH"]);
    // Several at once find it gone.
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
        "nothing of this is a failure"
    );
}

#[tokio::test]
async fn a_store_that_hangs_is_given_up_after_three_deadlines_and_found_again() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = up(&redis, hasty()).await;
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
    // From now on nobody waits: this many deadlines would take a quarter of an hour.
    for _ in 0..10_000 {
        assert_eq!(
            charge(&engine, &charges).await,
            Err(StoreError::Down.into())
        );
    }
    redis.resume();

    is_up(&engine).await;
    // What was given up may have been counted: never less than what was admitted.
    assert!((96..=100).contains(&remaining(&engine, &charges).await));
}

#[tokio::test]
async fn a_store_that_ends_is_noticed_and_found_again_empty() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = up(&redis, options()).await;
    let charges = per_day("a", 3);
    charge(&engine, &charges).await.unwrap();

    redis.stop();
    let answer = charge(&engine, &charges).await;
    assert!(
        matches!(
            answer,
            Err(SharedRefusal::Store(
                StoreError::Failed(_) | StoreError::Down
            ))
        ),
        "{answer:?}"
    );
    assert_eq!(
        charge(&engine, &charges).await,
        Err(StoreError::Down.into())
    );
    redis.start_again();

    is_up(&engine).await;
    assert_eq!(remaining(&engine, &charges).await, 3);
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let _noticed = charge(&engine, &charges).await;
    is_up(&engine).await;
    assert!(charge(&engine, &charges).await.is_ok());
}

#[tokio::test]
async fn a_store_that_was_not_there_at_the_start_is_found_when_it_comes() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    redis.stop();
    let engine = start(&redis.url(), options());

    assert!(cause(&engine).await.contains("connection refused"));
    assert_eq!(
        charge(&engine, &per_day("a", 3)).await,
        Err(StoreError::Down.into())
    );
    redis.start_again();

    is_up(&engine).await;
    assert!(charge(&engine, &per_day("a", 3)).await.is_ok());
}

#[tokio::test]
async fn a_store_that_is_full_or_read_only_is_given_up_by_name() {
    let Some(redis) = RedisServer::start(&["--maxmemory-policy", "noeviction"]) else {
        return;
    };
    let engine = up(&redis, options()).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let answer = charge(&engine, &per_day("a", 3)).await;
    assert_eq!(answer, Err(StoreError::Failed("OOM".to_owned()).into()));
    assert!(cause(&engine).await.contains("OOM"));
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    is_up(&engine).await;

    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let answer = charge(&engine, &per_day("a", 3)).await;
    assert_eq!(
        answer,
        Err(StoreError::Failed("READONLY".to_owned()).into())
    );
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    is_up(&engine).await;
}

#[tokio::test]
async fn a_counter_that_somebody_else_wrote_fails_alone() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = up(&redis, options()).await;
    redis.cli(&["SET", "{aisbreaker}:own:spoiled", "no counter"]);

    let answer = charge(&engine, &per_day("spoiled", 3)).await;

    assert!(
        matches!(answer, Err(SharedRefusal::Store(StoreError::Failed(_)))),
        "{answer:?}"
    );
    assert!(engine.peek(&per_day("spoiled", 3)).await.is_err());
    assert_eq!(*engine.states().borrow(), StoreState::Up);
    assert!(charge(&engine, &per_day("sound", 3)).await.is_ok());
}

/// A server that answers each command with this.
fn fake(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || respond(&mut stream, answer));
        }
    });
    format!("redis://127.0.0.1:{port}/")
}

fn respond(stream: &mut TcpStream, answer: &[u8]) {
    let mut piece = [0; 65_536];
    while let Some(read) = stream.read(&mut piece).ok().filter(|read| *read > 0) {
        // Each command begins with a line of its own.
        let commands = piece[..read]
            .split(|byte| *byte == b'\n')
            .filter(|line| line.starts_with(b"*"))
            .count();
        if stream.write_all(&answer.repeat(commands)).is_err() {
            break;
        }
    }
}

#[tokio::test]
async fn what_is_no_store_is_never_up_and_its_words_are_not_repeated() {
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
        ("half an answer", b"$1000\r\nabc", "time"),
        ("silence", b"", "time"),
    ];
    for (row, answer, expected) in rows {
        let engine = start(&fake(answer), hasty());
        let told = cause(&engine).await;
        assert!(told.contains(expected), "{row}: {told}");
        assert!(!told.contains("do not repeat"), "{row}: {told}");
        assert_eq!(
            charge(&engine, &per_day("a", 3)).await,
            Err(StoreError::Down.into()),
            "{row}"
        );
    }
}

#[tokio::test]
async fn the_connection_ends_with_the_last_clone() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = up(&redis, options()).await;
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
    gone.await.expect("nobody is connected any more");
}
