//! Properties that hold for any input, one module for each fuzz target.
//!
//! The fuzz targets call these functions with the fuzzer's inputs. The test `fuzz_corpus` of the
//! crate calls them with every file of `corpus/`, so that a stable toolchain checks the same
//! properties.

pub mod sse;

/// Panics if a property does not hold.
pub type Check = fn(&[u8]);

/// Every target and its check.
pub const TARGETS: [(&str, Check); 1] = [("sse", sse::check)];
