//! The error value of a request: a status, a message and header fields.
//!
//! It knows neither the dialect nor the body in which it is reported: `dialect` renders it. Which
//! error becomes which status is decided in `status`.

use std::time::Duration;

use aisbreaker_api::{ErrorBody, ErrorObject};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::RETRY_AFTER};

use crate::clock::ceil_seconds;

pub(crate) const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The longest `Retry-After` that a client should sleep through. SDKs sleep for any value.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Why a request failed, as the client gets to know it.
#[derive(Debug)]
pub struct Failure {
    pub(crate) status: StatusCode,
    /// The provider's reason phrase, for a status without a standard one.
    pub(crate) status_text: Option<String>,
    pub(crate) message: String,
    /// The `type` of the error object.
    pub(crate) kind: Option<String>,
    /// The request member at fault, for dialects that report it.
    pub(crate) param: Option<&'static str>,
    pub(crate) headers: HeaderMap,
    /// The cause, for the log only.
    pub(crate) cause: Option<String>,
}

impl Failure {
    /// Creates a failure with this status and message.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            status_text: None,
            message: message.into(),
            kind: None,
            param: None,
            headers: HeaderMap::new(),
            cause: None,
        }
    }

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

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets `Retry-After` in whole seconds, rounded up, at least one (RFC 9110 section 10.2.3).
    pub(crate) fn with_retry_after(self, wait: Duration) -> Self {
        let seconds = ceil_seconds(wait).max(1);
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub(crate) fn with_kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    pub(crate) fn with_param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    pub(crate) fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Returns whether the client is asked not to retry.
    pub(crate) fn is_final(&self) -> bool {
        let should_retry = self.headers.get(X_SHOULD_RETRY);
        should_retry.is_some_and(|value| value == "false")
    }

    /// Returns the error object of the server's own API.
    pub(crate) fn error_body(&self) -> ErrorBody {
        let reason = match (self.status.canonical_reason(), &self.status_text) {
            (Some(standard), _) => standard,
            (None, Some(own)) => own,
            (None, None) => "Unknown Status",
        };
        let mut error = ErrorObject::new(self.status.as_u16(), reason, self.message.clone());
        error.kind.clone_from(&self.kind);
        ErrorBody { error }
    }
}
