//! What can go wrong with a store. Nothing here repeats its address or its password.

use crate::answer::Refusal;

/// Why a store cannot be used at all.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidStore {
    /// Not an address of Redis or Valkey that is understood.
    #[error(
        "address of the store is not one such as redis://host:6379/0, rediss://… or redis+cluster://host:6379,host:6379"
    )]
    Url,
    /// The certificate of its authority cannot be read, or the address is not of a single server
    /// with TLS.
    #[error(
        "certificate of the store's authority is not PEM, or the store is not a single server with TLS"
    )]
    Authority,
    /// The prefix of the counters' names is empty, or has braces or spaces.
    #[error("prefix of the store must be a word without braces")]
    Prefix,
}

/// Why a store did not answer.
#[expect(
    clippy::exhaustive_enums,
    reason = "users choose for every variant what to do without the store"
)]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// It was found to be gone before, and is looked for in the background; this call did not wait.
    #[error("quota store is down")]
    Down,
    /// It did not answer within the deadline. The charge may still be counted there.
    #[error("quota store did not answer in time")]
    Timeout,
    /// The connection broke or the store refused; told is what kind of fault it is.
    #[error("quota store failed: {0}")]
    Failed(String),
}

/// Why a shared engine did not admit.
#[expect(
    clippy::exhaustive_enums,
    reason = "users choose for every variant what to answer"
)]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SharedRefusal<const N: usize> {
    /// A limit has not enough left; nothing was charged.
    #[error(transparent)]
    Quota(#[from] Refusal<N>),
    /// The store did not answer, so that nobody knows.
    #[error(transparent)]
    Store(#[from] StoreError),
}
