//! Quotas and other limits, and clients that try to exhaust them.

mod body_size;
mod client_identity;
mod concurrency;
mod floods;
mod memory_budget;
mod quota_endpoint;
mod quotas;
mod ratelimit_headers;
mod resource_exhaustion;
mod server_quotas;
mod shared_store;
mod slow_readers;
mod state_file;
mod timeouts;

use crate::support::Response;

const MIB: usize = 1 << 20;

/// Repeats a request until it succeeds: resources of other requests are released a moment after
/// their end.
fn retry_until_ok(request: impl FnMut() -> Response) {
    std::iter::repeat_with(request)
        .take(10_000)
        .find(|response| response.status == 200)
        .expect("a successful response");
}
