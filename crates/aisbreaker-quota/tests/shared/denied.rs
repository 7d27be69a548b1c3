//! Names for which nothing is charged, at every engine that shares the store.

use std::time::{Duration, UNIX_EPOCH};

use aisbreaker_quota::shared::{
    Denied, DeniedCursor, DenyError, NotCharged, SharedEngine, SharedRefusal,
};

use crate::{
    oracle::number,
    redis_server::RedisServer,
    support::{
        connect, options, options_with_lease, options_with_prefix, per_day, remaining, start,
        wait_until_down, wait_until_up,
    },
};

const PLENTY: u32 = 1_000_000;
/// Seconds since 1970, far beyond any run of the tests.
const FAR: u64 = 4_000_000_000;

fn far(name: &str) -> Denied {
    Denied::new(name.to_owned(), UNIX_EPOCH + Duration::from_secs(FAR))
}

/// The time of the store in seconds since 1970.
fn store_time(redis: &RedisServer) -> u64 {
    let text = redis.cli(&["TIME"]);
    text.lines().next().unwrap().trim().parse().unwrap()
}

async fn is_denied(engine: &SharedEngine, names: &[&str]) -> bool {
    let charges = per_day("ada", PLENTY);
    match engine
        .charge_unless_denied(&charges, number(1), names)
        .await
    {
        Ok(_admitted) => false,
        Err(NotCharged::Denied) => true,
        Err(NotCharged::Refused(refusal)) => panic!("{refusal}"),
    }
}

/// Reads all denied names from the beginning.
async fn all(engine: &SharedEngine) -> Vec<Denied> {
    let (mut all, mut cursor) = (Vec::new(), DeniedCursor::default());
    loop {
        let page = engine.denied(cursor).await.unwrap();
        all.extend(page.names);
        cursor = page.next;
        if page.is_last {
            return all;
        }
    }
}

#[tokio::test]
async fn denied_names_are_refused_everywhere_and_charged_nowhere() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engines = [
        connect(&redis, options()).await,
        connect(&redis, options()).await,
    ];
    let names = ["child", "parent", "root"];
    assert!(!is_denied(&engines[1], &names).await);

    engines[0].deny(&[far("root")], PLENTY).await.unwrap();

    for engine in &engines {
        assert!(is_denied(engine, &names).await);
        assert!(is_denied(engine, &["root"]).await);
        assert!(!is_denied(engine, &["child", "parent"]).await);
        assert!(!is_denied(engine, &[]).await);
    }
    let charged = PLENTY - remaining(&engines[0], &per_day("ada", PLENTY)).await;
    assert_eq!(charged, 5, "what was admitted, and nothing else");
    let other = connect(&redis, options_with_prefix("other")).await;
    assert!(!is_denied(&other, &names).await, "another prefix");
}

#[tokio::test]
async fn engines_with_leases_refuse_once_the_denial_has_returned() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let leasing = connect(&redis, options_with_lease(1_000)).await;
    let denying = connect(&redis, options()).await;
    for round in 0..5 {
        let name = format!("key-{round}");
        for _ in 0..50 {
            assert!(!is_denied(&leasing, &[&name]).await);
        }
        denying.deny(&[far(&name)], PLENTY).await.unwrap();
        for _ in 0..3 {
            assert!(is_denied(&leasing, &[&name]).await, "{round}");
        }
    }
}

#[tokio::test]
async fn denied_names_end_by_themselves() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&redis, options()).await;
    let now = store_time(&redis);
    let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(now + seconds);
    let names = [
        Denied::new("over".to_owned(), UNIX_EPOCH + Duration::from_secs(now)),
        Denied::new("soon".to_owned(), at(1_000)),
        Denied::new("late".to_owned(), at(3_000)),
        Denied::new(
            "never".to_owned(),
            UNIX_EPOCH + Duration::from_secs(1 << 40),
        ),
    ];
    engine.deny(&names, PLENTY).await.unwrap();
    // The later end counts.
    let again = [
        Denied::new("soon".to_owned(), at(2_000)),
        Denied::new("late".to_owned(), at(2_000)),
    ];
    engine.deny(&again, PLENTY).await.unwrap();

    assert!(!is_denied(&engine, &["over"]).await);
    for (name, seconds) in [("soon", 2_000), ("late", 3_000)] {
        assert!(is_denied(&engine, &[name]).await);
        let key = format!("{{aisbreaker}}:denied:{name}");
        let left: u64 = redis.cli(&["TTL", &key]).trim().parse().unwrap();
        assert!((seconds - 60..=seconds).contains(&left), "{name}: {left}");
        redis.cli(&["PEXPIRE", &key, "0"]);
        assert!(!is_denied(&engine, &[name]).await);
    }
    assert!(is_denied(&engine, &["never"]).await);
}

#[tokio::test]
async fn a_full_store_denies_all_of_a_call_or_none() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&redis, options()).await;
    engine.deny(&[far("a"), far("b")], 3).await.unwrap();

    let refused = engine.deny(&[far("c"), far("d")], 3).await;

    assert_eq!(refused, Err(DenyError::Full));
    for (name, denied) in [("a", true), ("b", true), ("c", false), ("d", false)] {
        assert_eq!(is_denied(&engine, &[name]).await, denied, "{name}");
    }
    assert_eq!(engine.deny(&[far("a"), far("c")], 3).await, Ok(()));
    assert_eq!(engine.deny(&[far("a")], 3).await, Ok(()), "nothing new");
    assert_eq!(engine.deny(&[], 0).await, Ok(()));
}

#[tokio::test]
async fn the_list_is_read_in_order_and_from_where_the_last_reading_ended() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&redis, options()).await;
    assert_eq!(all(&engine).await, []);
    let names: Vec<Denied> = (0..2_500)
        .map(|number| far(&format!("n{number}")))
        .collect();
    for part in names.chunks(500) {
        engine.deny(part, PLENTY).await.unwrap();
    }
    assert_eq!(all(&engine).await, names);

    let mut cursor = DeniedCursor::default();
    for expected in [1_000, 1_000, 500, 0] {
        let page = engine.denied(cursor).await.unwrap();
        assert_eq!(page.names.len(), expected);
        assert_eq!(page.is_last, expected < 1_000);
        cursor = page.next;
    }
    engine.deny(&[far("new")], PLENTY).await.unwrap();
    let page = engine.denied(cursor).await.unwrap();
    assert_eq!(page.names, [far("new")]);

    engine.forget_denied(&names).await.unwrap();
    engine.forget_denied(&[]).await.unwrap();
    assert_eq!(all(&engine).await, [far("new")]);
    assert!(is_denied(&engine, &["n7"]).await, "only the list forgets");
}

/// Who fills the list anew after it was lost is read by those who read it before.
#[tokio::test]
async fn a_flushed_store_is_read_on() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&redis, options()).await;
    engine.deny(&[far("before")], PLENTY).await.unwrap();
    let cursor = engine.denied(DeniedCursor::default()).await.unwrap().next;
    redis.cli(&["FLUSHALL"]);

    engine.deny(&[far("after")], PLENTY).await.unwrap();

    let page = engine.denied(cursor).await.unwrap();
    assert_eq!(page.names, [far("after")]);
}

#[tokio::test]
async fn a_store_that_is_gone_denies_nothing() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let engine = connect(&redis, options()).await;
    redis.stop();
    let error = engine.deny(&[far("a")], PLENTY).await;
    assert!(matches!(error, Err(DenyError::Store(_))), "{error:?}");
    wait_until_down(&engine).await;
    assert!(engine.denied(DeniedCursor::default()).await.is_err());
    let charges = per_day("ada", PLENTY);
    let refused = engine
        .charge_unless_denied(&charges, number(1), &["a"])
        .await;
    let is_store = matches!(refused, Err(NotCharged::Refused(SharedRefusal::Store(_))));
    assert!(is_store, "{refused:?}");
}

/// Charges need no more rights than without denied names, so that who does not deny any need not
/// grant them.
#[tokio::test]
async fn denying_needs_the_documented_rights() {
    const RIGHTS: [&str; 9] = [
        "~{aisbreaker}:*",
        "+fcall",
        "+fcall_ro",
        "+function|load",
        "+mget",
        "+get",
        "+set",
        "+setex",
        "+time",
    ];
    const DENYING: [&str; 5] = ["+zadd", "+zcard", "+zrangebyscore", "+zrem", "+zrevrange"];
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let grant = |rights: &[&str]| {
        let user = ["ACL", "SETUSER", "gate", "reset", "on", ">secret"];
        assert_eq!(redis.cli(&[&user, rights].concat()).trim(), "OK");
    };
    let url = format!("redis://gate:secret@127.0.0.1:{}/", redis.port);
    let use_all = async |engine: &SharedEngine| {
        engine.deny(&[far("a")], PLENTY).await.is_ok()
            && engine.denied(DeniedCursor::default()).await.is_ok()
            && engine.forget_denied(&[far("b")]).await.is_ok()
    };
    grant(&[&RIGHTS[..], &DENYING].concat());
    let engine = start(&url, options());
    wait_until_up(&engine).await;
    assert!(use_all(&engine).await);
    assert!(is_denied(&engine, &["a"]).await);

    for missing in DENYING {
        redis.cli(&["FLUSHDB"]);
        let some = DENYING.into_iter().filter(|right| *right != missing);
        grant(&RIGHTS.into_iter().chain(some).collect::<Vec<_>>());
        let engine = start(&url, options());
        wait_until_up(&engine).await;
        assert!(!is_denied(&engine, &["a"]).await, "{missing}");
        assert!(!use_all(&engine).await, "{missing} is not needed");
    }
}
