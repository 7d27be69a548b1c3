//! The quota headers, compared with an oracle that keeps an exact log of admissions.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use aisbreaker_egress::{Client, Policy, Timeouts};
use aisbreaker_gateway::{Clock, Config, Gateway, quotas_from_json};
use aisbreaker_services::services::{Options, standard};
use aisbreaker_token::{KeyRing, ServerKey};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use serde_json::{Value, json};

/// The windows: milliseconds and name.
const WINDOWS: [(u64, &str); 3] = [(60_000, "minute"), (3_600_000, "hour"), (86_400_000, "day")];
/// The server's limits, per client and global, for each rate of requests.
const SERVER_QUOTAS: [[[u32; 3]; 2]; 3] = [
    [[9, 40, 90], [17, 70, 150]],
    [[30, 9, 90], [60, 20, 150]],
    [[30, 20, 12], [60, 50, 33]],
];
/// The limits of three keys, per client and global.
const KEY_QUOTAS: [[[u32; 3]; 2]; 3] = [
    [[3, 12, 30], [5, 20, 60]],
    [[8, 5, 6], [100, 13, 16]],
    [
        [1_000_000, 4_000_000_000, 4_000_000_000],
        [1_000_000, 4_000_000_000, 4_000_000_000],
    ],
];
const CLIENTS: usize = 3;
/// The longest pauses between requests, in milliseconds.
const TEMPI: [[usize; 5]; 3] = [
    [0, 0, 7, 550, 9_000],
    [0, 4_000, 31_000, 90_000, 200_000],
    [0, 7, 100_000, 900_000, 5_000_000],
];

/// A manual clock, in milliseconds since its start.
#[derive(Clone, Debug)]
struct ManualClock {
    begin: Instant,
    millis: Arc<Mutex<u64>>,
}

impl Clock for ManualClock {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.since()
    }

    fn monotonic(&self) -> Instant {
        self.begin + self.since()
    }
}

impl ManualClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "an instant can only be had from the system"
    )]
    fn new() -> Self {
        Self {
            begin: Instant::now(),
            millis: Arc::default(),
        }
    }

    fn since(&self) -> Duration {
        Duration::from_millis(*self.millis.lock().unwrap())
    }
}

/// One counter: its three limits, and the times of all admissions in milliseconds.
#[derive(Clone, Debug)]
struct Counter {
    limits: [u32; 3],
    admitted: Vec<u64>,
}

impl Counter {
    fn new(limits: [u32; 3]) -> Self {
        Self {
            limits,
            admitted: Vec::new(),
        }
    }

    /// Returns the times that count in a window: those in the current slot and the hundred before.
    fn counting(&self, window: usize, now: u64) -> impl Iterator<Item = u64> {
        let slot = WINDOWS[window].0 / 100;
        self.admitted
            .iter()
            .copied()
            .filter(move |at| now / slot - at / slot <= 100)
    }

    fn remaining(&self, window: usize, now: u64) -> u64 {
        u64::from(self.limits[window]) - u64::try_from(self.counting(window, now).count()).unwrap()
    }

    /// Returns the milliseconds until the oldest counted admission leaves the window.
    fn reset(&self, window: usize, now: u64) -> u64 {
        let slot = WINDOWS[window].0 / 100;
        self.counting(window, now)
            .next()
            .map_or(0, |at| (at / slot + 101) * slot - now)
    }
}

/// All counters, as the contract defines them.
struct Oracle {
    server_client: Vec<Counter>,
    server: Counter,
    key_client: Vec<Vec<Counter>>,
    key: Vec<Counter>,
}

/// The limit that refuses a request, and for how many milliseconds.
#[derive(Debug)]
struct Refusal {
    is_of_server: bool,
    is_per_client: bool,
    window: usize,
    limit: u32,
    wait: u64,
}

impl Oracle {
    fn new(tempo: usize) -> Self {
        let [per_client, global] = SERVER_QUOTAS[tempo];
        let keys = KEY_QUOTAS.iter();
        Self {
            server_client: vec![Counter::new(per_client); CLIENTS],
            server: Counter::new(global),
            key_client: keys
                .clone()
                .map(|[per_client, _]| vec![Counter::new(*per_client); CLIENTS])
                .collect(),
            key: keys.map(|[_, global]| Counter::new(*global)).collect(),
        }
    }

    /// Charges a request, or returns the limit that refuses it longest. On a tie, the counter that
    /// is charged first wins, then the shortest window.
    fn charge(&mut self, key: usize, client: usize, now: u64) -> Option<Refusal> {
        let counters = [
            (true, true, &mut self.server_client[client]),
            (false, true, &mut self.key_client[key][client]),
            (false, false, &mut self.key[key]),
            (true, false, &mut self.server),
        ];
        let mut worst: Option<Refusal> = None;
        for (is_of_server, is_per_client, counter) in &counters {
            for window in 0..3 {
                let wait = counter.reset(window, now);
                if counter.remaining(window, now) == 0
                    && worst.as_ref().is_none_or(|worst| wait > worst.wait)
                {
                    let (limit, is_of_server) = (counter.limits[window], *is_of_server);
                    worst = Some(Refusal {
                        is_of_server,
                        is_per_client: *is_per_client,
                        window,
                        limit,
                        wait,
                    });
                }
            }
        }
        if worst.is_none() {
            counters
                .into_iter()
                .for_each(|(_, _, counter)| counter.admitted.push(now));
        }
        worst
    }

    /// Returns every limit of a key for a client: name, limit, remaining, milliseconds until reset.
    fn limits(&self, key: usize, client: usize, now: u64) -> Vec<(String, u32, u64, u64)> {
        let counters = [
            ("client", &self.key_client[key][client]),
            ("global", &self.key[key]),
        ];
        let of = |(scope, counter): (&str, &Counter)| {
            (0..3)
                .map(|window| {
                    let name = format!("{scope}-{}", WINDOWS[window].1);
                    (
                        name,
                        counter.limits[window],
                        counter.remaining(window, now),
                        counter.reset(window, now),
                    )
                })
                .collect::<Vec<_>>()
        };
        counters.into_iter().flat_map(of).collect()
    }
}

/// Parses a list of strings with integer parameters (RFC 9651 sections 3.1 and 3.3).
fn list(text: &str) -> Vec<(String, BTreeMap<String, u64>)> {
    let (mut rest, mut members) = (text, Vec::new());
    loop {
        let (name, after) = rest.strip_prefix('"').unwrap().split_once('"').unwrap();
        assert!(
            name.bytes()
                .all(|byte| (0x20..0x7f).contains(&byte) && byte != b'\\'),
            "{text}"
        );
        rest = after;
        let mut parameters = BTreeMap::new();
        while let Some(after) = rest.strip_prefix(';') {
            let (key, value) = after.trim_start_matches(' ').split_once('=').unwrap();
            assert!(key.bytes().all(|byte| byte.is_ascii_lowercase()), "{text}");
            let end = value
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(value.len());
            let digits = &value[..end];
            assert!((1..=15).contains(&digits.len()), "{text}: not an integer");
            parameters.insert(key.to_owned(), digits.parse().unwrap());
            rest = &value[end..];
        }
        members.push((name.to_owned(), parameters));
        match rest.trim_start_matches([' ', '\t']).strip_prefix(',') {
            Some(after) => rest = after.trim_start_matches([' ', '\t']),
            None => break,
        }
    }
    assert_eq!(rest, "", "{text}");
    members
}

fn quotas([per_client, global]: [[u32; 3]; 2]) -> Value {
    let limits = |[minute, hour, day]: [u32; 3]| {
        json!({
            "requestsPerMinute": minute,
            "requestsPerHour": hour,
            "requestsPerDay": day,
        })
    };
    json!({"perClientRequestLimits": limits(per_client), "globalRequestLimits": limits(global)})
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

async fn send(
    gateway: &Gateway,
    request: http::request::Builder,
    client: usize,
    body: Value,
) -> Answer {
    let request = request
        .header("host", "a.example")
        .header("content-type", "application/json");
    let request = request
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap();
    let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, u8::try_from(client).unwrap()));
    let (parts, body) = gateway.handle(request, peer).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap(),
    }
}

/// Creates a gateway with the server's quotas, and the keys. Another gateway mints them, so that
/// minting is not counted.
async fn gateway_and_keys(clock: &ManualClock, tempo: usize) -> (Gateway, Vec<String>) {
    let start = |server_quotas: Option<Value>| {
        let mut config = Config::new(KeyRing::new(ServerKey::from_bytes([7; 32])));
        if let Some(quotas) = server_quotas {
            config.server_quotas = quotas_from_json(&quotas.to_string()).unwrap();
        }
        let client = Client::new(Policy::strict(), Timeouts::default());
        Gateway::new(
            config,
            standard(client, Options::default()).build(),
            clock.clone(),
        )
    };
    let mut keys = Vec::new();
    let mint = start(None);
    for key in KEY_QUOTAS {
        let request = json!({
            "requestAuthAndQuotas": {"requestQuotas": quotas(key)},
            "expirationTimeSpan": "400d",
        });
        let answer = send(&mint, Request::post("/api/v1/oauth/token"), 1, request).await;
        keys.push(answer.body["access_token"].as_str().unwrap().to_owned());
    }
    (start(Some(quotas(SERVER_QUOTAS[tempo]))), keys)
}

/// Whole seconds, rounded up.
fn seconds(millis: u64) -> u64 {
    millis.div_ceil(1_000)
}

/// Checks every quota header of a response.
fn check(
    row: &str,
    answer: &Answer,
    refused: Option<&Refusal>,
    limits: &[(String, u32, u64, u64)],
) {
    let is_refusing = |name: &str, refusal: &Refusal| {
        let scope = if refusal.is_per_client {
            "client"
        } else {
            "global"
        };
        !refusal.is_of_server && name == format!("{scope}-{}", WINDOWS[refusal.window].1)
    };
    let mut expected = Vec::new();
    let mut policies = Vec::new();
    for (name, limit, remaining, reset) in limits {
        let wait = refused
            .filter(|refusal| is_refusing(name, refusal))
            .map_or(*reset, |refusal| refusal.wait);
        let window = WINDOWS
            .iter()
            .find(|(_, window)| name.ends_with(window))
            .unwrap()
            .0
            / 1_000;
        policies.push((
            name.clone(),
            BTreeMap::from([
                ("q".to_owned(), u64::from(*limit)),
                ("w".to_owned(), window),
            ]),
        ));
        expected.push((
            name.clone(),
            BTreeMap::from([
                ("r".to_owned(), *remaining),
                ("t".to_owned(), seconds(wait)),
            ]),
        ));
    }
    assert_eq!(
        list(answer.header("ratelimit-policy").unwrap()),
        policies,
        "{row}"
    );
    assert_eq!(list(answer.header("ratelimit").unwrap()), expected, "{row}");
    let tightest = limits
        .iter()
        .min_by_key(|(_, _, remaining, reset)| (*remaining, Reverse(*reset)))
        .unwrap();
    let reported = refused.map_or((tightest.1, tightest.2, tightest.3), |refusal| {
        (refusal.limit, 0, refusal.wait)
    });
    let (limit, remaining, reset) = reported;
    assert_eq!(
        answer.header("x-ratelimit-limit-requests"),
        Some(&*limit.to_string()),
        "{row}"
    );
    assert_eq!(
        answer.header("x-ratelimit-remaining-requests"),
        Some(&*remaining.to_string()),
        "{row}"
    );
    assert_eq!(
        answer.header("x-ratelimit-reset-requests"),
        Some(&*format!("{}s", seconds(reset))),
        "{row}"
    );
    let Some(refusal) = refused else {
        assert_eq!(answer.status, 200, "{row}: {}", answer.body);
        assert_eq!(
            (
                answer.header("retry-after"),
                answer.header("x-should-retry")
            ),
            (None, None),
            "{row}"
        );
        return;
    };
    assert_eq!(answer.status, 429, "{row}");
    let wait = seconds(refusal.wait).max(1);
    assert_eq!(
        answer.header("retry-after"),
        Some(&*wait.to_string()),
        "{row}"
    );
    assert_eq!(
        answer.header("x-should-retry"),
        (refusal.wait > 30_000).then_some("false"),
        "{row}"
    );
    let quota = if refusal.is_of_server {
        "API request"
    } else {
        "Request"
    };
    let (who, counted) = if refusal.is_per_client {
        ("client", " and client")
    } else {
        ("global", "")
    };
    let window = WINDOWS[refusal.window].1;
    let message = format!(
        "{quota} quota exceeded: {who} requests per {window} limit exceeded \
         ({limit} per {window}{counted}; try again in {wait} s)"
    );
    let actual = answer.body["error"]["message"].as_str().unwrap();
    let (actual, _request_id) = actual.rsplit_once(" (request ").unwrap();
    assert_eq!(actual, message, "{row}");
}

/// Deterministic numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[tokio::test]
async fn every_response_reports_its_exact_quotas() {
    let mut refusals = BTreeMap::new();
    for (seed, tempo) in (0..12).map(|seed| (seed, usize::try_from(seed).unwrap() % TEMPI.len())) {
        let clock = ManualClock::new();
        let (gateway, keys) = gateway_and_keys(&clock, tempo).await;
        let (mut oracle, mut numbers) = (Oracle::new(tempo), Numbers(seed));
        for step in 0..250 {
            let pause = TEMPI[tempo][numbers.below(5)];
            let now = {
                let mut millis = clock.millis.lock().unwrap();
                *millis += u64::try_from(numbers.below(pause + 1)).unwrap();
                *millis
            };
            let (key, client) = (numbers.below(keys.len()), numbers.below(CLIENTS));
            let row = format!("seed {seed}, step {step}, at {now}");
            let bearer = format!("Bearer {}", keys[key]);
            let inputs = json!([{"text": {"role": "user", "content": "Hi"}}]);
            let call =
                json!({"service": {"serviceId": "chat:dummy"}, "request": {"inputs": inputs}});
            let request = Request::post("/api/v1/process").header("authorization", &bearer);

            let answer = send(&gateway, request, client, call).await;

            let refused = oracle.charge(key, client, now);
            check(
                &row,
                &answer,
                refused.as_ref(),
                &oracle.limits(key, client, now),
            );
            if let Some(refused) = refused {
                *refusals
                    .entry((refused.is_of_server, refused.is_per_client, refused.window))
                    .or_insert(0) += 1;
            }
            if numbers.below(4) == 0 {
                check_quota_endpoint(
                    &row,
                    &gateway,
                    &oracle,
                    (key, &bearer),
                    numbers.below(CLIENTS),
                    now,
                )
                .await;
            }
        }
    }
    assert_eq!(
        refusals.len(),
        12,
        "each limit refused at least once: {refusals:?}"
    );
}

/// Queries the quotas, which charges none of them.
async fn check_quota_endpoint(
    row: &str,
    gateway: &Gateway,
    oracle: &Oracle,
    (key, bearer): (usize, &str),
    client: usize,
    now: u64,
) {
    let request = Request::get("/api/v1/quota").header("authorization", bearer);
    let answer = send(gateway, request, client, Value::Null).await;
    assert_eq!(answer.status, 200, "{row}: {}", answer.body);
    let mut limits = Vec::new();
    for (name, limit, remaining, reset) in oracle.limits(key, client, now) {
        let (scope, window) = name.split_once('-').unwrap();
        limits.push(json!({
            "unit": "requests",
            "scope": scope,
            "window": window,
            "limit": limit,
            "remaining": remaining,
            "resetSeconds": seconds(reset),
        }));
    }
    assert_eq!(answer.body["limits"], Value::Array(limits), "{row}");
    assert_eq!(answer.body["areDefaultQuotas"], false, "{row}");
    assert_eq!(
        answer.header("ratelimit"),
        None,
        "{row}: a query is not charged to these quotas"
    );
}
