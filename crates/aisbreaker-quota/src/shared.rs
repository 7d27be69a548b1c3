//! The engine whose counters are in Redis or Valkey, so that several processes share them.

mod error;

pub use error::{InvalidStore, SharedRefusal, StoreError};
