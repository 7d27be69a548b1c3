//! The error value of a request: a status, a message and header fields.
//!
//! It knows neither the dialect nor the body in which it is reported: `dialect` renders it. Which
//! error becomes which status is decided in `status`, and what it says about a retry in `retry_after`.

mod error_type;
mod retry_after;

use std::borrow::Cow;

use aisbreaker_api::{ErrorBody, ErrorObject};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

pub(crate) use self::error_type::ErrorType;

/// Why a request failed, as the client gets to know it.
#[derive(Debug)]
pub struct Failure {
    pub(crate) status: StatusCode,
    /// What went wrong, for the log and the metrics.
    pub(crate) error_type: ErrorType,
    /// The provider's reason phrase, for a status without a standard one.
    pub(crate) status_text: Option<String>,
    pub(crate) message: String,
    /// The `type` of the error object.
    pub(crate) kind: Option<String>,
    /// The request member at fault, for dialects that report it.
    pub(crate) param: Option<Cow<'static, str>>,
    /// The error code of RFC 6749 section 5.2, for responses in its format.
    pub(crate) oauth_error: Option<&'static str>,
    pub(crate) headers: HeaderMap,
    /// The cause, for the log only.
    pub(crate) cause: Option<String>,
}

impl Failure {
    /// Creates a failure with this status and message.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            error_type: ErrorType::of_status(status),
            status_text: None,
            message: message.into(),
            kind: None,
            param: None,
            oauth_error: None,
            headers: HeaderMap::new(),
            cause: None,
        }
    }

    pub(crate) fn with_type(mut self, error_type: ErrorType) -> Self {
        self.error_type = error_type;
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) fn with_kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    pub(crate) fn with_param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Reports the failure in the format of RFC 6749 section 5.2, with the code of its status.
    pub(crate) fn into_oauth_error(mut self) -> Self {
        if self.oauth_error.is_none() {
            self.oauth_error = Some(match self.status {
                StatusCode::UNAUTHORIZED => "invalid_client",
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    "temporarily_unavailable"
                }
                status if status.is_server_error() => "server_error",
                _ => "invalid_request",
            });
        }
        self
    }

    pub(crate) fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Ends the message with the id of the request, since people pass messages on, but no header
    /// fields. The message of a provider or another server stays as it is.
    pub(crate) fn name_request(&mut self, id: &HeaderValue) {
        if self.error_type != ErrorType::ProviderError
            && let Ok(id) = id.to_str()
        {
            self.message.push_str(&format!(" (request {id})"));
        }
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
