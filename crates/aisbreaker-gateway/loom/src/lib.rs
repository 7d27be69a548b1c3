//! The lock-free module of `aisbreaker-gateway`, for model checking with loom.

#[path = "../../src/server/self_wake.rs"]
pub mod self_wake;
