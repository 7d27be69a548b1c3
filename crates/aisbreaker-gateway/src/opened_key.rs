//! The parts of an opened key that are not secret.

use std::time::SystemTime;

use aisbreaker_token::{Ancestor, Budgets, KeyId, RequestQuotas};

/// The parts of an opened key that are not secret.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    /// What it is called.
    pub(crate) name: Option<String>,
    pub(crate) quotas: Option<RequestQuotas>,
    pub(crate) budgets: Option<Box<Budgets>>,
    /// `None` only for a key of the original server.
    pub(crate) issued_at: Option<SystemTime>,
    pub(crate) expires_at: SystemTime,
    /// The keys that it was made from, the first of them first.
    pub(crate) ancestors: Vec<Ancestor>,
}
