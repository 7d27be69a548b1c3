//! Payloads of a known size.

use aisbreaker_token::{Grant, Host, KeyRing, ServerKey, ServiceSecret};
use serde::{Deserialize, Serialize};

/// Returns the host that all keys are bound to.
#[must_use]
pub fn host() -> Host {
    Host::parse("api.example.com").expect("it is a host name")
}

/// Creates a ring with one key, always the same.
#[must_use]
pub fn ring() -> KeyRing {
    KeyRing::new(ServerKey::from_bytes([7; 32]))
}

/// Returns the grant of the documentation, padded by a last secret so that the claims of its key
/// have `claims_bytes` bytes in all.
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
    let unpadded = serde_json::to_vec(&grant).expect("it serialises").len() + registered.len() - 1;
    let entry = r#",{"serviceId":"","authSecret":""}"#.len();
    let padding = "x".repeat(
        claims_bytes
            .checked_sub(unpadded + entry)
            .expect("the grant is smaller than that"),
    );
    grant
        .service_secrets
        .push(ServiceSecret::new("", padding.into()));
    grant
}

/// The claims of a key as a plain payload, for the codecs of other libraries.
#[derive(Debug, Deserialize, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "only for benchmarks")]
pub struct Claims {
    /// Audience.
    pub aud: String,
    /// Issued at, in seconds since 1970.
    pub iat: u64,
    /// Expiry, in seconds since 1970.
    pub exp: u64,
    /// Key id.
    pub jti: String,
    /// Quotas and secrets.
    #[serde(flatten)]
    pub grant: Grant,
}
