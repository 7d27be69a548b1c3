//! Why a request failed.

use crate::memory_budget::BudgetSpent;

/// Why [`Client::send`](crate::Client::send) failed, or why a [`Body`](crate::Body) ended early.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "callers answer every variant, so a new one must not compile"
)]
pub enum SendError {
    /// The policy does not allow the URL; nothing was sent.
    #[error("{0}")]
    Forbidden(Refusal),
    /// No connection could be made; nothing was sent.
    #[error("{0}")]
    Unreachable(Failure),
    /// As many calls to this origin are in progress as [`Bounds`](crate::Bounds) allow; nothing was
    /// sent.
    #[error("too many calls to this origin are in progress")]
    Busy,
    /// The server was too slow.
    #[error("{0}")]
    Timeout(Stage),
    /// The body of the response has a transfer coding other than `chunked` (RFC 9112 section 7),
    /// which no request of this client accepts.
    #[error("the response has a transfer coding that was not asked for")]
    TransferCoding,
    /// The connection broke, the response ended early, or it is not HTTP, or it is another protocol
    /// (101) that was not asked for.
    #[error("the response was cut short or is not valid HTTP")]
    Cut,
}

/// Why [`Body::collect_bounded`](crate::Body::collect_bounded) failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "callers answer every variant, so a new one must not compile"
)]
pub enum CollectError {
    /// The body ended early, or the server was too slow.
    #[error(transparent)]
    Broken(#[from] SendError),
    /// The body is longer than the client collects.
    #[error("the response is longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit that it exceeds.
        limit_bytes: usize,
    },
    /// The memory budget has no room for the body.
    #[error(transparent)]
    BudgetSpent(#[from] BudgetSpent),
}

/// What the policy objects to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "callers answer every variant, so a new one must not compile"
)]
pub enum Refusal {
    /// The scheme is `http`, and no exception allows it.
    #[error("http is not allowed for this address, only https")]
    Scheme,
    /// The host has no public address: only loopback, private, link-local or reserved ones.
    #[error("the address is not public")]
    Address,
    /// The URL is not an absolute `http` or `https` URL that a request can be sent to.
    #[error("the URL cannot be used in a request")]
    InvalidUrl,
}

/// What prevented the connection.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "callers answer every variant, so a new one must not compile"
)]
pub enum Failure {
    /// The host name has no address.
    #[error("no address found for {host}")]
    Resolution {
        /// The name that was looked up.
        host: String,
    },
    /// Nothing listens at the address.
    #[error("the connection was refused")]
    Refused,
    /// The TLS handshake failed: the server does not speak TLS, or its certificate does not verify.
    #[error("the TLS handshake failed")]
    Tls,
    /// Anything else: no route, or a reset while connecting.
    #[error("the host could not be reached")]
    Network,
}

/// Which wait exceeded its [timeout](crate::Timeouts).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the three waits of a client, one for each of its timeouts"
)]
pub enum Stage {
    /// For a connection: name resolution, TCP and TLS.
    #[error("connecting took too long")]
    Connect,
    /// For the head of the response.
    #[error("the response took too long")]
    Response,
    /// For the next part of the body.
    #[error("the response body stalled for too long")]
    Idle,
}

/// The system's TLS library cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the TLS library cannot be used")]
pub struct TlsUnavailable(#[source] pub(crate) Option<native_tls::Error>);
