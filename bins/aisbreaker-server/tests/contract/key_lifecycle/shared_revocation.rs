//! Revocations that several servers share through Redis.

use serde_json::json;

use super::{ADMIN, assert_oauth_error, id_of, is_accepted, operator_revocation, revoke};
use crate::{
    redis_server::RedisServer,
    support::{Server, Ticker, dummy_call},
};

fn server(redis: &RedisServer, environment: &[(&str, &str)]) -> Server {
    let url = redis.url();
    let defaults = [
        ("AISBREAKER_REDIS_URL", &*url),
        // Longer than any pause of a busy machine.
        ("AISBREAKER_REDIS_TIMEOUT", "30s"),
        ("AISBREAKER_ADMIN_SECRET", ADMIN),
    ];
    Server::start(&[&defaults, environment].concat())
}

fn key(server: &Server) -> String {
    server.mint_with_secrets(&json!([]))
}

/// Revokes keys at each of four servers, and finds them refused by the very next request at the
/// others.
fn assert_revoked_everywhere(redis: &RedisServer, environment: &[(&str, &str)]) {
    let servers = [(); 4].map(|()| server(redis, environment));
    for revoking in 0..4 {
        let keys = [(); 2].map(|()| key(&servers[0]));
        // Often, so that all of them have leases where they may.
        for _ in 0..5 {
            for server in &servers {
                assert!(is_accepted(server, &keys[0]) && is_accepted(server, &keys[1]));
            }
        }
        let id = id_of(&servers[0], &keys[1]);
        assert_eq!(revoke(&servers[revoking], &keys[0]).status, 200);
        for server in &servers {
            assert_eq!(
                server.process(&keys[0], &dummy_call()).status,
                401,
                "{revoking}"
            );
        }
        let by_id = operator_revocation(&format!("id={id}"));
        assert_eq!(servers[revoking].send(&by_id).status, 200);
        for server in &servers {
            assert!(!is_accepted(server, &keys[1]), "{revoking}");
        }
    }
}

#[test]
fn the_next_request_at_every_other_server_is_refused() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    assert_revoked_everywhere(&redis, &[]);
}

#[test]
fn the_next_request_at_servers_with_leases_is_refused() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    assert_revoked_everywhere(&redis, &[("AISBREAKER_QUOTA_LEASE", "100")]);
}

#[test]
fn a_server_that_starts_knows_what_was_revoked_and_keeps_a_copy() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let first = server(&redis, &[]);
    let keys = [(); 2].map(|()| key(&first));
    assert_eq!(revoke(&first, &keys[0]).status, 200);
    let second = server(&redis, &[]);
    assert!(!is_accepted(&second, &keys[0]));
    assert_eq!(revoke(&first, &keys[1]).status, 200);
    // Until the copy has it, which the store does not decide about.
    let mut ticker = Ticker::start(300);
    let quota = crate::support::Request::get("/api/v1/quota").bearer(&keys[1]);
    while second.send(&quota).status == 200 {
        ticker.tick();
    }

    redis.stop();

    for server in [&first, &second] {
        for key in &keys {
            assert_eq!(server.process(key, &dummy_call()).status, 401);
        }
    }
}

#[test]
fn nothing_is_confirmed_while_the_store_is_gone() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let server = server(&redis, &[("AISBREAKER_REDIS_TIMEOUT", "1s")]);
    let key = key(&server);
    redis.stop();
    let answer = revoke(&server, &key);
    assert_oauth_error("gone", &answer, 503, "temporarily_unavailable", "try again");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert_eq!(
        server.process(&key, &dummy_call()).status,
        401,
        "it holds here"
    );
    let unknown = revoke(&server, "aisbreaker_x");
    assert_eq!(unknown.status, 200, "there is nothing to keep");
}

/// What a refused request would have been charged.
#[test]
fn a_revoked_key_is_charged_nothing_in_the_store() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let servers = [server(&redis, &[]), server(&redis, &[])];
    let key = key(&servers[0]);
    let id = id_of(&servers[0], &key);
    assert_eq!(revoke(&servers[0], &key).status, 200);
    assert_eq!(servers[1].process(&key, &dummy_call()).status, 401);
    let names = redis.cli(&["KEYS", "*"]);
    assert!(names.contains(&format!(":denied:{id}")), "{names}");
    assert!(!names.contains(&format!("key:{id}")), "{names}");
    let left: u32 = redis
        .cli(&["TTL", &format!("{{aisbreaker}}:denied:{id}")])
        .trim()
        .parse()
        .unwrap();
    assert!(
        (7_000..=7_200).contains(&left),
        "it ends with the key: {left}"
    );
}
