//! The lock-free modules of `aisbreaker-egress`, for model checking with loom.

#[path = "../../src/memory_budget.rs"]
pub mod memory_budget;
#[path = "../../src/repoll.rs"]
pub mod repoll;
#[path = "../../src/sync.rs"]
mod sync;
