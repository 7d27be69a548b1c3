//! The secrets of a caller, and which of them a service gets.
//!
//! A secret out of a sealed key is bound: it may be sent to the origins that its entry names (or to
//! the service's own), and nowhere else. A secret that the caller itself sent may go where the
//! caller says.

mod restrictions;

use aisbreaker_api::{ServiceId, ServicePattern};
use aisbreaker_egress::UrlSource;
use secrecy::{ExposeSecret, SecretString};

pub use self::restrictions::{Allowance, ServiceRestrictions};

/// The secret of an entry that blocks its services if they need a secret.
const INVALID: &str = "INVALID";
/// The secret of an entry that stands for the bearer value of the request.
const CALLERS_OWN: &str = "{{secret}}";

/// All secrets that came with one request.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the three ways in which a request can be authorised"
)]
pub enum Credentials {
    /// No secret.
    None,
    /// A secret of the caller's own, for every service.
    Caller(SecretString),
    /// The secrets of a sealed key, which the caller sent or the server has as its default.
    Sealed {
        /// The secrets in the order of the key.
        secrets: Vec<SealedSecret>,
        /// The bearer value that the caller sent; `None` with the server's default key.
        bearer: Option<SecretString>,
        /// The services that the key is restricted to.
        restrictions: ServiceRestrictions,
        /// Whether the URLs in the key may lead where only the operator's exceptions allow: not
        /// if anybody could have sealed them.
        url_source: UrlSource,
    },
}

/// One secret of a sealed key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SealedSecret {
    /// The services that it is for.
    pub pattern: ServicePattern,
    /// The secret, `""`, `INVALID` or `{{secret}}`.
    pub secret: SecretString,
    /// The URLs that it may be sent to, the default first; if empty, the service's own.
    pub urls: Vec<String>,
    /// The services to call, one after the other, when this one fails.
    pub fallback: Vec<ServiceId>,
}

impl SealedSecret {
    /// Creates a secret for the services that `pattern` matches, bound to the origins of `urls`.
    #[must_use]
    pub fn new(pattern: ServicePattern, secret: SecretString, urls: Vec<String>) -> Self {
        Self {
            pattern,
            secret,
            urls,
            fallback: Vec::new(),
        }
    }

    /// Sets the services to call when this one fails.
    #[must_use]
    pub fn with_fallback(mut self, fallback: Vec<ServiceId>) -> Self {
        self.fallback = fallback;
        self
    }

    /// Returns whether the entry stands for the bearer value of the request.
    #[must_use]
    pub fn is_callers_own(&self) -> bool {
        self.secret.expose_secret() == CALLERS_OWN
    }

    /// Returns whether the entry blocks its services.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.secret.expose_secret() == INVALID
    }
}

/// The secret that one service gets.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "every service must decide each case"
)]
pub enum Credential<'a> {
    /// No secret.
    None,
    /// No secret, and a service that needs one must refuse the call.
    Blocked,
    /// A secret that the caller knows; it may go where the caller says.
    Unbound(&'a SecretString),
    /// A sealed secret; it may go to the origins of `urls` (if empty, to the service's own), and
    /// nowhere else.
    Bound {
        /// The secret.
        secret: &'a SecretString,
        /// The URLs that it may be sent to.
        urls: &'a [String],
    },
}

impl Credentials {
    /// Returns the secret for the service with this id. The first entry whose pattern matches
    /// decides.
    #[must_use]
    pub fn for_service(&self, id: &ServiceId) -> Credential<'_> {
        self.find(id).0
    }

    /// Returns the URLs that the key names for the service with this id, the default first, and
    /// who chose them.
    pub(crate) fn urls_for(&self, id: &ServiceId) -> (&[String], UrlSource) {
        let (_, urls, source) = self.find(id);
        (urls, source)
    }

    /// Returns the secret for the service with this id, and the URLs that the key names for it with
    /// who chose them.
    pub(crate) fn find(&self, id: &ServiceId) -> (Credential<'_>, &[String], UrlSource) {
        let (secrets, bearer, url_source) = match self {
            Self::None => return (Credential::None, &[], UrlSource::Untrusted),
            Self::Caller(secret) => {
                return (Credential::Unbound(secret), &[], UrlSource::Untrusted);
            }
            Self::Sealed {
                secrets,
                bearer,
                url_source,
                ..
            } => (secrets, bearer, *url_source),
        };
        let Some(entry) = first_match(secrets, id) else {
            return (Credential::None, &[], url_source);
        };
        let credential = match (entry.secret.expose_secret(), bearer) {
            ("", _) | (CALLERS_OWN, None) => Credential::None,
            (INVALID, _) => Credential::Blocked,
            (CALLERS_OWN, Some(bearer)) => Credential::Unbound(bearer),
            _ => Credential::Bound {
                secret: &entry.secret,
                urls: &entry.urls,
            },
        };
        (credential, &entry.urls, url_source)
    }

    /// Returns the URL that the key names for the service with this id.
    #[must_use]
    pub fn url_for(&self, id: &ServiceId) -> Option<&str> {
        self.entry(id)?.urls.first().map(String::as_str)
    }

    /// Returns whether there are services to call when another one fails.
    pub(crate) fn has_fallbacks(&self) -> bool {
        match self {
            Self::None | Self::Caller(_) => false,
            Self::Sealed { secrets, .. } => secrets.iter().any(|entry| !entry.fallback.is_empty()),
        }
    }

    /// Returns the services to call, one after the other, when the one with this id fails.
    #[must_use]
    pub fn fallback_for(&self, id: &ServiceId) -> &[ServiceId] {
        // Most keys have none at all.
        if !self.has_fallbacks() {
            return &[];
        }
        match self.entry(id) {
            Some(entry) => &entry.fallback,
            None => &[],
        }
    }

    /// Returns the services that the key is restricted to; `None` if it has no such restriction.
    #[must_use]
    pub fn restrictions(&self) -> Option<&ServiceRestrictions> {
        match self {
            Self::None | Self::Caller(_) => None,
            Self::Sealed { restrictions, .. } if restrictions.is_empty() => None,
            Self::Sealed { restrictions, .. } => Some(restrictions),
        }
    }

    /// Returns whether the key's entry for this service names this very URL.
    pub(crate) fn names_url(&self, id: &ServiceId, url: &str) -> bool {
        let entry = self.entry(id);
        entry.is_some_and(|entry| entry.urls.iter().any(|named| named == url))
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
            restrictions: ServiceRestrictions::default(),
            url_source: UrlSource::Trusted,
        }
    }

    fn describe(credential: Credential<'_>) -> String {
        match credential {
            Credential::None => "none".to_owned(),
            Credential::Blocked => "blocked".to_owned(),
            Credential::Unbound(secret) => format!("unbound {}", secret.expose_secret()),
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
            ("aisbreaker:network", "unbound key"),
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
    fn the_callers_own_secret_is_none_with_the_servers_default_key() {
        let credentials = sealed(&[("", "{{secret}}")], None);
        assert_eq!(
            describe(credentials.for_service(&ServiceId::parse("chat:openai.com").unwrap())),
            "none"
        );
    }
}
