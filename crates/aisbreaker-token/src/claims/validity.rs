//! The checks of the registered claims of an authentic key.

use std::time::{Duration, SystemTime};

use super::registered::{Claim, NumericDate, RegisteredClaims};
use crate::{
    error::{ClaimsFault, OpenError},
    format::Version,
    host::Host,
    ids::{KeyId, ServerKeyId},
};

/// How far `iat` may be ahead of the clock, since the clocks of servers with one key may differ.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// The end of the `sub` of a legacy key, after the host.
const LEGACY_SUBJECT_SUFFIX: &str = "#aisbreaker";

/// When a key was issued, from when on it is valid, and when it expires.
#[derive(Clone, Copy)]
pub(crate) struct Validity {
    pub(crate) issued_at: Option<SystemTime>,
    pub(crate) not_before: Option<SystemTime>,
    pub(crate) expires_at: SystemTime,
}

/// Why a key is refused for its claims.
pub(crate) enum ClaimsError {
    /// A claim has no usable value.
    Fault(ClaimsFault),
    /// The values are usable, but the key is not valid now or for this host.
    NotValid(OpenError),
}

impl ClaimsError {
    /// Converts the error. `server_key` is the one that the key names.
    pub(crate) fn into_open_error(self, server_key: Option<ServerKeyId>) -> OpenError {
        match self {
            Self::Fault(fault) => OpenError::InvalidClaims { server_key, fault },
            Self::NotValid(error) => error,
        }
    }
}

impl From<ClaimsFault> for ClaimsError {
    fn from(fault: ClaimsFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<OpenError> for ClaimsError {
    fn from(error: OpenError) -> Self {
        Self::NotValid(error)
    }
}

impl RegisteredClaims<'_> {
    /// Returns the id of a key of version 2.
    pub(crate) fn key_id(&self) -> Result<KeyId, ClaimsFault> {
        let jti = required(Claim::Id, self.id.as_deref())?;
        KeyId::from_jti(jti).ok_or(ClaimsFault::Invalid(Claim::Id.name()))
    }

    /// Checks `exp`, `iat`, `nbf` and the host, in this order.
    pub(crate) fn check(
        &self,
        id: KeyId,
        host: &Host,
        now: SystemTime,
    ) -> Result<Validity, ClaimsError> {
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();

        let expiry = required(Claim::Expiry, self.date(Claim::Expiry, self.expiry)?)?;
        if let Some(ago) = now.checked_sub(expiry) {
            return Err(OpenError::Expired { id, ago }.into());
        }

        let issued_at = self.date(Claim::IssuedAt, self.issued_at)?;
        // The original server does not check `iat` either.
        if self.version != Version::V1 {
            let ahead = required(Claim::IssuedAt, issued_at)?.saturating_sub(now);
            if ahead > MAX_CLOCK_SKEW {
                return Err(OpenError::IssuedInFuture { id, ahead }.into());
            }
        }

        let not_before = self.date(Claim::NotBefore, self.not_before)?;
        let wait = not_before.unwrap_or_default().saturating_sub(now);
        if !wait.is_zero() {
            return Err(OpenError::NotYetValid { id, wait }.into());
        }

        if !self.is_for(host)? {
            return Err(OpenError::WrongHost { id }.into());
        }

        let Some(expires_at) = SystemTime::UNIX_EPOCH.checked_add(expiry) else {
            return Err(ClaimsFault::Invalid(Claim::Expiry.name()).into());
        };
        let at = |since_epoch| SystemTime::UNIX_EPOCH.checked_add(since_epoch);
        Ok(Validity {
            issued_at: issued_at.and_then(at),
            not_before: not_before.and_then(at),
            expires_at,
        })
    }

    /// Returns the value of a date claim as the time since 1970.
    fn date(
        &self,
        claim: Claim,
        value: Option<NumericDate>,
    ) -> Result<Option<Duration>, ClaimsFault> {
        let Some(date) = value else {
            return Ok(None);
        };
        match date.since_epoch(self.version) {
            Some(since_epoch) => Ok(Some(since_epoch)),
            None => Err(ClaimsFault::Invalid(claim.name())),
        }
    }

    fn is_for(&self, host: &Host) -> Result<bool, ClaimsFault> {
        match self.version {
            Version::V2 | Version::Offline => {
                let audience = required(Claim::Audience, self.audience.as_deref())?;
                Ok(audience == host.as_str())
            }
            Version::V1 => {
                let subject = required(Claim::Subject, self.subject.as_deref())?;
                let Some(name) = subject.strip_suffix(LEGACY_SUBJECT_SUFFIX) else {
                    return Ok(false);
                };
                Ok(Host::parse(name).is_ok_and(|sealed| sealed == *host))
            }
        }
    }
}

fn required<T>(claim: Claim, value: Option<T>) -> Result<T, ClaimsFault> {
    value.ok_or(ClaimsFault::Missing(claim.name()))
}
