//! The lock-free module of `aisbreaker-egress`, for model checking with loom.

#[path = "../../src/memory_budget.rs"]
pub mod memory_budget;
#[path = "../../src/sync.rs"]
mod sync;
