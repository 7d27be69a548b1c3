//! Whether the registered claims of an authentic key are valid here and now.

use std::time::{Duration, SystemTime};

use super::registered::{Claim, Registered, Seconds};
use crate::{ClaimsFault, Host, KeyId, OpenError, Version};

/// How far `iat` may be ahead of the clock: servers that share a key need not agree to the second.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

/// What the original server's `sub` has after the host.
const ORIGINAL_SUBJECT_END: &str = "#aisbreaker";

/// When a key was made and when it ends.
pub(crate) struct Times {
    pub(crate) issued_at: Option<SystemTime>,
    pub(crate) expires_at: SystemTime,
}

impl Registered<'_> {
    /// The name of a key of version 2.
    pub(crate) fn key_id(&self) -> Result<KeyId, ClaimsFault> {
        let jti = self
            .id
            .as_deref()
            .ok_or(ClaimsFault::Missing(Claim::Id.name()))?;
        KeyId::from_jti(jti).ok_or(ClaimsFault::Invalid(Claim::Id.name()))
    }

    /// Checks `exp`, `iat`, `nbf` and the host, in this order.
    pub(crate) fn check(
        &self,
        id: KeyId,
        host: &Host,
        now: SystemTime,
        unusable: impl Fn(ClaimsFault) -> OpenError,
    ) -> Result<Times, OpenError> {
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();

        let expiry = self.time(Claim::Expiry, self.expiry).map_err(&unusable)?;
        let expiry = expiry.ok_or_else(|| unusable(ClaimsFault::Missing(Claim::Expiry.name())))?;
        if let Some(ago) = now.checked_sub(expiry) {
            return Err(OpenError::Expired { id, ago });
        }

        let issued_at = self
            .time(Claim::IssuedAt, self.issued_at)
            .map_err(&unusable)?;
        if self.version == Version::V2 {
            let issued_at =
                issued_at.ok_or_else(|| unusable(ClaimsFault::Missing(Claim::IssuedAt.name())))?;
            let ahead = issued_at.saturating_sub(now);
            if ahead > MAX_CLOCK_DIFFERENCE {
                return Err(OpenError::IssuedInFuture { id, ahead });
            }
        }

        let not_before = self
            .time(Claim::NotBefore, self.not_before)
            .map_err(&unusable)?;
        let wait = not_before.unwrap_or_default().saturating_sub(now);
        if !wait.is_zero() {
            return Err(OpenError::NotYetValid { id, wait });
        }

        if !self.is_for(host).map_err(&unusable)? {
            return Err(OpenError::WrongHost { id });
        }

        let expires_at = SystemTime::UNIX_EPOCH.checked_add(expiry);
        Ok(Times {
            expires_at: expires_at
                .ok_or_else(|| unusable(ClaimsFault::Invalid(Claim::Expiry.name())))?,
            issued_at: issued_at.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)),
        })
    }

    fn time(
        &self,
        claim: Claim,
        seconds: Option<Seconds>,
    ) -> Result<Option<Duration>, ClaimsFault> {
        match seconds.map(|seconds| seconds.since_epoch(self.version)) {
            None => Ok(None),
            Some(Some(since)) => Ok(Some(since)),
            Some(None) => Err(ClaimsFault::Invalid(claim.name())),
        }
    }

    fn is_for(&self, host: &Host) -> Result<bool, ClaimsFault> {
        match self.version {
            Version::V2 => {
                let audience = self
                    .audience
                    .as_deref()
                    .ok_or(ClaimsFault::Missing(Claim::Audience.name()))?;
                Ok(audience == host.as_str())
            }
            Version::Original => {
                let subject = self
                    .subject
                    .as_deref()
                    .ok_or(ClaimsFault::Missing(Claim::Subject.name()))?;
                let name = subject.strip_suffix(ORIGINAL_SUBJECT_END);
                Ok(name
                    .and_then(|name| Host::parse(name).ok())
                    .is_some_and(|sealed| sealed == *host))
            }
        }
    }
}
