//! Counters in Redis or Valkey, shared by several processes.
//!
//! [`SharedEngine`] decides as [`Engine`](crate::Engine) does, by the clock of the store, in one
//! round trip. What it needs of the store is one function library, which it brings along. The
//! modules: `address` says where the store is, `link` keeps a connection to it, `message` is what
//! goes over it, `quota.lua` is the function.

mod address;
mod engine;
mod error;
mod lease;
mod link;
mod message;

pub use address::StoreAddress;
pub use engine::{SharedEngine, SharedOptions};
pub use error::{InvalidStore, SharedRefusal, StoreError};
pub use link::StoreState;
