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

mod base64url;
mod claims;
mod error;
mod format;
#[cfg(all(test, feature = "legacy"))]
mod fuzz_corpus;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod ids;
#[cfg(feature = "legacy")]
mod legacy;
mod opening;
mod ring;
mod sealing;
mod server_key;

pub use claims::{Grant, RequestLimits, RequestQuotas, ServiceSecret};
pub use error::{ClaimsFault, KeyError, OpenError, RandomnessError, RingError, SealError};
pub use format::{MAX_OPEN_CHARS, MAX_SEAL_CHARS, PREFIX, Version};
pub use host::{Host, HostError};
pub use ids::{KeyId, ServerKeyId};
pub use opening::Opened;
pub use ring::KeyRing;
pub use sealing::SealedKey;
pub use server_key::{OpeningKey, ServerKey};
