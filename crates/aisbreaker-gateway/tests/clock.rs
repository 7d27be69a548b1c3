//! Expiry and quotas on a manual clock.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use aisbreaker_egress::{Client, Policy, Timeouts};
use aisbreaker_gateway::{Clock, Config, Gateway, quotas_from_json};
use aisbreaker_services::services::{Options, standard};
use aisbreaker_token::{KeyRing, ServerKey};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use serde_json::{Value, json};

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// A manual clock. Both clocks advance together; the wall clock can also be set alone.
#[derive(Clone, Debug)]
struct ManualClock(Arc<Mutex<(SystemTime, Instant)>>);

impl ManualClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "only the system can provide an instant"
    )]
    fn new() -> Self {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Self(Arc::new(Mutex::new((wall, Instant::now()))))
    }

    fn advance(&self, time: Duration) {
        let mut hands = self.0.lock().unwrap();
        *hands = (hands.0 + time, hands.1 + time);
    }

    fn set_wall_back(&self, time: Duration) {
        self.0.lock().unwrap().0 -= time;
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> SystemTime {
        self.0.lock().unwrap().0
    }

    fn monotonic(&self) -> Instant {
        self.0.lock().unwrap().1
    }
}

fn gateway(clock: &ManualClock) -> Gateway {
    let mut config = Config::new(KeyRing::new(ServerKey::from_bytes([7; 32])));
    let limits =
        json!({"requestsPerMinute": 1000, "requestsPerHour": 1000, "requestsPerDay": 1000});
    let quotas =
        json!({"perClientRequestLimits": limits, "globalRequestLimits": limits}).to_string();
    config.server_quotas = quotas_from_json(&quotas).unwrap();
    let client = Client::new(Policy::strict(), Timeouts::default());
    Gateway::new(
        config,
        standard(client, Options::default()).build(),
        clock.clone(),
    )
}

async fn post(
    gateway: &Gateway,
    path: &str,
    key: Option<&str>,
    body: &Value,
) -> (StatusCode, HeaderMap, Value) {
    let mut request = Request::post(path)
        .header("host", "a.example")
        .header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let request = request
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap();
    let (parts, body) = gateway.handle(request, CLIENT).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        parts.status,
        parts.headers,
        serde_json::from_slice(&body).unwrap(),
    )
}

async fn mint(gateway: &Gateway, per_minute: u32, span: &str) -> String {
    let limits =
        json!({"requestsPerMinute": per_minute, "requestsPerHour": 1000, "requestsPerDay": 1000});
    let quotas = json!({"perClientRequestLimits": limits, "globalRequestLimits": limits});
    let request =
        json!({"requestAuthAndQuotas": {"requestQuotas": quotas}, "expirationTimeSpan": span});
    let (status, _, answer) = post(gateway, "/api/v1/oauth/token", None, &request).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn process(gateway: &Gateway, key: &str) -> (StatusCode, HeaderMap, Value) {
    let inputs = json!([{"text": {"role": "user", "content": "Hi"}}]);
    let body = json!({"service": {"serviceId": "chat:dummy"}, "request": {"inputs": inputs}});
    post(gateway, "/api/v1/process", Some(key), &body).await
}

#[tokio::test]
async fn a_key_is_refused_from_its_expiry_second_on() {
    let clock = ManualClock::new();
    let gateway = gateway(&clock);
    let key = mint(&gateway, 10, "1h").await;

    clock.advance(Duration::from_secs(3_600) - Duration::from_millis(1));
    assert_eq!(process(&gateway, &key).await.0, StatusCode::OK);
    clock.advance(Duration::from_millis(1));
    assert_eq!(process(&gateway, &key).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn clock_set_back_over_a_minute_refuses_keys_from_the_future() {
    let clock = ManualClock::new();
    let gateway = gateway(&clock);
    let key = mint(&gateway, 10, "1h").await;

    clock.set_wall_back(Duration::from_secs(60));
    assert_eq!(process(&gateway, &key).await.0, StatusCode::OK);
    clock.set_wall_back(Duration::from_secs(1));
    let (status, headers, _) = process(&gateway, &key).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        headers["www-authenticate"],
        r#"Bearer error="invalid_token""#
    );
}

#[tokio::test]
async fn setting_the_clock_back_restores_no_quota() {
    let clock = ManualClock::new();
    let gateway = gateway(&clock);
    let key = mint(&gateway, 1, "1h").await;

    assert_eq!(process(&gateway, &key).await.0, StatusCode::OK);
    clock.set_wall_back(Duration::from_secs(50));
    assert_eq!(
        process(&gateway, &key).await.0,
        StatusCode::TOO_MANY_REQUESTS
    );
}

#[tokio::test]
async fn announced_wait_ends_on_time() {
    let clock = ManualClock::new();
    let gateway = gateway(&clock);
    let key = mint(&gateway, 2, "1h").await;
    clock.advance(Duration::from_millis(123));
    assert_eq!(process(&gateway, &key).await.0, StatusCode::OK);
    clock.advance(Duration::from_secs(20));
    assert_eq!(process(&gateway, &key).await.0, StatusCode::OK);

    let (status, headers, body) = process(&gateway, &key).await;

    // The first request leaves the window 60.6 s after the start of its 0.6 s slot: 40.477 s from
    // now.
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(headers["retry-after"], "41");
    assert_eq!(headers["x-should-retry"], "false");
    assert_eq!(headers["x-ratelimit-reset-requests"], "41s");
    assert!(
        headers["ratelimit"]
            .to_str()
            .unwrap()
            .starts_with("\"client-minute\";r=0;t=41, ")
    );
    let expected = "Request quota exceeded: client requests per minute limit exceeded \
                    (2 per minute and client; ";
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with(expected),
        "{body}"
    );

    clock.advance(Duration::from_millis(40_476));
    assert_eq!(
        process(&gateway, &key).await.0,
        StatusCode::TOO_MANY_REQUESTS
    );
    clock.advance(Duration::from_millis(1));
    assert_eq!(process(&gateway, &key).await.0, StatusCode::OK);
}
