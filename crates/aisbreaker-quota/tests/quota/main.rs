//! What the engine promises: single decisions in `decisions`, random histories in `properties`.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod decisions;
mod oracle;
mod properties;
mod snapshots;
