//! The properties that hold for any input, one module per fuzz target.
//!
//! The fuzz targets call these functions with generated input. The test `fuzz_corpus` of the crate
//! calls them with every file of `corpus/`, so a stable toolchain checks them as well.

pub mod response;

/// Panics if a property does not hold.
pub type Check = fn(&[u8]);

/// Every target and its check.
pub const TARGETS: [(&str, Check); 1] = [("response", response::check)];
