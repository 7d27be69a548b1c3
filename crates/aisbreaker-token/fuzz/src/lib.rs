//! The properties that hold for any input, one module per fuzz target.
//!
//! The fuzz targets call these functions with generated input. The crate's test `fuzz_corpus` calls
//! them with every file of `corpus/`, so that a stable toolchain checks the same properties.

pub mod claims;
pub mod host;
pub mod open_changed;
pub mod open_legacy;
pub mod open_offline;
pub mod open_text;
pub mod seal_open;
mod vectors;

/// Panics if a property does not hold.
pub type Check = fn(&[u8]);

/// All targets with their checks.
pub const TARGETS: [(&str, Check); 7] = [
    ("claims", claims::check),
    ("host", host::check),
    ("open_changed", open_changed::check),
    ("open_legacy", open_legacy::check),
    ("open_offline", open_offline::check),
    ("open_text", open_text::check),
    ("seal_open", seal_open::check),
];
