//! The authenticate stage: opens the key, or takes the caller's own secret.

use std::time::SystemTime;

use aisbreaker_api::{ProcessCall, ServicePattern};
use aisbreaker_services::{Credentials, SealedSecret};
use aisbreaker_token::{Grant, Host, KeyId, OpenError, PREFIX, RequestQuotas};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    config::Config,
    parse::{Authorization, Head, Parsed},
};

/// Why a caller is not known.
#[derive(Debug)]
pub(crate) enum AuthFault {
    /// The key does not open here and now.
    BadKey(OpenError),
    /// The server's default key does not open here and now.
    BadDefaultKey(OpenError),
    /// The key names services that cannot be.
    BadPattern,
    /// Another scheme than `Bearer`, or no value.
    NotBearer,
}

/// A call whose caller is known.
#[derive(Debug)]
pub(crate) struct Authenticated {
    pub(crate) head: Head,
    pub(crate) hops: u8,
    pub(crate) call: ProcessCall,
    pub(crate) key: Option<Key>,
    pub(crate) credentials: Credentials,
}

/// What of an opened key quotas depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) quotas: Option<RequestQuotas>,
}

/// Whether this bearer value is meant to be one of our keys; anything else is the secret of a service.
///
/// A key in quotes or behind a second `Bearer`, as it comes of mistakes in shells, is not valid; it must not reach a
/// provider either. Secrets in which the prefix continues a word, such as `sk-aisbreaker_x`, are none of our keys.
fn is_key(bearer: &str) -> bool {
    let continues_a_word = |before: &str| {
        before.chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    bearer
        .match_indices(PREFIX)
        .any(|(at, _)| bearer.get(..at).is_some_and(|before| !continues_a_word(before)))
}

/// Finds out who calls.
pub(crate) fn authenticate(
    parsed: Parsed,
    config: &Config,
    now: SystemTime,
) -> Result<Authenticated, AuthFault> {
    let Parsed { head, authorization, hops, call } = parsed;
    let (key, credentials) = match authorization {
        Authorization::Unusable => return Err(AuthFault::NotBearer),
        Authorization::Bearer(bearer) if is_key(bearer.expose_secret()) => {
            let grant = open(&bearer, &head.host, config, now).map_err(AuthFault::BadKey)?;
            use_grant(grant, Some(bearer))?
        }
        Authorization::Bearer(secret) => (None, Credentials::Caller(secret)),
        Authorization::Entrusted(bearer) if is_key(bearer.expose_secret()) => {
            use_grant(open(&bearer, &head.host, config, now).map_err(AuthFault::BadKey)?, None)?
        }
        Authorization::Entrusted(secret) => (None, entrusted(secret)?),
        Authorization::Absent => match &config.default_key {
            None => (None, Credentials::None),
            Some(key) => {
                let grant = open(key, &head.host, config, now).map_err(AuthFault::BadDefaultKey)?;
                use_grant(grant, None)?
            }
        },
    };
    Ok(Authenticated { head, hops, call, key, credentials })
}

/// The credentials of a call that does not know its own secret: it is for whatever is called, at the service's own
/// address and nowhere else.
fn entrusted(secret: SecretString) -> Result<Credentials, AuthFault> {
    let everything = ServicePattern::parse("").map_err(|_fault| AuthFault::BadPattern)?;
    let secrets = vec![SealedSecret::new(everything, secret, Vec::new())];
    Ok(Credentials::Sealed { secrets, bearer: None })
}

fn open(
    key: &SecretString,
    host: &Host,
    config: &Config,
    now: SystemTime,
) -> Result<(KeyId, Grant), OpenError> {
    let opened = config.keys.open::<Grant>(key.expose_secret(), host, now)?;
    Ok((opened.id(), opened.into_payload()))
}

fn use_grant(
    (id, grant): (KeyId, Grant),
    bearer: Option<SecretString>,
) -> Result<(Option<Key>, Credentials), AuthFault> {
    let secrets = grant
        .service_secrets
        .into_iter()
        .map(|entry| {
            let pattern = ServicePattern::parse(&entry.service_id).map_err(|_fault| AuthFault::BadPattern)?;
            Ok(SealedSecret::new(pattern, entry.auth_secret, entry.url))
        })
        .collect::<Result<_, _>>()?;
    Ok((Some(Key { id, quotas: grant.request_quotas }), Credentials::Sealed { secrets, bearer }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mangled_key_is_still_no_secret_of_a_provider() {
        let keys =
            ["aisbreaker_x", "\"aisbreaker_x\"", "'aisbreaker_x", "`aisbreaker_x`", "\u{feff}aisbreaker_x"];
        let behind =
            ["Bearer aisbreaker_x", "Bearer Bearer aisbreaker_x", "token=aisbreaker_x", "a b aisbreaker_x"];
        for key in keys.into_iter().chain(behind) {
            assert!(is_key(key), "{key}");
        }
        for secret in
            ["sk-aisbreaker_x", "x_aisbreaker_x", "AISBREAKER_x", "aisbreaker", "", "Bearer", "Bearer sk-x"]
        {
            assert!(!is_key(secret), "{secret}");
        }
    }
}
