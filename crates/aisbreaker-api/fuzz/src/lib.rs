//! The properties that hold for any input, one module per fuzz target.
//!
//! The fuzz targets call these functions with generated input. The crate's test `fuzz_corpus` calls
//! them with every file of `corpus/`, so that a stable toolchain checks the same properties.

pub mod conversation_state;
pub mod process_call;
pub mod service_id;
pub mod service_url;

/// Panics if a property does not hold.
pub type Check = fn(&[u8]);

/// All targets with their checks.
pub const TARGETS: [(&str, Check); 4] = [
    ("conversation_state", conversation_state::check),
    ("process_call", process_call::check),
    ("service_id", service_id::check),
    ("service_url", service_url::check),
];
