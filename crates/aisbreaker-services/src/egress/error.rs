//! Why a request failed, and what the caller is told.

use crate::error::ServiceError;

/// Why [`Client::send`](super::Client::send) failed, or why a [`Body`](super::Body) ended early.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "callers answer every variant, so a new one must not compile"
)]
pub enum SendError {
    /// The policy does not allow the address; nothing was sent.
    #[error("{0}")]
    Forbidden(Refusal),
    /// No connection could be made; nothing was sent.
    #[error("{0}")]
    Unreachable(Failure),
    /// As many calls to this origin are under way as may be; nothing was sent.
    #[error("too many calls to this service are under way; try again")]
    Busy,
    /// The provider was too slow.
    #[error("{0}")]
    Timeout(Stage),
    /// The connection broke, the answer ended early, or it is not HTTP.
    #[error("the service's answer was cut short or is not valid HTTP")]
    Cut,
}

/// What the policy objects to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The address is `http`.
    #[error(
        "this server calls services over https only, unless its operator allows the address (egress.allow)"
    )]
    Scheme,
    /// The address is not a public one: loopback, private, link-local, reserved.
    #[error(
        "this server calls public addresses only, unless its operator allows the address (egress.allow)"
    )]
    Address,
    /// The host has characters that no request can carry.
    #[error("the host of the address has characters that cannot be used")]
    Unreadable,
}

/// What hindered the connection.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The name has no address. The text is the one that clients of the original server look for.
    #[error("Error: getaddrinfo ENOTFOUND {host}")]
    Resolution {
        /// The name that was looked up.
        host: String,
    },
    /// Nothing listens at the address.
    #[error("Error: connect ECONNREFUSED, the service refuses connections")]
    Refused,
    /// No TLS connection came about: no TLS there, or a certificate that does not verify.
    #[error(
        "Error: the TLS connection to the service failed (no TLS there, or its certificate is not valid)"
    )]
    Tls,
    /// Anything else: no route, reset while connecting.
    #[error("Error: the service could not be reached")]
    Network,
}

/// What took too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the three waits of a client, one for each of its timeouts"
)]
pub enum Stage {
    /// Name resolution, TCP and TLS.
    #[error("the connection to the service took too long")]
    Connect,
    /// The head of the response.
    #[error("the service took too long to answer")]
    Response,
    /// The next piece of the body.
    #[error("the service stopped in the middle of its answer for too long")]
    Idle,
}

/// The system's TLS library cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the TLS library cannot be used")]
pub struct TlsUnavailable(#[source] pub(super) Option<native_tls::Error>);

impl From<SendError> for ServiceError {
    fn from(error: SendError) -> Self {
        let text = error.to_string();
        match error {
            SendError::Forbidden(_) => Self::Forbidden(text),
            SendError::Unreachable(_) => Self::Unreachable(text),
            SendError::Busy => Self::Overloaded(text),
            SendError::Timeout(_) => Self::Timeout(text),
            SendError::Cut => Self::BadAnswer(text),
        }
    }
}
