//! Status of a response, and how long it asks the caller to wait.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use crate::error::ServiceError;

/// The longest wait that is passed on.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Returns whether the status is a 4xx or 5xx one.
pub(crate) fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// Returns the status with this code, if it is a 4xx or 5xx one.
pub(crate) fn error_status(code: u64) -> Option<StatusCode> {
    let code = u16::try_from(code).ok()?;
    let status = StatusCode::from_u16(code).ok()?;
    is_error(status).then_some(status)
}

/// Returns the reason phrase of a status.
pub(crate) fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

/// Returns the error of a response that is neither a success nor an error, mostly a redirect.
pub(crate) fn unusable_status(status: StatusCode) -> ServiceError {
    let code = status.as_u16();
    let hint = if status.is_redirection() {
        "; redirects are not followed"
    } else {
        ""
    };
    let text = format!("the service answered with status {code} instead of an answer{hint}");
    ServiceError::BadAnswer(text.into())
}

/// Returns the wait that `Retry-After` asks for (RFC 9110 section 10.2.3).
///
/// A date is compared with the `Date` of the same response, since the provider's clock is the one
/// that decides.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if is_number {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = headers.get(header::DATE)?.to_str().ok()?;
        let now = httpdate::parse_http_date(date).ok()?;
        let retry_at = httpdate::parse_http_date(text).ok()?;
        retry_at.duration_since(now).ok()?
    };
    Some(wait.min(MAX_RETRY_AFTER))
}
