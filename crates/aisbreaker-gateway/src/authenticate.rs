//! The authenticate stage: opens the key of a request, or takes the caller's own secret.

pub(crate) mod offline;

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use aisbreaker_api::{ServiceId, ServicePattern};
use aisbreaker_egress::UrlSource;
use aisbreaker_services::{Credentials, SealedSecret, ServiceRestrictions};
use aisbreaker_token::{
    Grant, Host, KeyRing, ModelAlias, OpenError, Opened, ServiceSecret, delegation,
};
use secrecy::{ExposeSecret as _, SecretString};

use self::offline::OfflineFailures;
use crate::{
    api::token::{
        grant_rules::{GrantRules, RuleBroken},
        reach::Reach,
    },
    opened_key::Key,
    request::credentials::{Authorization, is_key},
    restrictions::{self, InvalidRestriction, Restrictions},
    revocation::Revoked,
};

/// Why a caller is not known.
#[derive(Debug)]
pub(crate) enum AuthenticationError {
    /// The key does not open here and now.
    InvalidKey(OpenError),
    /// The key was sealed offline, and minting would have refused to seal it.
    RuleBroken(RuleBroken),
    /// The key was sealed offline, and too many such keys of this client did not open.
    TooManyFailures,
    /// The key opens, but is revoked.
    Revoked(Revoked),
    /// The server's default key may not be used, for this reason.
    DefaultKey(Box<Self>),
    /// The key holds a service id that is not one.
    InvalidServiceId,
    /// The key holds a restriction that is not understood.
    InvalidRestriction(InvalidRestriction),
    /// Another scheme than `Bearer`, or no value.
    NotBearer,
    /// The caller has no key, and this server requires one.
    KeyRequired,
}

/// Opens keys.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) keys: Arc<KeyRing>,
    /// The key of requests without credentials.
    pub(crate) default_key: Option<SecretString>,
    /// What keys that were sealed offline must keep to.
    pub(crate) rules: Arc<GrantRules>,
    /// Whether callers without a key are refused.
    pub(crate) requires_key: bool,
    /// Who chose the URLs in the keys of callers: anybody if anybody may mint.
    pub(crate) sealed_urls: UrlSource,
}

/// A caller who is known, and what it may use.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) key: Option<Key>,
    /// Whether that is the server's default key.
    pub(crate) is_default: bool,
    pub(crate) credentials: Credentials,
    /// Other names of models, and what they stand for.
    pub(crate) model_aliases: BTreeMap<String, ModelAlias>,
    /// What the key may not be used for. `services` is in `credentials`.
    pub(crate) restrictions: Restrictions,
}

impl Authenticator {
    /// Authenticates a request to this host.
    pub(crate) fn authenticate(
        &self,
        authorization: Authorization<'_>,
        host: &Host,
        now: SystemTime,
        failures: OfflineFailures<'_>,
    ) -> Result<Caller, AuthenticationError> {
        match authorization {
            Authorization::Unusable => Err(AuthenticationError::NotBearer),
            Authorization::Bearer(bearer) if is_key(bearer.expose()) => {
                let opened = self.open(bearer.expose(), host, now, failures)?;
                Caller::with_key(opened, Some(bearer.expose()), self.sealed_urls)
            }
            Authorization::Bearer(secret) => {
                let credentials = Credentials::Caller(secret.expose().into());
                Ok(Caller::without_key(credentials))
            }
            Authorization::Entrusted(bearer) if is_key(bearer.expose()) => {
                let opened = self.open(bearer.expose(), host, now, failures)?;
                Caller::with_key(opened, None, self.sealed_urls)
            }
            Authorization::Entrusted(secret) => {
                entrusted(secret.expose().into()).map(Caller::without_key)
            }
            Authorization::Absent => self.default_caller(host, now),
        }
    }

    /// Checks that a caller has a key, if this server requires one. The default key is one.
    pub(crate) fn check_key(&self, caller: &Caller) -> Result<(), AuthenticationError> {
        if self.requires_key && caller.key.is_none() {
            return Err(AuthenticationError::KeyRequired);
        }
        Ok(())
    }

    /// Opens a key that a client sent, and checks what its kind of key must keep to.
    pub(crate) fn open(
        &self,
        key: &str,
        host: &Host,
        now: SystemTime,
        failures: OfflineFailures<'_>,
    ) -> Result<Opened<Grant>, AuthenticationError> {
        let keys = &*self.keys;
        if keys.takes_key_agreement(key) {
            failures.limit(|| self.open_unlimited(keys, key, host, now))
        } else {
            self.open_unlimited(keys, key, host, now)
        }
    }

    fn open_unlimited(
        &self,
        keys: &KeyRing,
        key: &str,
        host: &Host,
        now: SystemTime,
    ) -> Result<Opened<Grant>, AuthenticationError> {
        // Anyone may have sealed an offline key, and minting never saw what is in it.
        let check = |key: &Opened<Grant>| Ok(self.rules.check_opened(key)?);
        keys.open_grant_with(key, host, now, check)
    }

    fn default_caller(&self, host: &Host, now: SystemTime) -> Result<Caller, AuthenticationError> {
        let Some(key) = &self.default_key else {
            return Ok(Caller::without_key(Credentials::None));
        };
        match self.open_unlimited(&self.keys, key.expose_secret(), host, now) {
            // The operator configured this key, whoever may mint.
            Ok(opened) => {
                let caller = Caller::with_key(opened, None, UrlSource::Trusted);
                caller.map(|caller| Caller {
                    is_default: true,
                    ..caller
                })
            }
            Err(error) => Err(error),
        }
        .map_err(|error| AuthenticationError::DefaultKey(Box::new(error)))
    }
}

impl From<OpenError> for AuthenticationError {
    fn from(error: OpenError) -> Self {
        Self::InvalidKey(error)
    }
}

impl From<RuleBroken> for AuthenticationError {
    fn from(broken: RuleBroken) -> Self {
        Self::RuleBroken(broken)
    }
}

impl Caller {
    /// Returns whether the key has budgets, or one that it was made from.
    pub(crate) fn has_budgets(&self) -> bool {
        let Some(key) = &self.key else {
            return false;
        };
        let mut ancestors = key.ancestors.iter();
        key.budgets.is_some() || ancestors.any(|ancestor| ancestor.budgets.is_some())
    }

    /// Returns the error of a caller whose key is revoked.
    pub(crate) fn refuse(&self, revoked: Revoked) -> AuthenticationError {
        let error = AuthenticationError::Revoked(revoked);
        if self.is_default {
            AuthenticationError::DefaultKey(Box::new(error))
        } else {
            error
        }
    }

    fn without_key(credentials: Credentials) -> Self {
        Self {
            key: None,
            is_default: false,
            credentials,
            model_aliases: BTreeMap::new(),
            restrictions: Restrictions::default(),
        }
    }

    /// `bearer` is what `{{secret}}` stands for: the key itself, if the caller sent it.
    fn with_key(
        opened: Opened<Grant>,
        bearer: Option<&str>,
        url_source: UrlSource,
    ) -> Result<Self, AuthenticationError> {
        let (id, issued_at) = (opened.id(), opened.issued_at());
        let expires_at = opened.expires_at();
        let is_nested = opened.is_nested();
        let mut grant = opened.into_payload();
        if is_nested {
            // As the exchange leaves out what a child cannot use.
            let reach = Reach::new(&grant.restrict);
            delegation::retain_usable(&mut grant, |_, part| reach.includes(part));
        }
        // Collects in place, without an allocation.
        let secrets: Result<Vec<_>, _> = grant
            .service_secrets
            .into_iter()
            .map(sealed_secret)
            .collect();
        let secrets = secrets?;
        // Copied only if an entry asks for it.
        let names_bearer = secrets.iter().any(SealedSecret::is_callers_own);
        let bearer = bearer
            .filter(|_bearer| names_bearer)
            .map(SecretString::from);
        let (restrictions, services) = Restrictions::parse(&grant.restrict)
            .map_err(AuthenticationError::InvalidRestriction)?;
        Ok(Self {
            key: Some(Key {
                id,
                name: grant.name,
                quotas: grant.request_quotas,
                budgets: grant.budgets,
                issued_at,
                expires_at,
                ancestors: grant.ancestors,
            }),
            is_default: false,
            credentials: Credentials::Sealed {
                secrets,
                bearer,
                restrictions: services,
                url_source,
            },
            model_aliases: grant.model_aliases,
            restrictions,
        })
    }
}

/// Checks that a key could be used: what [`Caller`] takes from its grant is understood.
pub(crate) fn check_usable(grant: &Grant) -> Result<(), AuthenticationError> {
    for entry in &grant.service_secrets {
        let is_id = |id: &String| ServiceId::parse(&**id).is_ok();
        if ServicePattern::parse(&*entry.service_id).is_err() || !entry.fallback.iter().all(is_id) {
            return Err(AuthenticationError::InvalidServiceId);
        }
    }
    for restriction in &grant.restrict {
        restrictions::check(restriction).map_err(AuthenticationError::InvalidRestriction)?;
    }
    Ok(())
}

// Else a list of the ones would not become a list of the others in place.
const _: () = assert!(size_of::<SealedSecret>() <= size_of::<ServiceSecret>());

fn sealed_secret(entry: ServiceSecret) -> Result<SealedSecret, AuthenticationError> {
    let invalid = |_invalid| AuthenticationError::InvalidServiceId;
    let pattern = ServicePattern::parse(entry.service_id).map_err(invalid)?;
    let mut secret = SealedSecret::new(pattern, entry.auth_secret, entry.url);
    // Most entries have none.
    if !entry.fallback.is_empty() {
        let ids: Result<_, _> = entry.fallback.into_iter().map(ServiceId::parse).collect();
        secret.fallback = ids.map_err(invalid)?;
    }
    Ok(secret)
}

/// Returns the credentials of a call whose caller does not know the secret: it may go to whatever
/// service is called, at that service's own address and nowhere else.
fn entrusted(secret: SecretString) -> Result<Credentials, AuthenticationError> {
    let every_service =
        ServicePattern::parse("").map_err(|_never| AuthenticationError::InvalidServiceId)?;
    let secrets = vec![SealedSecret::new(every_service, secret, Vec::new())];
    Ok(Credentials::Sealed {
        secrets,
        bearer: None,
        restrictions: ServiceRestrictions::default(),
        url_source: UrlSource::Untrusted,
    })
}
