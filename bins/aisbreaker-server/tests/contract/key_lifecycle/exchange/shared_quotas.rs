//! The limits of a key hold for all keys that are made from it, wherever requests are counted.

use std::thread;

use serde_json::json;

use super::{child, key_in, parent, quota};
use crate::{
    redis_server::RedisServer,
    support::{Request, Server, ample_quotas, dummy_call, grant, quotas},
};

const CHILDREN: usize = 1_000;
const PLENTY: u32 = 1_000_000;
const LIMIT: u32 = 150;

/// Mints a key with this limit per day.
fn limited(server: &Server, per_day: u32) -> String {
    let limits = [PLENTY, PLENTY, per_day];
    server.mint(&grant(&quotas(limits, limits), &json!([])))
}

/// Makes this many children of a key, half of them children of one of its children.
fn children(server: &Server, parent: &str, count: usize) -> Vec<String> {
    let between = child(server, parent, &json!({"requestQuotas": ample_quotas()}));
    let parents = [parent, &between];
    thread::scope(|scope| {
        let makers: Vec<_> = (0..4)
            .map(|maker| {
                scope.spawn(move || {
                    let mut connection = server.connect();
                    let mut made = Vec::new();
                    for number in (maker..count).step_by(4) {
                        let members = json!({"name": format!("child {number}")});
                        let body = super::exchange(parents[number % 2], &members);
                        made.push(key_in(&connection.send(&super::as_json(&body))));
                    }
                    made
                })
            })
            .collect();
        makers
            .into_iter()
            .flat_map(|maker| maker.join().unwrap())
            .collect()
    })
}

/// Calls these servers with every key once, and returns how many calls are admitted. All others are
/// refused because of the limit of the first key.
fn call_all(servers: &[Server], keys: &[String], first_id: &str) -> u32 {
    thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|caller| {
                scope.spawn(move || {
                    let mut connection = servers[caller % servers.len()].connect();
                    let mut admitted = 0;
                    for key in keys.iter().skip(caller).step_by(4) {
                        let request = Request::process(&dummy_call()).bearer(key);
                        let response = connection.send(&request);
                        if response.status == 200 {
                            admitted += 1;
                            continue;
                        }
                        assert_eq!(response.status, 429, "{response:?}");
                        let message = response.message();
                        let expected = format!("of the key {first_id}, which this key was made");
                        assert!(message.contains(&expected), "{message}");
                    }
                    admitted
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .sum()
    })
}

fn used_today(server: &Server, key: &str) -> u64 {
    let quota = quota(server, key);
    let limits = quota["limits"].as_array().unwrap();
    let day = limits
        .iter()
        .find(|limit| limit["window"] == "day")
        .unwrap();
    day["limit"].as_u64().unwrap() - day["remaining"].as_u64().unwrap()
}

#[test]
fn a_thousand_children_are_admitted_exactly_the_limit_of_their_parent() {
    let server = [Server::start(&[])];
    let first = limited(&server[0], LIMIT);
    let id = quota(&server[0], &first)["keyId"]
        .as_str()
        .unwrap()
        .to_owned();
    let children = children(&server[0], &first, CHILDREN);

    assert_eq!(call_all(&server, &children, &id), LIMIT);

    assert_eq!(used_today(&server[0], &first), u64::from(LIMIT));
    let refused = server[0].process(&first, &dummy_call());
    assert!(!refused.message().contains("was made from"), "{refused:?}");
}

#[test]
fn children_of_one_key_share_its_limit_at_all_servers_of_a_store() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let url = redis.url();
    let leases = ("AISBREAKER_QUOTA_LEASE", "50");
    for leases in [&[][..], &[leases]] {
        let prefix = format!("leases-{}", leases.len());
        let environment = [
            ("AISBREAKER_REDIS_URL", &*url),
            ("AISBREAKER_REDIS_TIMEOUT", "30s"),
            ("AISBREAKER_REDIS_PREFIX", &prefix),
        ];
        let environment = [&environment, leases].concat();
        let servers = [(); 2].map(|()| Server::start(&environment));
        let first = limited(&servers[0], LIMIT);
        let id = quota(&servers[0], &first)["keyId"]
            .as_str()
            .unwrap()
            .to_owned();
        let children = children(&servers[0], &first, 2 * LIMIT as usize);

        let admitted = call_all(&servers, &children, &id);

        // A child that is called once takes no lease.
        assert_eq!(admitted, LIMIT, "{leases:?}");
        assert_eq!(used_today(&servers[1], &first), u64::from(LIMIT));
    }
}

#[test]
fn a_server_without_its_store_admits_its_share_to_all_children_together() {
    let server = [Server::start(&[
        ("AISBREAKER_REDIS_URL", "redis://127.0.0.1:1/0"),
        ("AISBREAKER_REPLICAS", "3"),
    ])];
    let first = limited(&server[0], LIMIT);
    let id = quota(&server[0], &first)["keyId"]
        .as_str()
        .unwrap()
        .to_owned();
    let children = children(&server[0], &first, LIMIT as usize);

    assert_eq!(call_all(&server, &children, &id), LIMIT / 3);
}

#[test]
fn a_restart_keeps_what_the_children_of_a_key_have_used() {
    let name = format!("chains-{}", std::process::id());
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let environment = [("AISBREAKER_STATE_FILE", file.to_str().unwrap())];
    let mut server = Server::start(&environment);
    let first = limited(&server, 3);
    let keys = [(); 2].map(|()| child(&server, &first, &json!({})));
    for key in &keys {
        assert_eq!(server.process(key, &dummy_call()).status, 200);
    }
    server.signal("TERM");
    server.wait_for_exit();

    let server = Server::start(&environment);

    let calls = [0, 1, 1].map(|child| server.process(&keys[child], &dummy_call()).status);
    let _removed = std::fs::remove_file(&file);
    assert_eq!(calls, [200, 429, 429]);
}

#[test]
fn a_quota_query_has_the_limits_of_everything_a_key_was_made_from() {
    let server = Server::start(&[]);
    let first = server.mint(&grant(&quotas([10, 20, 30], [40, 50, 60]), &json!([])));
    let second = child(&server, &first, &json!({}));
    let third_quotas = quotas([1, 2, 3], [4, 5, 6]);
    let third = child(&server, &second, &json!({"requestQuotas": third_quotas}));
    assert_eq!(server.process(&third, &dummy_call()).status, 200);
    let first_id = quota(&server, &first)["keyId"].clone();
    let shown = |limits: &serde_json::Value| -> Vec<(u64, u64)> {
        let limits = limits.as_array().unwrap().iter();
        let number = |limit: &serde_json::Value, name: &str| limit[name].as_u64().unwrap();
        limits
            .map(|limit| (number(limit, "limit"), number(limit, "remaining")))
            .collect()
    };
    let of_first = [(10, 9), (20, 19), (30, 29), (40, 39), (50, 49), (60, 59)];

    for (key, own, level) in [
        (&second, vec![], 1),
        (
            &third,
            vec![(1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (6, 5)],
            2,
        ),
    ] {
        for name in ["Authorization", "x-api-key", "api-key"] {
            let value = if name == "Authorization" {
                format!("Bearer {key}")
            } else {
                key.clone()
            };
            let body = server
                .send(&Request::get("/api/v1/quota").header(name, value))
                .json();
            assert_eq!(shown(&body["limits"]), own, "{name}: {body}");
            let ancestors = body["ancestors"].as_array().unwrap();
            assert_eq!(ancestors.len(), 1, "{body}");
            assert_eq!(ancestors[0]["keyId"], first_id);
            assert_eq!(ancestors[0]["level"], level);
            assert_eq!(ancestors[0]["areDefaultQuotas"], false);
            assert_eq!(shown(&ancestors[0]["limits"]), of_first, "{body}");
        }
    }
    assert!(quota(&server, &first).get("ancestors").is_none());
    let bare = child(&server, &parent(&server), &json!({}));
    assert_eq!(quota(&server, &bare)["areDefaultQuotas"], false);
}
