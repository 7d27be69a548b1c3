//! The ledger of budgets, from outside.
#![cfg(test)]

mod concurrency;
mod decisions;
mod model;
mod properties;
mod snapshots;
