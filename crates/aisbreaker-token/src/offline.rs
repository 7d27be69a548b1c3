//! Offline keys: sealed with the public key of a server, without asking it.
//!
//! Such a key is a compact JWE with `alg: ECDH-ES` in direct key agreement (RFC 7518 section 4.6),
//! X25519 (RFC 8037) and `enc: A256GCM`, so that any JOSE library can make one. Anyone who knows the
//! public key can: a server must check in each of them whatever it would check before it seals.

mod agreement;
pub(crate) mod header;
mod jwk;
mod nesting;
mod opening;
mod sealing;

pub(crate) use agreement::AgreementKey;
pub use jwk::{JwkError, SealingPublicKey};
pub(crate) use opening::{decrypt, find};
pub use sealing::OfflinePayload;

use crate::base64url;

/// The length of the initialization vector of AES-GCM in JWE (RFC 7518 section 5.3).
const IV_BYTES: usize = 12;

/// The length of an X25519 key, and of its base64url form.
const KEY_BYTES: usize = 32;
const KEY_CHARS: usize = base64url::encoded_len(KEY_BYTES);

#[cfg(test)]
mod tests;
