//! The shared engine against real Redis or Valkey servers: the guarantees of the engine in memory,
//! exact totals of many processes, leases, and stores that are slow, down, empty, full or fake.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first failure"
)]

mod access;
mod chains;
mod cluster;
mod concurrency;
mod denied;
mod equivalence;
mod expiry;
#[path = "../engine/history.rs"]
mod history;
mod leases;
mod ledger;
mod ledger_outages;
mod malformed_replies;
#[path = "../engine/oracle.rs"]
mod oracle;
mod properties;
mod reconnect;
#[path = "../support/redis_server.rs"]
mod redis_server;
mod store;
mod store_failures;
#[path = "../engine/strategies.rs"]
mod strategies;
#[path = "../engine/subject.rs"]
mod subject;
mod support;
