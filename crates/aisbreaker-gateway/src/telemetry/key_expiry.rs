//! Keys that expire within days, of which callers and the operator are warned.

use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue};

pub(crate) const X_AISBREAKER_KEY_EXPIRES: HeaderName =
    HeaderName::from_static("x-aisbreaker-key-expires");

/// How long before its end a key is reported.
const NOTICE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// When a key ends that has few days left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct KeyExpiry {
    expires_at: SystemTime,
    /// The time that was left when the request came.
    left: Duration,
}

impl KeyExpiry {
    /// Returns the end of a key, unless it has more than seven days left.
    pub(crate) fn within_days(expires_at: SystemTime, now: SystemTime) -> Option<Self> {
        let left = expires_at.duration_since(now).unwrap_or_default();
        (left < NOTICE).then_some(Self { expires_at, left })
    }

    pub(crate) fn left(self) -> Duration {
        self.left
    }

    /// Returns the value of the header field: the end, as RFC 3339 in UTC.
    pub(crate) fn header_value(self) -> Option<HeaderValue> {
        let text = humantime::format_rfc3339_seconds(self.expires_at).to_string();
        HeaderValue::try_from(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_with_less_than_seven_days_are_reported() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_112_000);
        let second = Duration::from_secs(1);
        let expiry = |left| KeyExpiry::within_days(now + left, now);

        assert_eq!(expiry(NOTICE), None);
        assert_eq!(expiry(NOTICE + second), None);
        let soon = expiry(NOTICE - second).unwrap();
        assert_eq!(soon.left(), NOTICE - second);
        assert_eq!(soon.header_value().unwrap(), "2026-12-08T07:59:59Z");
    }
}
