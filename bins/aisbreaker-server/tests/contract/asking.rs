//! `GET /api/v1/quota`: a holder asks how the quotas of its key stand. The figures are checked
//! against an oracle in the gateway's own tests.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::redis_server::RedisServer;
use crate::support::{
    Answer, Canaries, Request, Server, assert_error, call, grant, quotas, service,
};

const PATH: &str = "/api/v1/quota";
const VECTORS: &str =
    include_str!("../../../../crates/aisbreaker-token/tests/vectors/original-keys.json");

fn ask(bearer: &str) -> Request {
    Request::get(PATH).bearer(bearer)
}

fn key(server: &Server) -> String {
    server.mint(&grant(&quotas([10, 20, 30], [40, 50, 60]), &json!([])))
}

/// Limit and remaining of each limit, in the order in which they are told.
#[track_caller]
fn limits(answer: &Answer) -> Vec<(u64, u64)> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    let names: Vec<String> = told["limits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|limit| {
            format!(
                "{} {}",
                limit["scope"].as_str().unwrap(),
                limit["window"].as_str().unwrap()
            )
        })
        .collect();
    let expected = [
        "client minute",
        "client hour",
        "client day",
        "global minute",
        "global hour",
        "global day",
    ];
    assert_eq!(names, expected, "{answer:?}");
    let number = |limit: &Value, name: &str| limit[name].as_u64().unwrap();
    let told = told["limits"].as_array().unwrap().iter();
    told.map(|limit| (number(limit, "limit"), number(limit, "remaining")))
        .collect()
}

#[test]
fn a_holder_is_told_every_limit_and_the_expiry_and_is_not_charged_for_it() {
    let server = Server::start(&[]);
    let key = key(&server);
    assert_eq!(
        server
            .process(&key, &call(service("chat:dummy"), "Hi"))
            .status,
        200
    );

    for _ in 0..3 {
        let answer = server.send(&ask(&key));
        assert_eq!(
            limits(&answer),
            [(10, 9), (20, 19), (30, 29), (40, 39), (50, 49), (60, 59)]
        );
        let told = answer.json();
        assert_eq!(
            (&told["areDefaultQuotas"], &told["areShares"]),
            (&json!(false), &json!(false)),
            "{told}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("ratelimit"), None);
        let left = told["expiresInSeconds"].as_u64().unwrap();
        assert!(
            (7_100..=7_200).contains(&left),
            "two hours, where no span is asked for: {told}"
        );
        let expiry = told["expiresAt"].as_str().unwrap();
        assert!(
            expiry.starts_with("20") && expiry.ends_with('Z') && expiry.len() == 20,
            "{expiry}"
        );
        for limit in told["limits"].as_array().unwrap() {
            let reset = limit["resetSeconds"].as_u64().unwrap();
            assert!((40..=87_264).contains(&reset), "{limit}");
        }
    }
    let line = server.wait_for_log("a question", |line| line["route"] == PATH);
    let told = server.send(&ask(&key)).json();
    assert_eq!(line["key"], told["keyId"], "the id in the log");
}

#[test]
fn who_brings_no_key_is_told_the_default_quotas() {
    let limits_json = quotas([7, 70, 700], [8, 80, 800]).to_string();
    let server = Server::start(&[("AISBREAKER_DEFAULT_QUOTAS", &limits_json)]);
    let bare = server.mint(&json!({"requestAuthAndQuotas": {}}));
    let rows = [
        ("nothing", Request::get(PATH)),
        ("a secret", ask("sk-own")),
        ("a key without quotas", ask(&bare)),
    ];

    for (row, request) in rows {
        let answer = server.send(&request);
        let expected = [(7, 7), (70, 70), (700, 700), (8, 8), (80, 80), (800, 800)];
        let charged_for_minting = [(7, 6), (70, 69), (700, 699), (8, 7), (80, 79), (800, 799)];
        let is_bare = row == "a key without quotas";
        assert_eq!(
            limits(&answer),
            if is_bare {
                expected
            } else {
                charged_for_minting
            },
            "{row}"
        );
        assert_eq!(answer.json()["areDefaultQuotas"], true, "{row}");
        assert_eq!(
            answer.json().get("expiresAt").is_some(),
            is_bare,
            "{row}: {answer:?}"
        );
    }
}

#[test]
fn the_default_key_is_told_of_as_if_it_had_been_sent() {
    let minting = Server::start(&[]);
    let default = key(&minting);
    let server = Server::start(&[("DEFAULT_AISBREAKER_API_KEY", &default)]);

    let answer = server.send(&Request::get(PATH));

    assert_eq!(limits(&answer)[0], (10, 10));
    assert_eq!(
        answer.json()["keyId"],
        server.send(&ask(&default)).json()["keyId"]
    );
}

#[test]
fn bad_keys_other_hosts_and_other_methods_are_refused_as_elsewhere() {
    let server = Server::start(&[("AISBREAKER_PUBLIC_HOSTS", "localhost,b.example")]);
    let key = key(&server);
    let rows = [
        (
            "altered",
            ask(&format!("{}AAAA", &key[..key.len() - 4])),
            401,
        ),
        ("quoted", ask(&format!("\"{key}\"")), 401),
        ("of another host", ask(&key).set("Host", "b.example"), 401),
        ("not our host", ask(&key).set("Host", "c.example"), 421),
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
        let answer = server.send(&request);
        assert_error(row, &answer, status, "");
        let allow = (status == 405).then_some("GET, HEAD, OPTIONS");
        assert_eq!(answer.header("allow"), allow, "{row}");
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
fn keys_of_the_original_server_are_told_of_with_their_expiry() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let environment = vectors["server_env"].as_object().unwrap().iter();
    let environment: Vec<(&str, &str)> = environment
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    let server = Server::start(&environment);
    #[expect(
        clippy::disallowed_methods,
        reason = "the real keys in the vectors expire in real time"
    )]
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();

    let mut told = 0;
    for vector in vectors["tokens"].as_array().unwrap() {
        let (name, expiry) = (
            &vector["name"],
            vector["claims"]["exp"].as_u64().unwrap_or(0),
        );
        let host = vector["use_with_host_header"].as_str().unwrap();
        let answer = server.send(&ask(vector["token"].as_str().unwrap()).set("Host", host));
        if expiry <= now || vector["upstream_status_when_used"] == 401 {
            assert_eq!(answer.status, 401, "{name}: {answer:?}");
            continue;
        }
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let left = answer.json()["expiresInSeconds"].as_u64().unwrap();
        assert!((expiry - now).abs_diff(left) <= 60, "{name}: {left}");
        told += 1;
    }
    assert!(told > 0, "none of the keys is of use any more");
}

#[test]
fn the_answer_has_no_piece_of_a_secret() {
    let server = Server::start(&[]);
    let secret = "sk-Fk7wZq3nXv9tRm2bLc8yJd6hPs4g";
    let url = "https://hidden-Nz5xGt8kWp2v.example/";
    let entry = json!([{"serviceId": "chat:openai.com", "authSecret": secret, "url": url}]);
    let key = server.mint(&grant(&quotas([10, 20, 30], [40, 50, 60]), &entry));
    let canaries = Canaries::raw(&[
        ("secret", secret),
        ("url", "hidden-Nz5xGt8kWp2v"),
        ("key", &key[130..]),
    ]);

    let answer = server.send(&ask(&key));

    assert_eq!(answer.status, 200, "{answer:?}");
    canaries.assert_not_in("the answer", format!("{answer:?}"));
    canaries.assert_not_in("the log", server.log());
}

#[test]
fn asking_has_a_small_limit_of_its_own() {
    let server = Server::start(&[("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8")]);
    let key = key(&server);
    let from = |client: &str| ask(&key).header("X-Forwarded-For", client);
    for asked in 1..=60 {
        assert_eq!(
            server.send(&from("192.0.2.1")).status,
            200,
            "question {asked}"
        );
    }

    let refused = server.send(&from("192.0.2.1"));
    assert_error(
        "question 61",
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
    // A bad key is not even opened.
    let bad = Request::get(PATH)
        .bearer("aisbreaker_bad")
        .header("X-Forwarded-For", "192.0.2.1");
    assert_eq!(server.send(&bad).status, 429);

    for asked in 61..=600 {
        assert_eq!(
            server
                .send(&from(&format!("192.0.2.{}", asked / 60 + 1)))
                .status,
            200,
            "question {asked}"
        );
    }
    let refused = server.send(&from("192.0.2.99"));
    assert_error(
        "question 601",
        &refused,
        429,
        "no more than 600 per minute; try again in ",
    );
    assert_eq!(
        server
            .process(&key, &call(service("chat:dummy"), "Hi"))
            .status,
        200,
        "the key itself is not charged"
    );
}

#[test]
fn what_is_told_comes_from_the_shared_store_or_says_that_it_does_not() {
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
        assert_eq!(
            server
                .process(&key, &call(service("chat:dummy"), "Hi"))
                .status,
            200
        );
    }

    for server in &servers {
        let answer = server.send(&ask(&key));
        assert_eq!(limits(&answer)[..2], [(10, 8), (20, 18)]);
        assert_eq!(answer.json()["areShares"], false);
    }
    redis.stop();
    let answer = servers[0].send(&ask(&key));
    assert_eq!(
        limits(&answer)[..2],
        [(5, 4), (10, 9)],
        "half of each limit, less what this server admitted"
    );
    assert_eq!(answer.json()["areShares"], true);
}
