#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    warn(clippy::arithmetic_side_effects, clippy::indexing_slicing)
)]

// For the checks of the fuzz targets, which are built inside this crate's tests as well.
#[cfg(test)]
extern crate self as aisbreaker_token;

mod claims;
mod encoding;
mod error;
#[cfg(all(test, feature = "legacy"))]
mod fuzz_corpus;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod grant;
mod header;
mod host;
mod ids;
mod opening;
#[cfg(feature = "legacy")]
mod original;
mod ring;
mod sealing;
mod server_key;

pub use error::{ClaimsFault, KeyError, OpenError, RandomnessError, RingError, SealError};
pub use grant::{Grant, RequestLimits, RequestQuotas, ServiceSecret};
pub use host::{Host, HostError};
pub use ids::{KeyId, ServerKeyId};
pub use opening::{Opened, Version};
pub use ring::KeyRing;
pub use sealing::SealedKey;
pub use server_key::{OpeningKey, ServerKey};

/// What every key starts with.
pub const PREFIX: &str = "aisbreaker_";

/// Keys longer than this many characters are refused unread.
pub const MAX_OPEN_CHARS: usize = 16 * 1024;

/// Keys longer than this many characters are not made, since many proxies cut header fields at 8
/// KiB.
pub const MAX_SEAL_CHARS: usize = 6 * 1024;
