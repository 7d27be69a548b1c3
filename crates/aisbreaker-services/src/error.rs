//! Why a call to a service failed.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use aisbreaker_api::ErrorObject;

/// Why a call to a service failed; the variant says who must act.
///
/// The text (`Display`) is for the caller: it says what to do, and holds no secret and no address
/// that the caller did not name. The cause ([`Error::source`]) is for programs and for the
/// operator's log, and may hold such an address.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the gateway gives every variant its status, so a new one must not compile"
)]
pub enum ServiceError {
    /// The caller sent something that the service cannot use (400).
    #[error(transparent)]
    BadRequest(ErrorDetail),
    /// The service needs a secret, and the caller has none for it (401).
    #[error("{service_id}: missing auth.secret")]
    MissingSecret {
        /// The service that was called.
        service_id: String,
    },
    /// The caller's key does not allow this service or this address, or the server's egress policy
    /// does not allow the address (403).
    #[error(transparent)]
    Forbidden(ErrorDetail),
    /// A restriction of the caller's key does not allow this (403).
    #[error("the key's restriction `services` does not allow {what}")]
    Restricted {
        /// What was refused: the id of a service, or a member that could choose another one.
        what: String,
    },
    /// No service is registered under this id (404).
    #[error("{}", unknown_service(.service_id, .nearest.as_deref()))]
    UnknownService {
        /// The requested id.
        service_id: String,
        /// The id that may have been meant.
        nearest: Option<String>,
    },
    /// The provider answered with an error of its own, which is passed on.
    #[error("{}", .error.message)]
    Provider {
        /// The provider's status and message, with the secret masked.
        error: Box<ErrorObject>,
        /// How long the provider asks the caller to wait (`Retry-After`).
        retry_after: Option<Duration>,
        /// Whether the error is in an answer whose status was a success, so that the provider may
        /// charge for it.
        is_in_answer: bool,
    },
    /// The connection to the provider broke, or brought something other than HTTP, before the head of
    /// the provider's answer was complete (502).
    #[error(transparent)]
    NoAnswer(ErrorDetail),
    /// The provider's answer could not be understood, or was cut short (502).
    #[error(transparent)]
    BadAnswer(ErrorDetail),
    /// The provider could not be reached: refused, TLS, name resolution (503).
    #[error(transparent)]
    Unreachable(ErrorDetail),
    /// This server has too much to do to begin the call, or to continue it (503).
    #[error(transparent)]
    Overloaded(ErrorDetail),
    /// The provider was too slow (504).
    #[error(transparent)]
    Timeout(ErrorDetail),
    /// This server has a fault of its own (500). The detail is for the log.
    #[error("internal error")]
    Internal(#[source] ErrorDetail),
}

impl ServiceError {
    /// Returns whether nothing was called, because the request or the key does not allow it.
    #[must_use]
    pub fn is_before_call(&self) -> bool {
        match self {
            Self::BadRequest(_)
            | Self::MissingSecret { .. }
            | Self::Forbidden(_)
            | Self::Restricted { .. }
            | Self::UnknownService { .. } => true,
            Self::Provider { .. }
            | Self::NoAnswer(_)
            | Self::BadAnswer(_)
            | Self::Unreachable(_)
            | Self::Overloaded(_)
            | Self::Timeout(_)
            | Self::Internal(_) => false,
        }
    }

    /// Returns the status of a failure that is worth retrying on another service.
    #[must_use]
    pub fn retryable_status(&self) -> Option<u16> {
        match self {
            Self::Provider { error, .. } if is_retryable_status(error.status_code) => {
                Some(error.status_code)
            }
            Self::NoAnswer(_) => Some(502),
            Self::Unreachable(_) => Some(503),
            Self::Timeout(_) => Some(504),
            Self::Provider { .. }
            | Self::BadRequest(_)
            | Self::MissingSecret { .. }
            | Self::Forbidden(_)
            | Self::Restricted { .. }
            | Self::UnknownService { .. }
            | Self::BadAnswer(_)
            | Self::Overloaded(_)
            | Self::Internal(_) => None,
        }
    }
}

/// Returns the text for an unknown service. Clients of the original server look for the words in
/// brackets.
fn unknown_service(service_id: &str, nearest: Option<&str>) -> String {
    let hint = match nearest {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None => "name one as task:vendor or task:vendor/model, such as 'chat:openai.com/gpt-4o'"
            .to_owned(),
    };
    format!(
        "there is no service '{service_id}'; {hint} (No factory registered for serviceId \
         '{service_id}')"
    )
}

/// Returns whether this status of a provider is worth retrying on another provider.
#[must_use]
pub fn is_retryable_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// The text of an error, and the error that caused it.
///
/// Two details are equal if their texts are.
#[derive(Clone, Debug)]
pub struct ErrorDetail {
    text: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl ErrorDetail {
    /// Creates a detail without a cause.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            source: None,
        }
    }

    /// Creates a detail with the text of its cause.
    #[must_use]
    pub fn from_source(source: impl Error + Send + Sync + 'static) -> Self {
        Self::new(source.to_string()).with_source(source)
    }

    /// Sets the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Returns the text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Replaces the text; the cause stays.
    pub(crate) fn map_text(mut self, map: impl FnOnce(&str) -> String) -> Self {
        self.text = map(&self.text);
        self
    }
}

impl<T: Into<String>> From<T> for ErrorDetail {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

impl PartialEq for ErrorDetail {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ErrorDetail {}

impl fmt::Display for ErrorDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for ErrorDetail {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}
