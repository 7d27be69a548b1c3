//! The guarantees of the engine in memory.
//!
//! `decisions`, `capacity`, `chains` and `contention` test single behaviours, `snapshots` tests
//! restarts. The others play random histories: `strategies` generates them, `history` plays them to
//! a `subject` and checks it against the exact log in `oracle`. `properties` does so in one thread,
//! `concurrent_histories` in many, and `rates` with windows of any length.
#![expect(clippy::unwrap_used, reason = "a test stops at the first failure")]

mod capacity;
mod chains;
mod concurrent_histories;
mod contention;
mod decisions;
mod history;
mod oracle;
mod properties;
mod rates;
mod snapshots;
mod strategies;
mod subject;
