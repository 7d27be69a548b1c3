//! The translation of messages to chat completions.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod golden;
mod providers;
mod support;
