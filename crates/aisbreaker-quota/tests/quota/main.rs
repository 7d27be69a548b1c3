//! What the engine promises: single decisions in `decisions`, random histories in `properties`,
//! many threads at once in `threads`, and over restarts in `snapshots`.
//!
//! A history is made by `calls` and played by `history` to a `subject`, with the log of `oracle`
//! beside it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod calls;
mod decisions;
mod history;
mod oracle;
mod properties;
mod snapshots;
mod subject;
mod threads;
