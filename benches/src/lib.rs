//! What the benchmarks and the measuring programs of this package share.
#![forbid(unsafe_code)]
#![expect(
    clippy::missing_panics_doc,
    reason = "a benchmark that cannot go on has nothing better to do"
)]
#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot go on has nothing better to do"
)]

pub mod calls;
pub mod claims;
pub mod gateway;
pub mod plot;
pub mod process;
pub mod provider;
pub mod store;
