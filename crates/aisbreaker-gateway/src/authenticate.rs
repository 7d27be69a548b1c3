//! The authenticate stage: opens the key of a request, or takes the caller's own secret.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use aisbreaker_api::{ServiceId, ServicePattern};
use aisbreaker_services::{Credentials, SealedSecret, ServiceRestrictions};
use aisbreaker_token::{
    Ancestor, Grant, Host, KeyId, KeyRing, OpenError, Opened, RequestQuotas, ServiceSecret,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    request::credentials::{Authorization, is_key},
    restrictions::{self, InvalidRestriction, Restrictions},
};

/// Why a caller is not known.
#[derive(Debug)]
pub(crate) enum AuthenticationError {
    /// The key does not open here and now.
    InvalidKey(OpenError),
    /// The server's default key does not open here and now.
    InvalidDefaultKey(OpenError),
    /// The key holds a service id that is not one.
    InvalidServiceId,
    /// The key holds a restriction that is not understood.
    InvalidRestriction(InvalidRestriction),
    /// Another scheme than `Bearer`, or no value.
    NotBearer,
}

/// Opens keys.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) keys: Arc<KeyRing>,
    /// The key of requests without credentials.
    pub(crate) default_key: Option<SecretString>,
}

/// A caller who is known, and what it may use.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) key: Option<Key>,
    pub(crate) credentials: Credentials,
    /// Other names of models, with the service ids that they stand for.
    pub(crate) model_aliases: BTreeMap<String, String>,
    /// What the key may not be used for. `services` is in `credentials`.
    pub(crate) restrictions: Restrictions,
}

/// The parts of an opened key that are not secret.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    /// What it is called.
    pub(crate) name: Option<String>,
    pub(crate) quotas: Option<RequestQuotas>,
    /// `None` only for a key of the original server.
    pub(crate) issued_at: Option<SystemTime>,
    pub(crate) expires_at: SystemTime,
    /// The keys that it was made from, the first of them first.
    pub(crate) ancestors: Vec<Ancestor>,
}

impl Authenticator {
    /// Authenticates a request to this host.
    pub(crate) fn authenticate(
        &self,
        authorization: Authorization,
        host: &Host,
        now: SystemTime,
    ) -> Result<Caller, AuthenticationError> {
        match authorization {
            Authorization::Unusable => Err(AuthenticationError::NotBearer),
            Authorization::Bearer(bearer) if is_key(bearer.expose_secret()) => {
                let opened = self.open(&bearer, host, now)?;
                Caller::with_key(opened, Some(bearer))
            }
            Authorization::Bearer(secret) => Ok(Caller::without_key(Credentials::Caller(secret))),
            Authorization::Entrusted(bearer) if is_key(bearer.expose_secret()) => {
                Caller::with_key(self.open(&bearer, host, now)?, None)
            }
            Authorization::Entrusted(secret) => entrusted(secret).map(Caller::without_key),
            Authorization::Absent => self.default_caller(host, now),
        }
    }

    /// Opens a key that a caller sent.
    pub(crate) fn open(
        &self,
        key: &SecretString,
        host: &Host,
        now: SystemTime,
    ) -> Result<Opened<Grant>, AuthenticationError> {
        self.keys
            .open_grant(key.expose_secret(), host, now)
            .map_err(AuthenticationError::InvalidKey)
    }

    fn default_caller(&self, host: &Host, now: SystemTime) -> Result<Caller, AuthenticationError> {
        let Some(key) = &self.default_key else {
            return Ok(Caller::without_key(Credentials::None));
        };
        let opened = self
            .keys
            .open_grant(key.expose_secret(), host, now)
            .map_err(AuthenticationError::InvalidDefaultKey)?;
        Caller::with_key(opened, None)
    }
}

impl Caller {
    fn without_key(credentials: Credentials) -> Self {
        Self {
            key: None,
            credentials,
            model_aliases: BTreeMap::new(),
            restrictions: Restrictions::default(),
        }
    }

    /// `bearer` is what `{{secret}}` stands for: the key itself, if the caller sent it.
    fn with_key(
        opened: Opened<Grant>,
        bearer: Option<SecretString>,
    ) -> Result<Self, AuthenticationError> {
        let (id, issued_at) = (opened.id(), opened.issued_at());
        let expires_at = opened.expires_at();
        let grant = opened.into_payload();
        // Collects in place, without an allocation.
        let secrets: Result<Vec<_>, _> = grant
            .service_secrets
            .into_iter()
            .map(sealed_secret)
            .collect();
        let secrets = secrets?;
        let (restrictions, services) =
            Restrictions::parse(grant.restrict).map_err(AuthenticationError::InvalidRestriction)?;
        Ok(Self {
            key: Some(Key {
                id,
                name: grant.name,
                quotas: grant.request_quotas,
                issued_at,
                expires_at,
                ancestors: grant.ancestors,
            }),
            credentials: Credentials::Sealed {
                secrets,
                bearer,
                restrictions: services,
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

fn sealed_secret(entry: ServiceSecret) -> Result<SealedSecret, AuthenticationError> {
    let invalid = AuthenticationError::InvalidServiceId;
    let Ok(pattern) = ServicePattern::parse(entry.service_id) else {
        return Err(invalid);
    };
    let fallback: Result<Vec<ServiceId>, _> =
        entry.fallback.into_iter().map(ServiceId::parse).collect();
    let Ok(fallback) = fallback else {
        return Err(invalid);
    };
    Ok(SealedSecret::new(pattern, entry.auth_secret, entry.url).with_fallback(fallback))
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
    })
}
