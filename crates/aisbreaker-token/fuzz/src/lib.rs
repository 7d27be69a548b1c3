//! What holds for any input, one module for each fuzz target.
//!
//! The fuzz targets call these functions with what the fuzzer makes up, and the test `fuzz_corpus`
//! of the crate calls them with every file of `corpus/`, so that a stable toolchain checks the
//! same.

pub mod claims;
pub mod host;
pub mod open_changed;
pub mod open_original;
pub mod open_text;
pub mod seal_open;
mod vectors;

/// Panics if something does not hold.
pub type Check = fn(&[u8]);

/// Every target with its check.
pub const TARGETS: [(&str, Check); 6] = [
    ("claims", claims::check),
    ("host", host::check),
    ("open_changed", open_changed::check),
    ("open_original", open_original::check),
    ("open_text", open_text::check),
    ("seal_open", seal_open::check),
];
