//! `GET /api/v1/quota`: the state of the quotas of a key. The gateway's own tests check the figures
//! against an oracle.

use serde_json::{Value, json};

use crate::redis_server::RedisServer;
use crate::support::{
    Canaries, Request, Response, Server, assert_error, dummy_call, grant, original_keys, quotas,
};

const PATH: &str = "/api/v1/quota";

fn quota_request(bearer: &str) -> Request {
    Request::get(PATH).bearer(bearer)
}

fn key(server: &Server) -> String {
    server.mint(&grant(&quotas([10, 20, 30], [40, 50, 60]), &json!([])))
}

/// The limit and what remains of it, for each limit in the order of the response.
#[track_caller]
fn limits(response: &Response) -> Vec<(u64, u64)> {
    assert_eq!(response.status, 200, "{response:?}");
    let body = response.json();
    let limits = body["limits"].as_array().unwrap();
    let text = |limit: &Value, name: &str| limit[name].as_str().unwrap().to_owned();
    let names: Vec<String> = limits
        .iter()
        .map(|limit| format!("{} {}", text(limit, "scope"), text(limit, "window")))
        .collect();
    let expected = [
        "client minute",
        "client hour",
        "client day",
        "global minute",
        "global hour",
        "global day",
    ];
    assert_eq!(names, expected, "{response:?}");
    let number = |limit: &Value, name: &str| limit[name].as_u64().unwrap();
    limits
        .iter()
        .map(|limit| (number(limit, "limit"), number(limit, "remaining")))
        .collect()
}

#[test]
fn reports_every_limit_and_the_expiry_without_charging() {
    let server = Server::start(&[]);
    let key = key(&server);
    assert_eq!(server.process(&key, &dummy_call()).status, 200);

    for _ in 0..3 {
        let response = server.send(&quota_request(&key));
        assert_eq!(
            limits(&response),
            [(10, 9), (20, 19), (30, 29), (40, 39), (50, 49), (60, 59)]
        );
        let body = response.json();
        assert_eq!(
            (&body["areDefaultQuotas"], &body["areShares"]),
            (&json!(false), &json!(false)),
            "{body}"
        );
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.header("ratelimit"), None);
        let left = body["expiresInSeconds"].as_u64().unwrap();
        assert!(
            (7_100..=7_200).contains(&left),
            "two hours by default: {body}"
        );
        let expiry = body["expiresAt"].as_str().unwrap();
        assert!(
            expiry.starts_with("20") && expiry.ends_with('Z') && expiry.len() == 20,
            "{expiry}"
        );
        for limit in body["limits"].as_array().unwrap() {
            let reset = limit["resetSeconds"].as_u64().unwrap();
            assert!((40..=87_264).contains(&reset), "{limit}");
        }
    }
    let line = server.wait_for_log("the request", |line| line["route"] == PATH);
    let key_id = server.send(&quota_request(&key)).json()["keyId"].clone();
    assert_eq!(line["key"], key_id, "the id in the log");
}

#[test]
fn reports_default_quotas_to_callers_without_a_key() {
    let limits_json = quotas([7, 70, 700], [8, 80, 800]).to_string();
    let server = Server::start(&[("AISBREAKER_DEFAULT_QUOTAS", &limits_json)]);
    let bare = server.mint(&json!({"requestAuthAndQuotas": {}}));
    assert_eq!(server.process("", &dummy_call()).status, 200);
    let rows = [
        ("no credentials", Request::get(PATH)),
        ("a secret", quota_request("sk-own")),
        ("a key without quotas", quota_request(&bare)),
    ];

    for (row, request) in rows {
        let response = server.send(&request);
        let unused = [(7, 7), (70, 70), (700, 700), (8, 8), (80, 80), (800, 800)];
        let used_once = [(7, 6), (70, 69), (700, 699), (8, 7), (80, 79), (800, 799)];
        let is_bare = row == "a key without quotas";
        assert_eq!(
            limits(&response),
            if is_bare { unused } else { used_once },
            "{row}"
        );
        assert_eq!(response.json()["areDefaultQuotas"], true, "{row}");
        assert_eq!(
            response.json().get("expiresAt").is_some(),
            is_bare,
            "{row}: {response:?}"
        );
    }
}

#[test]
fn reports_on_the_default_key_when_none_is_sent() {
    let minting = Server::start(&[]);
    let default = key(&minting);
    let server = Server::start(&[("DEFAULT_AISBREAKER_API_KEY", &default)]);

    let response = server.send(&Request::get(PATH));

    assert_eq!(limits(&response)[0], (10, 10));
    assert_eq!(
        response.json()["keyId"],
        server.send(&quota_request(&default)).json()["keyId"]
    );
}

#[test]
fn refuses_bad_keys_foreign_hosts_and_wrong_methods() {
    let server = Server::start(&[("AISBREAKER_PUBLIC_HOSTS", "localhost,b.example")]);
    let key = key(&server);
    let rows = [
        (
            "altered",
            quota_request(&format!("{}AAAA", &key[..key.len() - 4])),
            401,
        ),
        ("quoted", quota_request(&format!("\"{key}\"")), 401),
        (
            "of another host",
            quota_request(&key).set("Host", "b.example"),
            401,
        ),
        (
            "not our host",
            quota_request(&key).set("Host", "c.example"),
            421,
        ),
        (
            "another scheme",
            Request::get(PATH).header("Authorization", "Basic YTpi"),
            401,
        ),
        ("POST", Request::new("POST", PATH).bearer(&key), 405),
        ("DELETE", Request::new("DELETE", PATH).bearer(&key), 405),
        (
            "another path",
            Request::get("/api/v1/quotas").bearer(&key),
            404,
        ),
    ];
    for (row, request, status) in rows {
        let response = server.send(&request);
        assert_error(row, &response, status, "");
        let allow = (status == 405).then_some("GET, HEAD, OPTIONS");
        assert_eq!(response.header("allow"), allow, "{row}");
    }
    let head = server.send(&Request::new("HEAD", PATH).bearer(&key));
    assert_eq!((head.status, head.text()), (200, ""));
    let preflight = server.send(
        &Request::new("OPTIONS", PATH).header("Access-Control-Request-Headers", "authorization"),
    );
    assert_eq!(preflight.status, 204, "{preflight:?}");
    assert_eq!(
        preflight.header("access-control-allow-methods"),
        Some("GET, HEAD, OPTIONS")
    );
}

#[test]
fn reports_the_expiry_of_original_keys() {
    let vectors = original_keys::vectors();
    let server = Server::start(&original_keys::server_environment(&vectors));
    let now = original_keys::unix_now();

    let mut opened = 0;
    for vector in vectors["tokens"].as_array().unwrap() {
        let name = &vector["name"];
        let expiry = vector["claims"]["exp"].as_u64().unwrap_or(0);
        let host = vector["use_with_host_header"].as_str().unwrap();
        let token = vector["token"].as_str().unwrap();
        let response = server.send(&quota_request(token).set("Host", host));
        if expiry <= now || vector["upstream_status_when_used"] == 401 {
            assert_eq!(response.status, 401, "{name}: {response:?}");
            continue;
        }
        assert_eq!(response.status, 200, "{name}: {response:?}");
        let left = response.json()["expiresInSeconds"].as_u64().unwrap();
        assert!((expiry - now).abs_diff(left) <= 60, "{name}: {left}");
        opened += 1;
    }
    assert!(opened > 0, "all keys have expired");
}

#[test]
fn response_contains_no_part_of_a_secret() {
    let server = Server::start(&[]);
    let secret = "sk-Fk7wZq3nXv9tRm2bLc8yJd6hPs4g";
    let url = "https://hidden-Nz5xGt8kWp2v.example/";
    let entry = json!([{"serviceId": "chat:openai.com", "authSecret": secret, "url": url}]);
    let key = server.mint(&grant(&quotas([10, 20, 30], [40, 50, 60]), &entry));
    let canaries = Canaries::verbatim(&[
        ("secret", secret),
        ("url", "hidden-Nz5xGt8kWp2v"),
        ("key", &key[130..]),
    ]);

    let response = server.send(&quota_request(&key));

    assert_eq!(response.status, 200, "{response:?}");
    canaries.assert_not_in("the response", format!("{response:?}"));
    canaries.assert_not_in("the log", server.log());
}

#[test]
fn has_its_own_rate_limit() {
    let server = Server::start(&[("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8")]);
    let key = key(&server);
    let from = |client: &str| quota_request(&key).header("X-Forwarded-For", client);
    for request in 1..=60 {
        assert_eq!(
            server.send(&from("192.0.2.1")).status,
            200,
            "request {request}"
        );
    }

    let refused = server.send(&from("192.0.2.1"));
    assert_error(
        "request 61",
        &refused,
        429,
        "quotas were asked for too often: no more than 60 per minute and client",
    );
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait), "{refused:?}");
    assert_eq!(
        refused.header("x-should-retry"),
        (wait > 30).then_some("false")
    );
    // The limit applies before a key is opened.
    let bad = Request::get(PATH)
        .bearer("aisbreaker_bad")
        .header("X-Forwarded-For", "192.0.2.1");
    assert_eq!(server.send(&bad).status, 429);

    for request in 61..=600 {
        assert_eq!(
            server
                .send(&from(&format!("192.0.2.{}", request / 60 + 1)))
                .status,
            200,
            "request {request}"
        );
    }
    let refused = server.send(&from("192.0.2.99"));
    assert_error(
        "request 601",
        &refused,
        429,
        "no more than 600 per minute; try again in ",
    );
    assert_eq!(
        server.process(&key, &dummy_call()).status,
        200,
        "the key itself is not charged"
    );
}

#[test]
fn reports_shared_counts_or_marks_local_shares() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let url = redis.url();
    let store = [
        ("AISBREAKER_REDIS_URL", &*url),
        ("AISBREAKER_REDIS_TIMEOUT", "30s"),
        ("AISBREAKER_REPLICAS", "2"),
    ];
    let servers = [Server::start(&store), Server::start(&store)];
    let key = key(&servers[0]);
    for server in &servers {
        assert_eq!(server.process(&key, &dummy_call()).status, 200);
    }

    for server in &servers {
        let response = server.send(&quota_request(&key));
        assert_eq!(limits(&response)[..2], [(10, 8), (20, 18)]);
        assert_eq!(response.json()["areShares"], false);
    }
    redis.stop();
    let response = servers[0].send(&quota_request(&key));
    assert_eq!(
        limits(&response)[..2],
        [(5, 4), (10, 9)],
        "half of each limit, less what this server admitted"
    );
    assert_eq!(response.json()["areShares"], true);
}
