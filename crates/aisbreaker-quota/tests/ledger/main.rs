//! The ledger of budgets, from outside.
#![cfg(test)]

mod allowances;
mod concurrency;
mod decisions;
mod history;
mod model;
mod properties;
mod snapshots;
mod wrong_policies;

use std::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
pub(crate) fn some_instant() -> Instant {
    Instant::now()
}
