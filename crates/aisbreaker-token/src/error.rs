//! What can go wrong, one enum per family of operations.

use std::time::Duration;

use crate::{KeyId, ServerKeyId};

/// Why no [`ServerKey`](crate::ServerKey) could be made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The phrase has fewer characters than this.
    #[error("key phrase is shorter than {minimum_chars} characters")]
    TooShort {
        /// The fewest characters that are accepted.
        minimum_chars: usize,
    },
    /// Argon2id could not run; in practice, 64 MiB of memory were not to be had.
    #[error("key could not be derived from the phrase")]
    Derivation,
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

/// Why a key could not be added to a [`KeyRing`](crate::KeyRing).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// Two different server keys have the same id, by a chance of one in 2^36: replace one of them.
    #[error("two different server keys have the same id {0}; replace one of them")]
    SameId(ServerKeyId),
}

/// Why [`KeyRing::seal`](crate::KeyRing::seal) made no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The payload could not be written as JSON.
    #[error("payload cannot be written as JSON")]
    Payload(#[source] serde_json::Error),
    /// The payload's JSON is not an object, so it has no members to put beside the claims.
    #[error("payload is not a JSON object")]
    NotAnObject,
    /// The payload has a member with the name of a registered claim.
    #[error("payload has a member {0:?}, which is the name of a registered claim")]
    ReservedMember(&'static str),
    /// The key would have more characters than [`MAX_SEAL_CHARS`](crate::MAX_SEAL_CHARS).
    #[error("key would have {chars} characters, more than {maximum_chars}")]
    TooLong {
        /// What the key would have.
        chars: usize,
        /// What it may have.
        maximum_chars: usize,
    },
    /// The lifetime is under a second or ends after the year 9999, or the clock is set before 1970.
    #[error("lifetime is under a second or ends after the year 9999")]
    Lifetime,
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

/// Why [`KeyRing::open`](crate::KeyRing::open) refused a key. For the log only.
///
/// Servers must answer all of these alike: the holder of a bad key learns that it is bad, not why.
/// No variant carries text of the key.
#[expect(
    clippy::exhaustive_enums,
    reason = "the server answers every variant, so a new one is a breaking change"
)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// It does not start with [`PREFIX`](crate::PREFIX): not one of these keys at all.
    #[error("not an aisbreaker key")]
    NoPrefix,
    /// Longer than [`MAX_OPEN_CHARS`](crate::MAX_OPEN_CHARS); refused unread.
    #[error("key is too long")]
    TooLong,
    /// Not five parts with the second one empty, or a part that is not canonical base64url, or cut
    /// short.
    #[error("key is malformed")]
    Malformed,
    /// Its header is none that this crate writes: another format version, algorithm or member
    /// order.
    #[error("key has an unsupported header")]
    UnsupportedHeader,
    /// Its header names a server key that is not in the ring: sealed elsewhere, or with a key since
    /// removed.
    #[error("key was sealed with a server key that is not in the ring")]
    UnknownServerKey,
    /// Altered, or sealed with another server key.
    #[error("key is not authentic")]
    NotAuthentic {
        /// The ring's key that it names. `None` for the original server's keys, which name none.
        server_key: Option<ServerKeyId>,
    },
    /// Authentic, but its registered claims cannot be used.
    #[error("key has unusable claims: {fault}")]
    InvalidClaims {
        /// The ring's key that it names. `None` for the original server's keys, which name none.
        server_key: Option<ServerKeyId>,
        /// What is wrong.
        fault: ClaimsFault,
    },
    /// Authentic, but past its expiry by this long.
    #[error("key {id} expired {ago:?} ago")]
    Expired {
        /// Which key.
        id: KeyId,
        /// How long ago; zero at the very second of expiry.
        ago: Duration,
    },
    /// Authentic, but issued this long after now, which is more than clocks may differ.
    #[error("key {id} was issued {ahead:?} in the future")]
    IssuedInFuture {
        /// Which key.
        id: KeyId,
        /// How far its `iat` is ahead of the clock.
        ahead: Duration,
    },
    /// Authentic, but not to be used before this long from now.
    #[error("key {id} is not valid before {wait:?} from now")]
    NotYetValid {
        /// Which key.
        id: KeyId,
        /// How far its `nbf` is ahead of the clock.
        wait: Duration,
    },
    /// Authentic, but bound to another host.
    #[error("key {id} is bound to another host")]
    WrongHost {
        /// Which key.
        id: KeyId,
    },
    /// Authentic and valid here, but its payload is not of the type asked for.
    #[error("key {id} has a payload of another type")]
    Payload {
        /// Which key.
        id: KeyId,
    },
}

/// What is wrong with the registered claims of an authentic key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimsFault {
    /// The claims are not one JSON object.
    #[error("not a JSON object")]
    NotAnObject,
    /// This claim is required.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// This claim is there twice.
    #[error("{0} is there twice")]
    Duplicate(&'static str),
    /// This claim has a value of the wrong type or form.
    #[error("{0} is not valid")]
    Invalid(&'static str),
}

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct RandomnessError(#[source] pub(crate) getrandom::Error);
