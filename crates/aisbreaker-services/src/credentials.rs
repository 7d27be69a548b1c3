//! The secrets of a caller, and which of them a service gets.
//!
//! A secret that came out of a sealed key is bound: it may be sent to the origins that its entry
//! names (or the service's own), and nowhere else. A secret that the caller itself sent may go
//! where the caller says.

use aisbreaker_api::{ServiceId, ServicePattern};
use secrecy::{ExposeSecret, SecretString};

/// The literal that a key holds for "nothing, and do not ask": services that need a secret refuse.
const INVALID: &str = "INVALID";
/// The literal that a key holds for the bearer value of the request.
const CALLERS_OWN: &str = "{{secret}}";

/// All secrets that came with one request.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the three ways in which a request can be authorised"
)]
pub enum Credentials {
    /// None at all.
    None,
    /// The caller sent a secret of its own, for whatever is called.
    Caller(SecretString),
    /// The caller sent a sealed key, or the server supplied its default one.
    Sealed {
        /// What was sealed, in order.
        secrets: Vec<SealedSecret>,
        /// The bearer value that the caller sent; `None` when the key is the server's default one.
        bearer: Option<SecretString>,
    },
}

/// One secret of a sealed key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SealedSecret {
    /// For which services it is.
    pub pattern: ServicePattern,
    /// The secret, `""`, `INVALID` or `{{secret}}`.
    pub secret: SecretString,
    /// Where it may be sent, the first being the default; empty: the service's own default.
    pub urls: Vec<String>,
    /// The services to be called, one after the other, when this one fails.
    pub fallback: Vec<ServiceId>,
}

impl SealedSecret {
    /// A secret for the services that `pattern` matches, bound to the origins of `urls`.
    #[must_use]
    pub fn new(pattern: ServicePattern, secret: SecretString, urls: Vec<String>) -> Self {
        Self {
            pattern,
            secret,
            urls,
            fallback: Vec::new(),
        }
    }

    /// The same with the services to be called when this one fails.
    #[must_use]
    pub fn with_fallback(mut self, fallback: Vec<ServiceId>) -> Self {
        self.fallback = fallback;
        self
    }

    /// Whether it says that its services must not be used.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.secret.expose_secret() == INVALID
    }
}

/// What one service gets of the caller's secrets.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "every service must decide each case"
)]
pub enum Credential<'a> {
    /// No secret.
    None,
    /// The key says that this service must not be used with a secret.
    Blocked,
    /// A secret that the caller knows; it may go where the caller says.
    Free(&'a SecretString),
    /// A sealed secret; it may go to the origins of `urls` (the service's own where empty) and
    /// nowhere else.
    Bound {
        /// The secret.
        secret: &'a SecretString,
        /// Where it may be sent.
        urls: &'a [String],
    },
}

impl Credentials {
    /// What the service with this id gets: the first entry whose pattern matches decides.
    #[must_use]
    pub fn for_service(&self, id: &ServiceId) -> Credential<'_> {
        match self {
            Self::None => Credential::None,
            Self::Caller(secret) => Credential::Free(secret),
            Self::Sealed { secrets, bearer } => {
                let Some(entry) = first_match(secrets, id) else {
                    return Credential::None;
                };
                match entry.secret.expose_secret() {
                    "" => Credential::None,
                    INVALID => Credential::Blocked,
                    CALLERS_OWN => bearer.as_ref().map_or(Credential::None, Credential::Free),
                    _ => Credential::Bound {
                        secret: &entry.secret,
                        urls: &entry.urls,
                    },
                }
            }
        }
    }

    /// The address that the key names for the service with this id.
    #[must_use]
    pub fn url_for(&self, id: &ServiceId) -> Option<&str> {
        self.entry(id)?.urls.first().map(String::as_str)
    }

    /// The services to be called, one after the other, when the one with this id fails.
    #[must_use]
    pub fn fallback_for(&self, id: &ServiceId) -> &[ServiceId] {
        self.entry(id).map_or(&[], |entry| &entry.fallback)
    }

    fn entry(&self, id: &ServiceId) -> Option<&SealedSecret> {
        match self {
            Self::None | Self::Caller(_) => None,
            Self::Sealed { secrets, .. } => first_match(secrets, id),
        }
    }
}

fn first_match<'a>(secrets: &'a [SealedSecret], id: &ServiceId) -> Option<&'a SealedSecret> {
    secrets.iter().find(|entry| entry.pattern.matches(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(entries: &[(&str, &str)], bearer: Option<&str>) -> Credentials {
        let secrets = entries
            .iter()
            .map(|(pattern, secret)| {
                SealedSecret::new(
                    ServicePattern::parse(*pattern).unwrap(),
                    (*secret).into(),
                    Vec::new(),
                )
            })
            .collect();
        Credentials::Sealed {
            secrets,
            bearer: bearer.map(Into::into),
        }
    }

    fn describe(credential: Credential<'_>) -> String {
        match credential {
            Credential::None => "none".to_owned(),
            Credential::Blocked => "blocked".to_owned(),
            Credential::Free(secret) => format!("free {}", secret.expose_secret()),
            Credential::Bound { secret, .. } => format!("bound {}", secret.expose_secret()),
        }
    }

    #[test]
    fn the_first_entry_that_matches_decides() {
        let entries = [
            ("aisbreaker:network", "{{secret}}"),
            ("chat:openai.com/gpt-4", "four"),
            ("chat:openai.com", "any"),
            ("chat:dummy", ""),
            ("", "INVALID"),
        ];
        let rows = [
            ("aisbreaker:network", "free key"),
            ("chat:openai.com/gpt-4", "bound four"),
            ("chat:openai.com/gpt-4o", "bound any"),
            ("chat:openai.community", "blocked"),
            ("chat:dummy", "none"),
            ("chat:mistral.ai", "blocked"),
        ];
        for (id, expected) in rows {
            let found =
                describe(sealed(&entries, Some("key")).for_service(&ServiceId::parse(id).unwrap()));
            assert_eq!(found, expected, "{id}");
        }
    }

    #[test]
    fn the_callers_own_secret_is_nothing_with_the_servers_default_key() {
        let credentials = sealed(&[("", "{{secret}}")], None);
        assert_eq!(
            describe(credentials.for_service(&ServiceId::parse("chat:openai.com").unwrap())),
            "none"
        );
    }
}
