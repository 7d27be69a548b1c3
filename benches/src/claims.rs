//! Payloads of a known size.

use aisbreaker_token::{Grant, Host, KeyRing, ServerKey, ServiceSecret};
use serde::{Deserialize, Serialize};

/// The host of all keys here.
#[must_use]
pub fn host() -> Host {
    Host::parse("api.example.com").expect("it is a host name")
}

/// A ring with one key, always the same.
#[must_use]
pub fn ring() -> KeyRing {
    KeyRing::new(ServerKey::from_bytes([7; 32]))
}

/// The documentation's grant, with a last secret as long as makes all claims of its key
/// `claims_bytes` long.
#[must_use]
pub fn grant(claims_bytes: usize) -> Grant {
    let json = r#"{
        "requestQuotas": {
            "perClientRequestLimits": {"requestsPerMinute": 60, "requestsPerHour": 600, "requestsPerDay": 600},
            "globalRequestLimits": {"requestsPerMinute": 120, "requestsPerHour": 1200, "requestsPerDay": 1200}
        },
        "serviceSecrets": [
            {"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"},
            {"serviceId": "chat:openai.com", "authSecret": "sk_vector_openai_key"},
            {"serviceId": "chat:dummy", "authSecret": ""}
        ]
    }"#;
    let mut grant: Grant = serde_json::from_str(json).expect("it is a grant");
    let registered = r#"{"aud":"api.example.com","iat":1795396968,"exp":1826932968,"jti":"0123456789012345678901","#;
    let so_far = serde_json::to_vec(&grant).expect("it serialises").len() + registered.len() - 1;
    let entry = r#",{"serviceId":"","authSecret":""}"#.len();
    let padding = "x".repeat(
        claims_bytes
            .checked_sub(so_far + entry)
            .expect("the grant is smaller than that"),
    );
    grant
        .service_secrets
        .push(ServiceSecret::new("", padding.into()));
    grant
}

/// A payload of any kind, for codecs that are compared with.
#[derive(Debug, Deserialize, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "only for benchmarks")]
pub struct Claims {
    /// Who may use it.
    pub aud: String,
    /// From when.
    pub iat: u64,
    /// Until when.
    pub exp: u64,
    /// Its name.
    pub jti: String,
    /// What it grants.
    #[serde(flatten)]
    pub grant: Grant,
}
