//! A client of chat completions, and a provider of messages.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod hostile;
mod requests;
mod streams;
mod sums;
mod support;
