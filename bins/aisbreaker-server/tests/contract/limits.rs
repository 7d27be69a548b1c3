//! Quotas and other limits, and clients that try to exhaust them.

mod body_size;
mod budgets;
mod client_identity;
mod concurrency;
mod floods;
mod memory_budget;
mod mint_quotas;
mod quota_endpoint;
mod quotas;
mod ratelimit_headers;
mod resource_exhaustion;
mod server_quotas;
mod shared_store;
mod slow_readers;
mod state_file;
mod timeouts;

use serde_json::json;

use crate::support::{Request, Response};

const MIB: usize = 1 << 20;

/// Returns the request that makes a key from this one, with these quotas if any.
fn exchange(key: &str, quotas: Option<&serde_json::Value>) -> Request {
    let mut body = json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": key,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    });
    if let Some(quotas) = quotas {
        body["requestQuotas"] = quotas.clone();
    }
    Request::post("/api/v1/oauth/token", body.to_string())
}

/// Repeats a request until it succeeds: resources of other requests are released a moment after
/// their end.
fn retry_until_ok(request: impl FnMut() -> Response) {
    std::iter::repeat_with(request)
        .take(10_000)
        .find(|response| response.status == 200)
        .expect("a successful response");
}
