//! The properties that hold for any input, one module per fuzz target.
//!
//! The fuzz targets call these functions with generated input. The test `fuzz_corpus` of the crate
//! calls them with every file of `corpus/`, so a stable toolchain checks them as well.

pub mod called_host;
pub mod forwarded_events;
pub mod forwarded_for;
pub mod inflate;
pub mod lifetime;
pub mod mint;
pub mod model;

/// Panics if a property does not hold.
pub type Check = fn(&[u8]);

/// Every target and its check.
pub const TARGETS: [(&str, Check); 7] = [
    ("called_host", called_host::check),
    ("forwarded_for", forwarded_for::check),
    ("inflate", inflate::check),
    ("mint", mint::check),
    ("model", model::check),
    ("forwarded_events", forwarded_events::check),
    ("lifetime", lifetime::check),
];
