//! The translation of messages to chat completions.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "JSON that is written where it is used reads best"
)]

mod answers;
mod golden;
mod limits;
mod properties;
mod providers;
mod support;
