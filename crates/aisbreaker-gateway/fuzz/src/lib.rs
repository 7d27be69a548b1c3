//! What holds for any input, one module for each fuzz target.
//!
//! The fuzz targets call these functions with what the fuzzer makes up, and the test `fuzz_corpus`
//! of the crate calls them with every file of `corpus/`, so that a stable toolchain checks the
//! same.

pub mod called_host;
pub mod forwarded_events;
pub mod forwarded_for;
pub mod inflate;
pub mod lifetime;
pub mod mint;
pub mod model;

/// Panics if something does not hold.
pub type Check = fn(&[u8]);

/// Every target with its check.
pub const TARGETS: [(&str, Check); 7] = [
    ("called_host", called_host::check),
    ("forwarded_for", forwarded_for::check),
    ("inflate", inflate::check),
    ("mint", mint::check),
    ("model", model::check),
    ("forwarded_events", forwarded_events::check),
    ("lifetime", lifetime::check),
];
