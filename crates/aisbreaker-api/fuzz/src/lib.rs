//! What holds for any input, one module for each fuzz target.
//!
//! The fuzz targets call these functions with what the fuzzer makes up, and the test `fuzz_corpus`
//! of the crate calls them with every file of `corpus/`, so that a stable toolchain checks the
//! same.

pub mod conversation_state;
pub mod process_call;
pub mod service_id;
pub mod service_url;

/// Panics if something does not hold.
pub type Check = fn(&[u8]);

/// Every target with its check.
pub const TARGETS: [(&str, Check); 4] = [
    ("conversation_state", conversation_state::check),
    ("process_call", process_call::check),
    ("service_id", service_id::check),
    ("service_url", service_url::check),
];
