//! Which keys are refused at the families of resources, where their limits could be got round.
//!
//! What a batch, a fine-tune or a stored object does is written in files or in earlier requests,
//! which this server does not read. So nothing there holds a key to its models, nothing counts what
//! is spent, and whatever the account of the provider has is within reach.
//!
//! | key | refused, unless |
//! |---|---|
//! | with budgets, where a family spends | never allowed |
//! | restricted to services | the same restriction has the family among its `operations` |
//! | the server's default key, which nobody sent | a restriction has the family among its `operations` |
//! | whose secret is for one engine only | the same, and the key was not made from another one |
//!
//! A key that is restricted to operations needs no row: the family must be one of them. Restrictions
//! that the holder of a key adds to a key that is made from it only take away.

use super::KeyUse;
use crate::{
    authenticate::Caller,
    route::family::{Cost, Family},
};

/// A limit of a key that a family of resources could get round.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Limit {
    /// The budgets.
    Budgets,
    /// A restriction to services.
    Services,
    /// Nobody sent the key: it is the server's default.
    DefaultKey,
    /// The secret is for one engine only.
    Engine,
}

/// Why a key is refused at a family of resources.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BypassError {
    pub(crate) limit: Limit,
    /// The name of the family, as `operations` has it.
    pub(crate) family: &'static str,
}

impl BypassError {
    pub(crate) fn new(limit: Limit, family: &Family) -> Self {
        Self {
            limit,
            family: family.name(),
        }
    }
}

impl Caller {
    /// Judges a use by the limits that are known before the service is.
    ///
    /// # Errors
    /// [`BypassError`] for the first limit that could be got round.
    pub(crate) fn judge_bypass(&self, key_use: KeyUse) -> Result<(), BypassError> {
        let Some(family) = key_use.family else {
            return Ok(());
        };
        let refuse = |limit| Err(BypassError::new(limit, family));
        if family.cost == Cost::Uncounted && self.has_budgets() {
            return refuse(Limit::Budgets);
        }
        if self.restrictions.hold_services_from(family.name()) {
            return refuse(Limit::Services);
        }
        if self.is_default && !self.restrictions.name(family.name()) {
            return refuse(Limit::DefaultKey);
        }
        Ok(())
    }

    /// Returns whether a secret for one engine may be used for the family.
    ///
    /// Of a key that was made from another one, nobody knows who added a restriction.
    pub(crate) fn may_leave_engine(&self, family: &Family) -> bool {
        let is_first = match &self.key {
            Some(key) => key.ancestors.is_empty(),
            None => false,
        };
        is_first && self.restrictions.name(family.name())
    }
}
