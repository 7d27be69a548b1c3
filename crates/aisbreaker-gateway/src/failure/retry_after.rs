//! Whether and when a client should retry: `Retry-After` (RFC 9110 section 10.2.3) and
//! `x-should-retry`, which SDKs read.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header::RETRY_AFTER};

use super::Failure;
use crate::clock::ceil_seconds;

const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The longest `Retry-After` that a client should sleep through. SDKs sleep for any value.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

impl Failure {
    /// Creates a 503 that is worth retrying a moment later.
    pub(crate) fn overloaded(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
            .with_header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// Creates a 429 with the time until the same request fits again; `None` means never.
    pub(crate) fn quota_exceeded(message: impl Into<String>, wait: Option<Duration>) -> Self {
        let mut failure = Self::new(StatusCode::TOO_MANY_REQUESTS, message);
        if let Some(wait) = wait {
            failure = failure.with_retry_after(wait);
        }
        if wait.is_none_or(|wait| wait > LONGEST_SLEEP) {
            failure = failure.with_header(X_SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        failure
    }

    /// Sets `Retry-After` in whole seconds, rounded up, at least one (RFC 9110 section 10.2.3).
    pub(crate) fn with_retry_after(self, wait: Duration) -> Self {
        let seconds = ceil_seconds(wait).max(1);
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }
}
