//! The errors of the crate, one type per operation.

use std::time::Duration;

use crate::{
    format::MAX_DELEGATION_DEPTH,
    ids::{KeyId, ServerKeyId},
};

/// Why a [`ServerKey`](crate::ServerKey) could not be created.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The phrase is too short.
    #[error("key phrase is shorter than {minimum_chars} characters")]
    TooShort {
        /// The minimum length of a phrase.
        minimum_chars: usize,
    },
    /// Argon2id failed, in practice because it could not allocate 64 MiB of memory.
    #[error("key could not be derived from the phrase")]
    Derivation,
    /// The operating system returned no random bytes.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

/// Why a server key could not be added to a [`KeyRing`](crate::KeyRing).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// Two different server keys have the same id, which happens by chance once in 2^36 pairs.
    #[error("two different server keys have the same id {0}; replace one of them")]
    SameId(ServerKeyId),
}

/// Why [`KeyRing::seal`](crate::KeyRing::seal) did not create a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The payload could not be serialized to JSON.
    #[error("payload cannot be serialized to JSON")]
    Payload(#[source] serde_json::Error),
    /// The payload is not a JSON object, so its members cannot be combined with the claims.
    #[error("payload is not a JSON object")]
    NotAnObject,
    /// The payload has a member with the name of a registered claim.
    #[error("payload has a member {0:?}, which is the name of a registered claim")]
    ReservedMember(&'static str),
    /// The key would be longer than [`MAX_SEAL_CHARS`](crate::MAX_SEAL_CHARS).
    #[error("key would have {chars} characters, more than {maximum_chars}")]
    TooLong {
        /// The length that the key would have.
        chars: usize,
        /// The maximum length.
        maximum_chars: usize,
    },
    /// The lifetime is under a second or ends after the year 9999, or `now` is before 1970.
    #[error("lifetime is under a second or ends after the year 9999")]
    Lifetime,
    /// The child of a key would have secrets, model aliases or ancestors of its own.
    #[error("key that narrows another has secrets, model aliases or ancestors of its own")]
    NotNarrower,
    /// The operating system returned no random bytes.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

/// Why [`KeyRing::open`](crate::KeyRing::open) refused a key, for the server's log only.
///
/// A server must respond the same way to every variant: the holder of a bad key learns that it is
/// bad, not why. No variant contains text of the key.
#[expect(
    clippy::exhaustive_enums,
    reason = "the server answers every variant, so a new one is a breaking change"
)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// The text does not start with [`PREFIX`](crate::PREFIX), so it is another kind of credential.
    #[error("not an aisbreaker key")]
    NoPrefix,
    /// The key is longer than [`MAX_OPEN_CHARS`](crate::MAX_OPEN_CHARS).
    #[error("key is too long")]
    TooLong,
    /// The key is truncated, does not have five parts with the second one empty, or has a part that
    /// is not canonical base64url.
    #[error("key is malformed")]
    Malformed,
    /// The header differs from the ones that this crate writes, in its version, algorithm or order
    /// of members.
    #[error("key has an unsupported header")]
    UnsupportedHeader,
    /// The header names a server key that is not in the ring, because another server sealed the key
    /// or the server key was removed.
    #[error("key was sealed with a server key that is not in the ring")]
    UnknownServerKey,
    /// The key was altered, or sealed with another server key of the same id.
    #[error("key is not authentic")]
    NotAuthentic {
        /// The server key that the header names. `None` for a legacy key, which names none.
        server_key: Option<ServerKeyId>,
    },
    /// The key is authentic, but its registered claims are not valid.
    #[error("key has unusable claims: {fault}")]
    InvalidClaims {
        /// The server key that the header names. `None` for a legacy key, which names none.
        server_key: Option<ServerKeyId>,
        /// What is wrong with them.
        fault: ClaimsFault,
    },
    /// The key is authentic, but has expired.
    #[error("key {id} expired {ago:?} ago")]
    Expired {
        /// The id of the key.
        id: KeyId,
        /// The time since its `exp`; zero at that very moment.
        ago: Duration,
    },
    /// The key is authentic, but its `iat` is further ahead than clocks may differ.
    #[error("key {id} was issued {ahead:?} in the future")]
    IssuedInFuture {
        /// The id of the key.
        id: KeyId,
        /// The time until its `iat`.
        ahead: Duration,
    },
    /// The key is authentic, but not valid yet.
    #[error("key {id} is not valid before {wait:?} from now")]
    NotYetValid {
        /// The id of the key.
        id: KeyId,
        /// The time until its `nbf`.
        wait: Duration,
    },
    /// The key is authentic, but bound to another host.
    #[error("key {id} is bound to another host")]
    WrongHost {
        /// The id of the key.
        id: KeyId,
    },
    /// The key is valid, but its grant has a member that this version does not know.
    ///
    /// Only [`KeyRing::open_grant`](crate::KeyRing::open_grant) returns it.
    #[error("key {id} has an unknown member in the grant")]
    UnknownMember {
        /// The id of the key.
        id: KeyId,
    },
    /// The key is nested, and valid by itself, but must not be made from its parent. If the parent
    /// does not open, its own error is returned instead.
    #[error("key {id} is nested in a key that it cannot be made from: {fault}")]
    Nested {
        /// The id of the nested key.
        id: KeyId,
        /// Why it cannot.
        fault: NestingFault,
    },
    /// The key is valid, but its payload is not of the requested type.
    #[error("key {id} has a payload of another type")]
    Payload {
        /// The id of the key.
        id: KeyId,
    },
}

/// Why a nested key does not narrow its parent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NestingFault {
    /// It was opened as another payload than a [`Grant`](crate::Grant).
    #[error("only a grant can have a parent")]
    NoGrant,
    /// It holds secrets or model aliases, which only its first ancestor may.
    #[error("it has secrets or model aliases of its own")]
    NotNarrower,
    /// The rules of delegation allow no such child.
    #[error(transparent)]
    Delegation(#[from] DelegationError),
}

/// What is wrong with the registered claims of an authentic key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimsFault {
    /// The claims are not a single JSON object.
    #[error("not a JSON object")]
    NotAnObject,
    /// This required claim is absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// This claim is present twice.
    #[error("{0} is present twice")]
    Duplicate(&'static str),
    /// This claim has a value of the wrong type or form.
    #[error("{0} is not valid")]
    Invalid(&'static str),
}

/// The operating system returned no random bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the operating system returned no random bytes")]
pub struct RandomnessError(#[source] pub(crate) getrandom::Error);

/// Why no child can be made.
#[expect(
    clippy::exhaustive_enums,
    reason = "a server answers every variant, so a new one is a breaking change"
)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DelegationError {
    /// The parent must not have children.
    #[error("no key may be made from this one")]
    Forbidden,
    /// The parent has as many ancestors as a key may have.
    #[error("a key descends from no more than {MAX_DELEGATION_DEPTH} others")]
    TooDeep,
    /// The child would expire before it is accepted.
    #[error("the key would expire before it is accepted")]
    NeverValid,
}

/// Why a text is no amount of dollars. It repeats nothing of the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UsdError {
    /// It is no decimal number in digits, with a digit on each side of a point.
    #[error("must be dollars as a plain decimal, such as \"2.50\"")]
    NotDecimal,
    /// It begins with a minus sign.
    #[error("must not be negative")]
    Negative,
    /// It has an exponent.
    #[error("must be a plain decimal without an exponent, such as \"0.001\"")]
    Exponent,
    /// It has more than nine digits after the point.
    #[error("must have at most 9 digits after the point")]
    TooPrecise,
    /// It is more than [`Usd::MAX`](crate::Usd::MAX).
    #[error("must be at most 9000000 dollars")]
    TooLarge,
}
