//! What every grant must keep to: those that this server seals, and those that were sealed offline.
//!
//! Minting checks a grant before it seals it. Anyone with the server's public key can seal one too,
//! so the same checks are made again when such a key is opened.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aisbreaker_api::{InvalidRequest, ServiceId, ServiceUrl};
use aisbreaker_egress::{Refusal, UrlSource};
use aisbreaker_services::Relay;
use aisbreaker_token::{Grant, KeyRing, Opened, ServiceSecret};
use http::{HeaderMap, Uri};

use super::{mint_error::MintError, mint_request, policy::MintPolicy};

mod own_keys;

/// What a grant must keep to.
#[derive(Clone, Debug)]
pub(crate) struct GrantRules {
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) policy: MintPolicy,
    pub(crate) max_lifetime: Duration,
    /// Where services are called. `None`: not known, so URLs are judged when they are called.
    pub(crate) relay: Option<Relay>,
}

/// Why minting would not have sealed a key that was sealed offline. For the log only.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuleBroken {
    #[error("offline key lacks the secret of those who may mint")]
    UnknownSealer,
    #[error("offline key is valid for longer than this server allows")]
    TooLong,
    #[error("offline key holds what minting refuses: {0}")]
    Grant(InvalidRequest),
    #[error("offline key holds what minting refuses: serviceSecrets[{index}] is not allowed")]
    ForbiddenService { index: usize },
    #[error("offline key holds what minting refuses: serviceSecrets[{index}].url is not allowed")]
    ForbiddenUrl { index: usize },
}

impl GrantRules {
    /// Checks what a request for a key asks to be sealed, which is well formed.
    ///
    /// Both minting and the opening of offline keys call this: a check that belongs to both has its
    /// place here, and one of the form of a request in [`MintRequest`](mint_request::MintRequest).
    ///
    /// # Errors
    /// The first rule that it breaks; no error repeats a part of it.
    pub(crate) fn check(&self, grant: &Grant) -> Result<(), MintError> {
        self.policy.check_services(grant)?;
        self.check_urls(grant)?;
        own_keys::refuse(&self.keys, grant)?;
        Ok(())
    }

    /// Checks a key that was sealed offline, without what it has from a parent.
    ///
    /// A key that is nested in another one seals nothing: it narrows, which anyone may who has that
    /// key, and for as long as it lives.
    pub(crate) fn check_opened(&self, key: &Opened<Grant>) -> Result<(), RuleBroken> {
        mint_request::check_grant(key.payload()).map_err(RuleBroken::Grant)?;
        if key.is_nested() {
            return Ok(());
        }
        let no_headers = HeaderMap::new();
        self.policy.check_caller(&no_headers, key.client_secret())?;
        if !is_within(key.issued_at(), key.expires_at(), self.max_lifetime) {
            return Err(RuleBroken::TooLong);
        }
        Ok(self.check(key.payload())?)
    }

    /// Refuses URLs that the operator's exceptions would allow, but not to those who sealed them.
    /// A name that only resolves to such an address is refused when it is called.
    fn check_urls(&self, grant: &Grant) -> Result<(), MintError> {
        for (index, entry) in grant.service_secrets.iter().enumerate() {
            if entry.url.iter().any(|url| self.opens_exception(entry, url)) {
                return Err(MintError::ForbiddenUrl { index });
            }
        }
        Ok(())
    }

    fn opens_exception(&self, entry: &ServiceSecret, url: &str) -> bool {
        self.refusal_of(url, UrlSource::Trusted).is_none() && self.refusal(entry, url).is_some()
    }

    /// Returns why no call to a URL of an entry will be made, as far as its text shows it.
    pub(crate) fn refusal(&self, entry: &ServiceSecret, url: &str) -> Option<Refusal> {
        self.refusal_of(url, self.url_source(entry, url))
    }

    fn refusal_of(&self, url: &str, source: UrlSource) -> Option<Refusal> {
        let policy = self.relay.as_ref()?.egress_policy();
        match origin_of(url) {
            Some(origin) => policy.check_url(&origin, source).err(),
            None => Some(Refusal::InvalidUrl),
        }
    }

    /// Returns who chose a URL of an entry: the operator, if the service is at this origin by
    /// itself.
    fn url_source(&self, entry: &ServiceSecret, url: &str) -> UrlSource {
        let is_operators = self.relay.as_ref().is_some_and(|relay| {
            let (Ok(id), Ok(url)) = (
                ServiceId::parse(entry.service_id.as_str()),
                ServiceUrl::parse_base(url),
            ) else {
                return false;
            };
            relay.has_origin(&id, url.origin())
        });
        if is_operators {
            UrlSource::Trusted
        } else {
            self.policy.url_source()
        }
    }
}

fn is_within(issued_at: Option<SystemTime>, expires_at: SystemTime, maximum: Duration) -> bool {
    let Some(issued_at) = issued_at else {
        return false;
    };
    expires_at
        .duration_since(issued_at)
        .is_ok_and(|lifetime| lifetime <= maximum)
}

impl From<MintError> for RuleBroken {
    fn from(error: MintError) -> Self {
        match error {
            MintError::UnknownClient => Self::UnknownSealer,
            MintError::ForbiddenService { index } => Self::ForbiddenService { index },
            MintError::ForbiddenUrl { index } => Self::ForbiddenUrl { index },
            MintError::Request(invalid) => Self::Grant(invalid),
            // Not expected: these are of sealing.
            MintError::TooLong { .. } | MintError::Internal(_) => Self::TooLong,
        }
    }
}

/// Returns the origin of a base URL, which may have placeholders in its path.
fn origin_of(url: &str) -> Option<Uri> {
    let url = ServiceUrl::parse_base(url).ok()?;
    url.origin().to_string().parse().ok()
}
