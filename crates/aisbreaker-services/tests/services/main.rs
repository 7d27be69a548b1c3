//! Requests that the services send, and what they make of the answers of providers, over real
//! sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "JSON that is written where it is used reads best"
)]

mod anthropic;
mod cost_table;
mod faults;
mod filters;
mod gemini;
mod golden_native;
mod golden_openai;
mod images;
mod local;
mod native_protocols;
mod network;
mod openai;
mod openai_stream;
mod prices;
mod replicate;
mod restrictions;
mod stream_faults;
mod support;
mod usage_rules;
