//! Why a call to a service failed.

use std::time::Duration;

use aisbreaker_api::ErrorObject;

use crate::budget::BudgetSpent;

/// Why a call to a service failed, by who must act.
///
/// Texts are for the caller: they say what to do, and hold no secret and no address that the caller
/// did not name.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the gateway gives every variant its status, so a new one must not compile"
)]
pub enum ServiceError {
    /// The caller sent something that the service cannot use (400).
    #[error("{0}")]
    BadRequest(String),
    /// The service needs a secret, and the caller has none for it (401).
    #[error("{service_id}: missing auth.secret")]
    MissingSecret {
        /// The service that was called.
        service_id: String,
    },
    /// The caller's key does not allow this service or this address (403).
    #[error("{0}")]
    Forbidden(String),
    /// No service is registered under this id (404).
    #[error("No factory registered for serviceId '{service_id}'")]
    UnknownService {
        /// The id that was asked for.
        service_id: String,
    },
    /// The provider answered with an error of its own, which is passed on.
    #[error("{}", .error.message)]
    Provider {
        /// Status and message of the provider; the secret that was sent to it is masked.
        error: Box<ErrorObject>,
        /// How long the provider asks to wait (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The provider's answer could not be understood, or was cut short (502).
    #[error("{0}")]
    BadAnswer(String),
    /// The provider could not be reached: refused, TLS, name resolution (503).
    #[error("{0}")]
    Unreachable(String),
    /// This server has too much to do to take the call on, or to go on with it (503).
    #[error("{0}")]
    Overloaded(String),
    /// The provider was too slow (504).
    #[error("{0}")]
    Timeout(String),
    /// This server has a fault of its own (500); the text is for the log.
    #[error("internal error")]
    Internal(String),
}

impl ServiceError {
    /// Whether nobody was called, since the request or the key does not let it be.
    #[must_use]
    pub fn is_before_the_call(&self) -> bool {
        match self {
            Self::BadRequest(_)
            | Self::MissingSecret { .. }
            | Self::Forbidden(_)
            | Self::UnknownService { .. } => true,
            Self::Provider { .. }
            | Self::BadAnswer(_)
            | Self::Unreachable(_)
            | Self::Overloaded(_)
            | Self::Timeout(_)
            | Self::Internal(_) => false,
        }
    }
}

impl From<BudgetSpent> for ServiceError {
    fn from(spent: BudgetSpent) -> Self {
        Self::Overloaded(format!("this server is overloaded: {spent}; try again"))
    }
}
