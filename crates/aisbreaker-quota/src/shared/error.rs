//! Errors of a store. None of them repeats its address or password.

use crate::outcome::Refusal;

/// Why a store cannot be used at all.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidStore {
    /// The address is not a supported address of Redis or Valkey.
    #[error(
        "address of the store must be like redis://host:6379/0, rediss://… or \
         redis+cluster://host:6379,host:6379"
    )]
    Url,
    /// The CA certificate cannot be read, or the address is not that of a single server with TLS.
    #[error("CA certificate of the store is not PEM, or the store is not a single server with TLS")]
    CaCertificate,
    /// The prefix of the counters' names is empty or too long, or has braces or spaces.
    #[error("prefix of the store must be a word without braces")]
    Prefix,
}

/// Why a store did not decide.
#[expect(
    clippy::exhaustive_enums,
    reason = "callers choose for every variant what to do without the store"
)]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// The store was found to be down before, and the engine is reconnecting in the background.
    /// This call did not wait.
    #[error("quota store is down")]
    Down,
    /// The store did not answer within the deadline. The charge may still be counted there.
    #[error("quota store did not answer in time")]
    Timeout,
    /// The connection broke, or the store answered with an error. The text is the kind of fault.
    #[error("quota store failed: {0}")]
    Failed(String),
}

/// Why a [`SharedEngine`](super::SharedEngine) did not admit a request.
#[expect(
    clippy::exhaustive_enums,
    reason = "callers choose a response for every variant"
)]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SharedRefusal<const N: usize> {
    /// A limit has too little left, or is below the weight; nothing was charged.
    #[error(transparent)]
    Quota(#[from] Refusal<N>),
    /// The store did not decide, so it is unknown whether the limits would admit the request.
    #[error(transparent)]
    Store(#[from] StoreError),
}
