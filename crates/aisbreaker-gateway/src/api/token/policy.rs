//! Who may mint keys, and for which services.

use aisbreaker_api::{ServiceId, ServicePattern};
use aisbreaker_egress::UrlSource;
use aisbreaker_token::{Grant, ServiceSecret};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};

use super::mint_error::MintError;
use crate::request::basic::{constant_time_eq, has_password};

/// Who may mint keys, and for which services. By default anyone may, for any service.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MintPolicy {
    /// Required of callers, as `clientSecret` of the request or as the password of HTTP Basic
    /// authentication (RFC 6749 section 2.3.1). The client id is ignored.
    pub secret: Option<SecretString>,
    /// The services that secrets may be sealed for, matched on whole segments. `None`: all.
    pub services: Option<Vec<ServicePattern>>,
}

impl MintPolicy {
    /// Checks that the caller may mint, in constant time.
    pub(super) fn check_caller(
        &self,
        headers: &HeaderMap,
        client_secret: Option<&SecretString>,
    ) -> Result<(), MintError> {
        let Some(secret) = &self.secret else {
            return Ok(());
        };
        if let Some(given) = client_secret
            && constant_time_eq(given.expose_secret(), secret.expose_secret())
        {
            return Ok(());
        }
        if has_password(headers, secret) {
            return Ok(());
        }
        Err(MintError::UnknownClient)
    }

    /// Returns who chooses the URLs in keys: whoever may mint, which is anybody without a secret.
    pub(crate) fn url_source(&self) -> UrlSource {
        match self.secret {
            Some(_) => UrlSource::Trusted,
            None => UrlSource::Untrusted,
        }
    }

    /// Checks that every secret of the grant may be sealed. Entries without a secret, and those that
    /// block a service, always may.
    pub(super) fn check_services(&self, grant: &Grant) -> Result<(), MintError> {
        let Some(allowed) = &self.services else {
            return Ok(());
        };
        for (index, entry) in grant.service_secrets.iter().enumerate() {
            if !is_allowed(entry, allowed) {
                return Err(MintError::ForbiddenService { index });
            }
        }
        Ok(())
    }
}

fn is_allowed(entry: &ServiceSecret, allowed: &[ServicePattern]) -> bool {
    if matches!(entry.auth_secret.expose_secret(), "" | "INVALID") {
        return true;
    }
    match ServiceId::parse(&entry.service_id) {
        Ok(id) => allowed.iter().any(|pattern| pattern.matches(&id)),
        // The empty id is every service, so only the pattern for every service allows it.
        Err(_empty) => allowed.iter().any(|pattern| pattern.segment_count() == 0),
    }
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64, Encoding as _};
    use http::{HeaderValue, header::AUTHORIZATION};

    use super::*;

    fn policy() -> MintPolicy {
        MintPolicy {
            secret: Some("open+sesame: 1%".into()),
            services: None,
        }
    }

    fn basic(credentials: &str) -> HeaderMap {
        let value = format!("Basic {}", Base64::encode_string(credentials.as_bytes()));
        [(AUTHORIZATION, HeaderValue::from_str(&value).unwrap())]
            .into_iter()
            .collect()
    }

    #[test]
    fn only_the_secret_lets_a_caller_mint() {
        let none = HeaderMap::new();
        let bearer: HeaderMap = [(
            AUTHORIZATION,
            HeaderValue::from_static("Bearer open+sesame: 1%"),
        )]
        .into_iter()
        .collect();
        let rows: [(&str, HeaderMap, Option<&str>, bool); 11] = [
            ("nothing", none.clone(), None, false),
            (
                "the secret in the body",
                none.clone(),
                Some("open+sesame: 1%"),
                true,
            ),
            ("another one", none.clone(), Some("open+sesame: 2%"), false),
            ("its beginning", none.clone(), Some("open"), false),
            ("an empty one", none, Some(""), false),
            ("basic", basic("me:open%2Bsesame%3A+1%25"), None, true),
            (
                "basic without a client id",
                basic(":open%2Bsesame%3A+1%25"),
                None,
                true,
            ),
            ("basic as it is", basic("me:open+sesame: 1%"), None, true),
            (
                "basic with another secret",
                basic("open%2Bsesame%3A+1%25:x"),
                None,
                false,
            ),
            (
                "basic without a password",
                basic("open%2Bsesame%3A+1%25"),
                None,
                false,
            ),
            ("bearer", bearer, None, false),
        ];
        for (row, headers, client_secret, is_allowed) in rows {
            let client_secret = client_secret.map(SecretString::from);
            let checked = policy().check_caller(&headers, client_secret.as_ref());
            assert_eq!(checked.is_ok(), is_allowed, "{row}");
        }
        assert!(
            MintPolicy::default()
                .check_caller(&HeaderMap::new(), None)
                .is_ok(),
            "anyone by default"
        );
    }

    #[test]
    fn secrets_are_sealed_for_allowed_services_only() {
        let allowed = ["chat:openai.com", "aisbreaker:network", "text-to-image:"];
        let allowed: Vec<_> = allowed
            .iter()
            .map(|text| ServicePattern::parse(*text).unwrap())
            .collect();
        let rows = [
            ("chat:openai.com", "sk", true),
            ("chat:openai.com/gpt-4o", "sk", true),
            ("text-to-image:stability.ai", "sk", true),
            ("chat:openai.community", "sk", false),
            ("chat:", "sk", false),
            ("", "sk", false),
            ("aisbreaker:network", "{{secret}}", true),
            ("aisbreaker:proxy", "{{secret}}", false),
            ("", "INVALID", true),
            ("chat:dummy", "", true),
        ];
        for (id, secret, is_sealed) in rows {
            let grant = Grant::new(None, vec![ServiceSecret::new(id, secret.into())]);
            let policy = MintPolicy {
                services: Some(allowed.clone()),
                ..MintPolicy::default()
            };
            assert_eq!(
                policy.check_services(&grant).is_ok(),
                is_sealed,
                "{id:?} {secret:?}"
            );
            assert!(
                MintPolicy::default().check_services(&grant).is_ok(),
                "any by default: {id:?}"
            );
        }
        let all = MintPolicy {
            services: Some(vec![ServicePattern::parse("").unwrap()]),
            ..MintPolicy::default()
        };
        let grant = Grant::new(None, vec![ServiceSecret::new("", "sk".into())]);
        assert!(
            all.check_services(&grant).is_ok(),
            "the empty pattern is every service"
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        let text = format!("{:?}", policy());
        assert!(!text.contains("sesame"), "{text}");
    }
}
