//! The authenticate stage: opens the key, or takes the caller's own secret.

use std::{collections::BTreeMap, time::SystemTime};

use aisbreaker_api::{ServiceId, ServicePattern};
use aisbreaker_services::{Credentials, SealedSecret};
use aisbreaker_token::{Grant, Host, KeyId, OpenError, Opened, PREFIX, RequestQuotas};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{config::Config, parse::Authorization};

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

/// A caller who is known.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) key: Option<Key>,
    pub(crate) credentials: Credentials,
    /// Other names of models, and the service ids that they stand for.
    pub(crate) model_aliases: BTreeMap<String, String>,
}

impl Caller {
    fn without_key(credentials: Credentials) -> Self {
        Self {
            key: None,
            credentials,
            model_aliases: BTreeMap::new(),
        }
    }
}

/// What of an opened key is no secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) quotas: Option<RequestQuotas>,
    pub(crate) expires_at: SystemTime,
}

/// Whether this bearer value is meant to be one of our keys; anything else is the secret of a
/// service.
///
/// A key in quotes or behind a second `Bearer`, as it comes of mistakes in shells, is not valid; it
/// must not reach a provider either. Secrets in which the prefix continues a word, such as
/// `sk-aisbreaker_x`, are none of our keys.
pub(crate) fn is_key(bearer: &str) -> bool {
    if bearer.starts_with(PREFIX) {
        return true;
    }
    let continues_a_word = |before: &str| {
        before
            .chars()
            .next_back()
            .is_some_and(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    bearer.match_indices(PREFIX).any(|(at, _)| {
        bearer
            .get(..at)
            .is_some_and(|before| !continues_a_word(before))
    })
}

/// Finds out who calls.
pub(crate) fn authenticate(
    authorization: Authorization,
    host: &Host,
    config: &Config,
    now: SystemTime,
) -> Result<Caller, AuthFault> {
    match authorization {
        Authorization::Unusable => Err(AuthFault::NotBearer),
        Authorization::Bearer(bearer) if is_key(bearer.expose_secret()) => {
            let grant = open(&bearer, host, config, now).map_err(AuthFault::BadKey)?;
            use_grant(grant, Some(bearer))
        }
        Authorization::Bearer(secret) => Ok(Caller::without_key(Credentials::Caller(secret))),
        Authorization::Entrusted(bearer) if is_key(bearer.expose_secret()) => use_grant(
            open(&bearer, host, config, now).map_err(AuthFault::BadKey)?,
            None,
        ),
        Authorization::Entrusted(secret) => Ok(Caller::without_key(entrusted(secret)?)),
        Authorization::Absent => match &config.default_key {
            None => Ok(Caller::without_key(Credentials::None)),
            Some(key) => {
                let grant = open(key, host, config, now).map_err(AuthFault::BadDefaultKey)?;
                use_grant(grant, None)
            }
        },
    }
}

/// The credentials of a call that does not know its own secret: it is for whatever is called, at
/// the service's own address and nowhere else.
fn entrusted(secret: SecretString) -> Result<Credentials, AuthFault> {
    let everything = ServicePattern::parse("").map_err(|_fault| AuthFault::BadPattern)?;
    let secrets = vec![SealedSecret::new(everything, secret, Vec::new())];
    Ok(Credentials::Sealed {
        secrets,
        bearer: None,
    })
}

fn open(
    key: &SecretString,
    host: &Host,
    config: &Config,
    now: SystemTime,
) -> Result<Opened<Grant>, OpenError> {
    config.keys.open::<Grant>(key.expose_secret(), host, now)
}

fn use_grant(opened: Opened<Grant>, bearer: Option<SecretString>) -> Result<Caller, AuthFault> {
    let (id, expires_at) = (opened.id(), opened.expires_at());
    let grant = opened.into_payload();
    let secrets = grant
        .service_secrets
        .into_iter()
        .map(|entry| {
            let pattern =
                ServicePattern::parse(entry.service_id).map_err(|_fault| AuthFault::BadPattern)?;
            let fallback = entry
                .fallback
                .into_iter()
                .map(ServiceId::parse)
                .collect::<Result<_, _>>();
            let fallback = fallback.map_err(|_fault| AuthFault::BadPattern)?;
            Ok(SealedSecret::new(pattern, entry.auth_secret, entry.url).with_fallback(fallback))
        })
        .collect::<Result<_, _>>()?;
    Ok(Caller {
        key: Some(Key {
            id,
            quotas: grant.request_quotas,
            expires_at,
        }),
        credentials: Credentials::Sealed { secrets, bearer },
        model_aliases: grant.model_aliases,
    })
}

#[cfg(test)]
mod tests {
    use aisbreaker_token::{KeyRing, ServerKey};
    use http::HeaderMap;
    use serde_json::json;

    use super::*;
    use crate::mint;

    #[test]
    fn a_mangled_key_is_still_no_secret_of_a_provider() {
        let keys = [
            "aisbreaker_x",
            "\"aisbreaker_x\"",
            "'aisbreaker_x",
            "`aisbreaker_x`",
            "\u{feff}aisbreaker_x",
        ];
        let behind = [
            "Bearer aisbreaker_x",
            "Bearer Bearer aisbreaker_x",
            "token=aisbreaker_x",
            "a b aisbreaker_x",
        ];
        for key in keys.into_iter().chain(behind) {
            assert!(is_key(key), "{key}");
        }
        for secret in [
            "sk-aisbreaker_x",
            "x_aisbreaker_x",
            "AISBREAKER_x",
            "aisbreaker",
            "",
            "Bearer",
            "Bearer sk-x",
        ] {
            assert!(!is_key(secret), "{secret}");
        }
    }

    /// All that is known of a request on its way, with its secrets.
    #[test]
    fn debug_output_shows_no_piece_of_a_secret() {
        const BEARER: &str = "Fk7wZq3nXv9tRm2bLc8yJd6hPs4g";
        const SEALED: &str = "Nz5xGt8kWp2vQb7mHc4jYr9dLf3s";
        const DEFAULT: &str = "aisbreaker_Tb6mWx9qVn3zKc8rJh5yGd2fPl7s";
        let mut config = Config::new(KeyRing::new(ServerKey::from_bytes([7; 32])));
        config.default_key = Some(DEFAULT.into());
        let host = Host::parse("a.example").unwrap();
        let body = json!({"serviceSecrets": [{"serviceId": "chat:dummy", "authSecret": SEALED}, {"serviceId": "",
            "authSecret": SEALED, "unknown": SEALED}], "clientSecret": SEALED});
        let body =
            json!({"requestAuthAndQuotas": body, "clientSecret": SEALED, "clientId": SEALED})
                .to_string();
        let mint = mint::parse(body.as_bytes(), config.max_expiration).unwrap();
        let refused = mint::parse(
            body.replace("s3g", "\\n").replace("Lf3s", "\\n").as_bytes(),
            config.max_expiration,
        );
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000);
        let (_, minted) = mint::seal(&mint, &HeaderMap::new(), &host, &config, now).unwrap();
        let key = config
            .keys
            .seal(
                &json!({"serviceSecrets": [{"serviceId": "", "authSecret": SEALED}]}),
                &host,
                now,
                config.max_expiration,
            )
            .unwrap();
        let bearer = |bearer: &str| Authorization::Bearer(bearer.into());
        let bad = authenticate(bearer(DEFAULT), &host, &config, now);
        let rows = [
            ("Config", format!("{config:#?}")),
            ("MintRequest", format!("{mint:#?}")),
            ("a refused MintRequest", format!("{refused:#?}")),
            ("its answer", format!("{minted:#?}")),
            (
                "Authorization",
                format!(
                    "{:#?} {:#?}",
                    bearer(BEARER),
                    Authorization::Entrusted(key.expose().into())
                ),
            ),
            (
                "Caller",
                format!(
                    "{:#?}",
                    authenticate(bearer(BEARER), &host, &config, now).unwrap()
                ),
            ),
            (
                "Caller with a key",
                format!(
                    "{:#?}",
                    authenticate(bearer(key.expose()), &host, &config, now).unwrap()
                ),
            ),
            ("AuthFault", format!("{bad:#?}")),
        ];
        let key = &key.expose()[PREFIX.len() + 112..];
        for (row, shown) in rows {
            for secret in [BEARER, SEALED, &DEFAULT[PREFIX.len()..], key] {
                for piece in secret.as_bytes().windows(12) {
                    let piece = str::from_utf8(piece).unwrap();
                    assert!(!shown.contains(piece), "{row}: {piece} in {shown}");
                }
            }
            assert!(!shown.is_empty(), "{row}");
        }
    }
}
