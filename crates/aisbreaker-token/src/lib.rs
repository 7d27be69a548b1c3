//! API keys that carry their own data: encrypted, authenticated, expiring, and bound to one host.
//!
//! A key contains everything a server needs to serve its holder, so the server stores nothing.
//! [`KeyRing::seal`] turns any `serde` type into a key, and only servers with the same secret can
//! [`open`](KeyRing::open) it. The payload that the AIsBreaker server seals is [`Grant`]: quotas,
//! budgets and service secrets.
//!
//! # Example
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use aisbreaker_token::{Host, KeyRing, OpenError, ServerKey};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Session {
//!     user: String,
//! }
//!
//! let ring = KeyRing::new(ServerKey::generate()?);
//! let host = Host::parse("api.example.com")?;
//! let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
//! let hour = Duration::from_secs(3600);
//!
//! let session = Session { user: "ada".to_owned() };
//! let key = ring.seal(&session, &host, now, hour)?;
//!
//! let opened = ring.open::<Session>(key.expose(), &host, now)?;
//! assert_eq!(opened.payload().user, "ada");
//!
//! let refused = ring.open::<Session>(key.expose(), &host, now + hour).unwrap_err();
//! assert!(matches!(refused, OpenError::Expired { .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! - **Only the exact text opens.** A key with any character changed, removed or added is refused,
//!   and so is a key for another host or from another server.
//! - **Bounded work.** A text over [`MAX_OPEN_CHARS`] is refused without reading it, and one lookup
//!   finds the server key of a key.
//! - **Secrets stay secret.** Server keys, decrypted claims and the text of a [`SealedKey`] are
//!   wiped on drop, and no `Debug` output contains them. How the payload is held in memory is up to
//!   its type: [`Grant`] uses [`SecretString`](secrecy::SecretString). (A JSON string with escapes
//!   passes through a buffer of `serde_json` that is not wiped.)
//! - **Time is an argument.** The crate reads no clock and needs no async runtime. Its only input
//!   is random bytes from the operating system.
//!
//! # Payloads
//!
//! A payload is a struct, a map with string keys, or an enum with a tag member
//! (`#[serde(tag = "…")]`). It must not have members named `iss`, `sub`, `aud`, `exp`, `nbf`, `iat`
//! or `jti`, which are the registered claims of the key.
//!
//! # Server keys and rotation
//!
//! A [`ServerKey`] comes from random bytes ([`ServerKey::generate`]) or from a phrase
//! ([`ServerKey::from_phrase`]). A ring seals with one server key and opens with any number of
//! them: to rotate, make the new key the sealing one and add the old one with
//! [`KeyRing::with_opening_key`] until its last API key has expired.
//!
//! # Narrower keys
//!
//! The holder of a key can have narrower ones made from it: [`delegation::child_of`] has the rules,
//! and needs neither a store nor HTTP.
//!
//! # Errors
//!
//! [`OpenError`] distinguishes every cause, for the log of the server. Respond the same way to all
//! of them: the holder of a bad key should learn only that it is bad. [`SealError`], [`KeyError`],
//! [`RingError`] and [`HostError`] are for the operator or the calling program.
//!
//! # Key format
//!
//! A key is the prefix `aisbreaker_` and a compact JWE (RFC 7516) with `alg: dir` and `enc: XC20P`
//! (XChaCha20-Poly1305). The [README] specifies it for other implementations.
//!
//! # Features
//!
//! - `ecdh-es`: keys that anyone seals with the public key of a server (`SealingPublicKey`), and
//!   keys nested in other keys. A ring opens them once it is asked to
//!   (`KeyRing::with_offline_keys`).
//! - `legacy`: also opens keys of the original AIsBreaker server (Node.js, up to release 0.1). It
//!   never seals them.
//!
//! [README]: https://github.com/aisbreaker/aisbreaker/blob/main/crates/aisbreaker-token/README.md
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    warn(clippy::arithmetic_side_effects, clippy::indexing_slicing)
)]

// The checks of the fuzz targets name the crate, and are compiled into its tests too.
#[cfg(test)]
extern crate self as aisbreaker_token;

mod base64url;
mod claims;
pub mod delegation;
mod error;
mod format;
#[cfg(all(test, feature = "ecdh-es", feature = "legacy"))]
mod fuzz_corpus;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod ids;
mod json_str;
#[cfg(feature = "legacy")]
mod legacy;
#[cfg(feature = "ecdh-es")]
mod offline;
mod opening;
mod ring;
mod sealing;
mod server_key;

pub use claims::{
    Ancestor, BudgetLimits, Budgets, Grant, ModelAlias, RequestLimits, RequestQuotas,
    ReservePolicy, Restriction, ServiceSecret, Usd,
};
pub use error::{
    ClaimsFault, KeyError, NestingFault, OpenError, RandomnessError, RingError, SealError, UsdError,
};
pub use format::{MAX_DELEGATION_DEPTH, MAX_OPEN_CHARS, MAX_SEAL_CHARS, PREFIX, Version};
pub use host::{Host, HostError};
pub use ids::{KeyId, KeyIdError, ServerKeyId};
#[cfg(feature = "ecdh-es")]
pub use offline::{JwkError, OfflinePayload, SealingPublicKey};
pub use opening::Opened;
pub use ring::KeyRing;
pub use sealing::{SealedKey, ValidityPeriod};
pub use server_key::{OpeningKey, ServerKey};

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
