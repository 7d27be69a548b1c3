//! A list of revoked keys that is full, where neither holders nor the operator may be told that a
//! key is revoked.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use aisbreaker_egress::{Client, Policy, Timeouts};
use aisbreaker_gateway::{Config, Gateway, MetricsFormat, Revocation, SystemClock};
use aisbreaker_services::services::{Options, standard};
use aisbreaker_token::{KeyRing, ServerKey};
use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use serde_json::{Value, json};

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const SECRET: &str = "Qv8sKw3nXz5t";

fn gateway() -> Gateway {
    let mut config = Config::new(KeyRing::new(ServerKey::from_bytes([7; 32])));
    config.operator_secret = Some(SECRET.into());
    let client = Client::new(Policy::strict(), Timeouts::default());
    let registry = standard(client, Options::default()).build();
    Gateway::new(config, registry, SystemClock::new())
}

/// Adds the keys with these numbers to the list.
fn fill(gateway: &Gateway, numbers: std::ops::Range<u128>) {
    let until = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    gateway.restore_revoked(numbers.map(|number| {
        let id = Base64UrlUnpadded::encode_string(&number.to_be_bytes());
        Revocation::new(id.parse().unwrap(), until)
    }));
}

async fn post(gateway: &Gateway, path: &str, media_type: &str, body: &str) -> (StatusCode, Value) {
    let basic = Base64::encode_string(format!("operator:{SECRET}").as_bytes());
    let mut request = Request::post(path)
        .header("host", "a.example")
        .header("content-type", media_type);
    // Only where ids are sent: elsewhere, the caller is a holder.
    if body.starts_with("id=") {
        request = request.header("authorization", format!("Basic {basic}"));
    }
    let body = Full::new(Bytes::from(body.to_owned()));
    let response = gateway.handle(request.body(body).unwrap(), CLIENT).await;
    let (parts, body) = response.into_parts();
    if parts.status == StatusCode::SERVICE_UNAVAILABLE {
        assert_eq!(parts.headers["retry-after"], "60");
    }
    let bytes = body.collect().await.unwrap().to_bytes();
    let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    (parts.status, json)
}

async fn revoke(gateway: &Gateway, form: &str) -> StatusCode {
    let form_type = "application/x-www-form-urlencoded";
    let (status, body) = post(gateway, "/api/v1/oauth/revoke", form_type, form).await;
    if status != StatusCode::OK {
        assert_eq!(body["error"], "temporarily_unavailable", "{body}");
        assert!(
            body["message"].as_str().unwrap().contains("is full"),
            "{body}"
        );
    }
    status
}

#[tokio::test]
async fn a_full_list_refuses_and_drops_nothing() {
    let gateway = gateway();
    let mint = json!({"requestAuthAndQuotas": {}}).to_string();
    let (_, minted) = post(&gateway, "/api/v1/oauth/token", "application/json", &mint).await;
    let by_text = format!("token={}", minted["access_token"].as_str().unwrap());
    let by_id = "id=_____________________w";

    // Nine tenths are for all.
    fill(&gateway, 0..900_000);
    assert_eq!(
        revoke(&gateway, &by_text).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(revoke(&gateway, by_id).await, StatusCode::OK);
    fill(&gateway, 900_000..999_999);
    let other = "id=____________________-w";
    assert_eq!(
        revoke(&gateway, other).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(
        revoke(&gateway, by_id).await,
        StatusCode::OK,
        "it is listed"
    );
    assert_eq!(
        revoke(&gateway, "token=x").await,
        StatusCode::OK,
        "nothing to list"
    );

    let metrics = gateway.metrics(MetricsFormat::Text);
    for line in [
        "aisbreaker_keys_revoked 1000000",
        "aisbreaker_revocations_total{outcome=\"full\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}
