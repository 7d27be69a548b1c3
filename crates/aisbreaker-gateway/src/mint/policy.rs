//! Who may mint keys, and for which services.

use aisbreaker_api::{ServiceId, ServicePattern};
use aisbreaker_token::{Grant, ServiceSecret};
use base64ct::{Base64, Encoding as _};
use http::{HeaderMap, header::AUTHORIZATION};
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::MintFault;
use crate::form;

/// Who may mint keys, and for which services secrets may be sealed; by default anyone, for any.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MintPolicy {
    /// Only who sends this mints: as `clientSecret` of the request, or as the password of HTTP
    /// Basic authentication (RFC 6749 section 2.3.1; the client id is not looked at).
    pub secret: Option<SecretString>,
    /// Only for services that one of these matches on whole segments may secrets be sealed; `None`:
    /// for all.
    pub services: Option<Vec<ServicePattern>>,
}

impl MintPolicy {
    /// Checks that the caller may mint. What it sent is compared in a time that does not depend on
    /// it.
    pub(super) fn check_caller(
        &self,
        headers: &HeaderMap,
        client_secret: Option<&SecretString>,
    ) -> Result<(), MintFault> {
        let Some(secret) = &self.secret else {
            return Ok(());
        };
        let password = basic_password(headers);
        // Most clients send the password as it is, those that follow RFC 6749 in the coding of
        // forms.
        let decoded = password
            .as_deref()
            .map(|password| Zeroizing::new(form::decode(password)));
        let given = [
            client_secret.map(|secret| secret.expose_secret()),
            password.as_deref().map(String::as_str),
            decoded.as_deref().map(String::as_str),
        ];
        let is_known = given
            .into_iter()
            .flatten()
            .any(|given| is_same(given, secret.expose_secret()));
        if is_known {
            Ok(())
        } else {
            Err(MintFault::UnknownClient)
        }
    }

    /// Checks that all secrets of the grant may be sealed. Entries without a secret, and those that
    /// shut a service out, always may.
    pub(super) fn check_services(&self, grant: &Grant) -> Result<(), MintFault> {
        let Some(allowed) = &self.services else {
            return Ok(());
        };
        let refused = grant
            .service_secrets
            .iter()
            .position(|entry| !is_allowed(entry, allowed));
        refused.map_or(Ok(()), |index| Err(MintFault::ForbiddenService { index }))
    }
}

fn is_allowed(entry: &ServiceSecret, allowed: &[ServicePattern]) -> bool {
    let holds_nothing = matches!(entry.auth_secret.expose_secret(), "" | "INVALID");
    // The empty id stands for every service, so only the pattern that does so too allows it.
    let is_matched = |pattern: &ServicePattern| match ServiceId::parse(&entry.service_id) {
        Ok(id) => pattern.matches(&id),
        Err(_empty) => pattern.segment_count() == 0,
    };
    holds_nothing || allowed.iter().any(is_matched)
}

/// Compares digests, so that not even the length is told by the time that it takes.
fn is_same(given: &str, secret: &str) -> bool {
    Sha256::digest(given).ct_eq(&Sha256::digest(secret)).into()
}

/// The password of HTTP Basic authentication (RFC 7617).
fn basic_password(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(Base64::decode_vec(credentials.trim()).ok()?);
    let (_client_id, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Zeroizing::new(password.to_owned()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

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
