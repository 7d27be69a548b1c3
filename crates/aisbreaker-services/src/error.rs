//! Why a call to a service failed.

use std::time::Duration;

use aisbreaker_api::ErrorObject;

use aisbreaker_egress::{BudgetSpent, Failure, Refusal, SendError, Stage};

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

impl From<SendError> for ServiceError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Forbidden(refusal) => Self::Forbidden(refusal_text(refusal).to_owned()),
            SendError::Unreachable(failure) => Self::Unreachable(failure_text(&failure)),
            SendError::Busy => Self::Overloaded(
                "too many calls to this service are under way; try again".to_owned(),
            ),
            SendError::Timeout(stage) => Self::Timeout(timeout_text(stage).to_owned()),
            SendError::Cut => Self::BadAnswer(
                "the service's answer was cut short or is not valid HTTP".to_owned(),
            ),
        }
    }
}

fn refusal_text(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Scheme => {
            "this server calls services over https only, unless its operator allows the address \
             (egress.allow)"
        }
        Refusal::Address => {
            "this server calls public addresses only, unless its operator allows the address \
             (egress.allow)"
        }
        Refusal::InvalidUrl => "the host of the address has characters that cannot be used",
    }
}

/// Returns the texts that clients of the original server look for.
fn failure_text(failure: &Failure) -> String {
    match failure {
        Failure::Resolution { host } => format!("Error: getaddrinfo ENOTFOUND {host}"),
        Failure::Refused => {
            "Error: connect ECONNREFUSED, the service refuses connections".to_owned()
        }
        Failure::Tls => "Error: the TLS connection to the service failed (no TLS there, or its \
                         certificate is not valid)"
            .to_owned(),
        Failure::Network => "Error: the service could not be reached".to_owned(),
    }
}

fn timeout_text(stage: Stage) -> &'static str {
    match stage {
        Stage::Connect => "the connection to the service took too long",
        Stage::Response => "the service took too long to answer",
        Stage::Idle => "the service stopped in the middle of its answer for too long",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_host_has_the_text_that_clients_look_for() {
        let unknown = SendError::Unreachable(Failure::Resolution {
            host: "no-such-host.example".to_owned(),
        });

        let text = "Error: getaddrinfo ENOTFOUND no-such-host.example".to_owned();
        assert_eq!(ServiceError::from(unknown), ServiceError::Unreachable(text));
    }
}
