//! The keys that a key was made from.

use serde::{Deserialize, Serialize};

use super::{budgets::Budgets, quotas::RequestQuotas};
use crate::ids::KeyId;

/// A key that another one was made from: what is needed to charge it, and to refuse its descendants
/// when it is revoked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Ancestor {
    /// Its id.
    pub id: KeyId,
    /// When it was issued, in seconds since 1970. `None` only for a legacy key without `iat`.
    #[serde(default, rename = "iat", skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<u64>,
    /// Its quotas. If `None`, the server's defaults apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_quotas: Option<RequestQuotas>,
    /// Its budgets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgets: Option<Box<Budgets>>,
}

impl Ancestor {
    /// Creates an ancestor without budgets from what is known of its key.
    pub fn new(id: KeyId, issued_at: Option<u64>, request_quotas: Option<RequestQuotas>) -> Self {
        Self {
            id,
            issued_at,
            request_quotas,
            budgets: None,
        }
    }

    /// Sets the budgets.
    #[must_use]
    pub fn with_budgets(mut self, budgets: Option<Box<Budgets>>) -> Self {
        self.budgets = budgets;
        self
    }
}
