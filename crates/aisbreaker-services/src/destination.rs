//! Decides where a call goes and with which secret: a sealed secret goes only where its key says.
//!
//! The origin that is checked here is that of [`Destination::url`]. The request is sent to that
//! URL only if the HTTP client reads the same origin in it.

use aisbreaker_api::{ServiceId, ServiceUrl};
use aisbreaker_egress::UrlSource;
use secrecy::SecretString;

use crate::{
    credentials::{Credential, Credentials},
    endpoint::{Endpoint, SecretNeed, Target},
    error::ServiceError,
    service::Call,
};

/// Where a call goes, and the secret that goes with it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Destination {
    /// The URL, checked against the origins to which the secret is bound.
    pub url: ServiceUrl,
    /// The secret; `None` only if the service can be called without one.
    pub secret: Option<SecretString>,
    /// Whether the secret came out of a sealed key, so that the caller does not know it.
    pub is_sealed: bool,
    /// Whether the caller named the URL; otherwise errors do not show the caller its host.
    pub is_named_by_caller: bool,
    /// Who chose the URL, and so whether the operator's exceptions apply to it.
    pub url_source: UrlSource,
}

impl Destination {
    /// Decides where a call goes and with which secret.
    ///
    /// - A secret that the caller knows may go to `call.service.url`, else to the URL of the key's
    ///   entry, else to the default URL. So does a call without a secret.
    /// - A sealed secret may go to the origins (scheme, host and port) of its entry's URLs, or of
    ///   the default URL if the entry has none, and to the operator's. Without `call.service.url`
    ///   the first of the entry's URLs is called.
    ///
    /// The URL is trusted if it is the service's own or, where minting is restricted, one in the
    /// key. One that only the caller chose is not, with whatever secret.
    ///
    /// # Errors
    /// [`ServiceError::MissingSecret`] or [`ServiceError::Forbidden`] as the credentials demand;
    /// [`ServiceError::BadRequest`] for an invalid or missing URL. No text repeats a URL.
    pub fn choose(endpoint: &Endpoint<'_>, call: &Call) -> Result<Self, ServiceError> {
        Self::choose_for_id(endpoint, call, &call.service_id)
    }

    /// As [`Destination::choose`], for a service with another id than the requested one, such as
    /// one with an engine.
    ///
    /// # Errors
    /// As [`Destination::choose`].
    pub fn choose_for_id(
        endpoint: &Endpoint<'_>,
        call: &Call,
        id: &ServiceId,
    ) -> Result<Self, ServiceError> {
        let url = call.service.url.as_deref();
        Self::of(endpoint, Target { id, url }, &call.credentials)
    }

    /// As [`Destination::choose`], for a caller that names no URL.
    ///
    /// # Errors
    /// As [`Destination::choose`].
    pub fn choose_default(
        endpoint: &Endpoint<'_>,
        id: &ServiceId,
        credentials: &Credentials,
    ) -> Result<Self, ServiceError> {
        Self::of(endpoint, Target { id, url: None }, credentials)
    }

    fn of(
        endpoint: &Endpoint<'_>,
        target: Target<'_>,
        credentials: &Credentials,
    ) -> Result<Self, ServiceError> {
        let key_urls = credentials.urls_for(target.id);
        let entry_url = key_urls.0.first().map(String::as_str);
        let (url, secret, is_sealed) = match credentials.for_service(target.id) {
            Credential::Bound { secret, urls } => {
                (endpoint.bound_url(target, urls)?, Some(secret), true)
            }
            Credential::Unbound(secret) => (
                endpoint.unbound_url(target, entry_url)?,
                Some(secret),
                false,
            ),
            Credential::None if endpoint.secret == SecretNeed::Required => {
                return Err(ServiceError::MissingSecret {
                    service_id: target.id.as_str().to_owned(),
                });
            }
            Credential::Blocked if endpoint.secret == SecretNeed::Required => {
                let text = format!("{}: the key does not allow this service", target.id);
                return Err(ServiceError::Forbidden(text.into()));
            }
            Credential::None | Credential::Blocked => {
                (endpoint.unbound_url(target, entry_url)?, None, false)
            }
        };
        Ok(Self {
            url_source: endpoint.url_source(&url, target, key_urls),
            url,
            secret: secret.cloned(),
            is_sealed,
            is_named_by_caller: target.url.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aisbreaker_api::{Origin, Request, ServicePattern, ServiceProps};
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::{PathJoin, Registry, SealedSecret, ServiceRestrictions};

    const DEFAULT: &str = "https://api.openai.com";

    fn call(credentials: Credentials, url: Option<&str>) -> Call {
        let mut props = ServiceProps::new("chat:openai.com/gpt-4o");
        props.url = url.map(str::to_owned);
        Call::new(
            props,
            Request::new(Vec::new()),
            Arc::new(credentials),
            Registry::builder().build(),
        )
        .unwrap()
    }

    fn sealed(secret: &str, urls: &[&str]) -> Credentials {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        let entry = SealedSecret::new(
            ServicePattern::parse("chat:openai.com").unwrap(),
            secret.into(),
            urls,
        );
        Credentials::Sealed {
            secrets: vec![entry],
            bearer: Some("own".into()),
            restrictions: ServiceRestrictions::default(),
            url_source: UrlSource::Trusted,
        }
    }

    fn choose(credentials: Credentials, url: Option<&str>) -> Result<String, ServiceError> {
        let operators = [Origin::parse("https://operator.example").unwrap()];
        let endpoint = Endpoint {
            default_url: Some(DEFAULT),
            default_path: "/v1",
            operator_origins: &operators,
            path_join: PathJoin::Append,
            secret: SecretNeed::Required,
        };
        let chosen = Destination::choose(&endpoint, &call(credentials, url))?;
        Ok(format!(
            "{} {}",
            chosen.secret.unwrap().expose_secret(),
            chosen.url
        ))
    }

    #[test]
    fn a_sealed_secret_goes_to_the_origins_it_is_bound_to() {
        let bound: &[&str] = &["https://eu.example/x", "https://us.example:8443"];
        let raw: &[&str] = &["https://eu.example/m/${engine}#no-default-path"];
        let rows: [(&[&str], Option<&str>, &str); 10] = [
            (&[], None, "https://api.openai.com/v1"),
            (
                &[],
                Some("https://api.openai.com/proxy"),
                "https://api.openai.com/proxy/v1",
            ),
            (
                &[],
                Some("https://API.OpenAI.com:443"),
                "https://api.openai.com/v1",
            ),
            (
                &[],
                Some("https://operator.example"),
                "https://operator.example/v1",
            ),
            (bound, None, "https://eu.example/x/v1"),
            (
                bound,
                Some("https://eu.example/y"),
                "https://eu.example/y/v1",
            ),
            (
                bound,
                Some("https://us.example:8443/"),
                "https://us.example:8443/v1",
            ),
            (
                bound,
                Some("https://operator.example"),
                "https://operator.example/v1",
            ),
            (raw, None, "https://eu.example/m/gpt-4o"),
            (
                raw,
                Some("https://eu.example/n#no-default-path"),
                "https://eu.example/n",
            ),
        ];
        for (urls, requested, expected) in rows {
            let chosen = choose(sealed("sk", urls), requested);
            assert_eq!(
                chosen,
                Ok(format!("sk {expected}")),
                "{urls:?} {requested:?}"
            );
        }
    }

    #[test]
    fn a_sealed_secret_goes_nowhere_else() {
        let bound: &[&str] = &["https://eu.example/x", "not a url"];
        let rows: [(&[&str], &str); 16] = [
            (&[], "https://evil.example"),
            (&[], "http://api.openai.com"),
            (&[], "https://api.openai.com:8443"),
            (&[], "https://api.openai.com."),
            (&[], "https://api.openai.com.evil.example"),
            (&[], "https://evil.example/https://api.openai.com"),
            (&[], "https://api.openai.com%2eevil.example"),
            (&[], "https://xn--pi-6kc.openai.com"),
            (&[], "https://аpi.openai.com"),
            (&[], "https://evil.example#no-default-path"),
            (&[], "http://operator.example"),
            (bound, DEFAULT),
            (bound, "https://eu.example:444/x"),
            (bound, "http://eu.example/x"),
            (
                bound,
                "https://evil.example/x?https://eu.example/#no-default-path",
            ),
            (&["not a url"], DEFAULT),
        ];
        for (urls, requested) in rows {
            let chosen = choose(sealed("sk", urls), Some(requested));
            let Err(ServiceError::Forbidden(detail)) = chosen else {
                panic!("{urls:?} {requested}: {chosen:?}")
            };
            let text = detail.text();
            assert!(
                !text.contains("eu.example") && !text.contains("operator"),
                "names an address: {text}"
            );
        }
    }

    #[test]
    fn only_urls_of_the_operator_and_of_trusted_keys_are_trusted() {
        use UrlSource::{Trusted, Untrusted};
        let operators = [Origin::parse("http://operator.example:81").unwrap()];
        let endpoint = Endpoint {
            default_url: Some("http://LocalHost:11434"),
            default_path: "/v1/chat",
            operator_origins: &operators,
            path_join: PathJoin::Overlap,
            secret: SecretNeed::Optional,
        };
        let key_url = "http://10.0.0.1:8000/x/${engine}#no-default-path";
        let urls: &[&str] = &[key_url, "http://10.0.0.2/base"];
        let keys: [(&str, &str, &[&str], UrlSource); 7] = [
            ("no url", "sk", &[], Trusted),
            ("no url, anyone's", "sk", &[], Untrusted),
            ("urls", "sk", urls, Trusted),
            ("urls, no secret", "", urls, Trusted),
            ("urls, the caller's secret", "{{secret}}", urls, Trusted),
            ("urls, anyone's", "sk", urls, Untrusted),
            (
                "the default, anyone's",
                "",
                &["http://localhost:11434/v1"],
                Untrusted,
            ),
        ];
        // The URL in the request, and with which of the keys it is trusted.
        let rows: [(Option<&str>, [UrlSource; 7]); 12] = [
            (
                None,
                [
                    Trusted, Trusted, Trusted, Trusted, Trusted, Untrusted, Trusted,
                ],
            ),
            (Some("http://localhost:11434"), [Trusted; 7]),
            (Some("http://LOCALHOST:11434/v1/"), [Trusted; 7]),
            (Some("http://localhost:11434/api"), [Untrusted; 7]),
            (
                Some("http://localhost:11434/v1/chat?x#no-default-path"),
                [Untrusted; 7],
            ),
            (Some("http://localhost:11435"), [Untrusted; 7]),
            (Some("http://operator.example:81"), [Trusted; 7]),
            (Some("http://operator.example:81/v1"), [Trusted; 7]),
            (Some("http://operator.example:81/admin"), [Untrusted; 7]),
            (
                Some("http://10.0.0.2/base/v1"),
                [
                    Untrusted, Untrusted, Trusted, Trusted, Trusted, Untrusted, Untrusted,
                ],
            ),
            (Some("http://10.0.0.2/other"), [Untrusted; 7]),
            (
                Some("http://10.0.0.1:8000/x/gpt-4o#no-default-path"),
                [
                    Untrusted, Untrusted, Trusted, Trusted, Trusted, Untrusted, Untrusted,
                ],
            ),
        ];
        for (requested, expected) in rows {
            for ((name, secret, urls, of_key), expected) in keys.into_iter().zip(expected) {
                let mut credentials = sealed(secret, urls);
                if let Credentials::Sealed { url_source, .. } = &mut credentials {
                    *url_source = of_key;
                }
                match Destination::choose(&endpoint, &call(credentials, requested)) {
                    Ok(chosen) => {
                        assert_eq!(chosen.url_source, expected, "{requested:?} with {name}");
                    }
                    // The secret is bound to other origins.
                    Err(ServiceError::Forbidden(_)) => assert_eq!(secret, "sk", "{requested:?}"),
                    Err(error) => panic!("{requested:?} with {name}: {error}"),
                }
            }
            for credentials in [Credentials::None, Credentials::Caller("own".into())] {
                let chosen = Destination::choose(&endpoint, &call(credentials, requested)).unwrap();
                assert_eq!(
                    chosen.url_source, expected[1],
                    "{requested:?} without a key"
                );
            }
        }
    }

    #[test]
    fn invalid_urls_are_bad_requests() {
        let rows = [
            (
                "https://api.openai.com@evil.example",
                "service.url must not contain a user name or password",
            ),
            (
                "https://api.openai.com\\@evil.example",
                "service.url is not an absolute http or https URL",
            ),
            (
                "//evil.example",
                "service.url is not an absolute http or https URL",
            ),
            (
                "https://${engine}",
                "service.url must not contain ${engine} before the path",
            ),
        ];
        for (requested, expected) in rows {
            for credentials in [sealed("sk", &[]), Credentials::Caller("own".into())] {
                let refused = choose(credentials, Some(requested));
                assert_eq!(
                    refused,
                    Err(ServiceError::BadRequest(expected.into())),
                    "{requested}"
                );
            }
        }
    }

    #[test]
    fn an_entry_without_a_secret_may_still_name_a_url() {
        let expected = Ok("own https://eu.example/v1".to_owned());
        assert_eq!(
            choose(sealed("{{secret}}", &["https://eu.example"]), None),
            expected
        );
    }

    #[test]
    fn callers_own_secret_goes_to_the_callers_url() {
        let expected = Ok("own https://mine.example/v1".to_owned());
        assert_eq!(
            choose(
                Credentials::Caller("own".into()),
                Some("https://mine.example")
            ),
            expected
        );
        assert_eq!(
            choose(sealed("{{secret}}", &[]), Some("https://mine.example")),
            expected
        );
        assert_eq!(
            choose(Credentials::Caller("own".into()), None),
            Ok("own https://api.openai.com/v1".to_owned())
        );
    }

    #[test]
    fn a_service_that_requires_a_secret_is_not_called_without_one() {
        let missing = ServiceError::MissingSecret {
            service_id: "chat:openai.com/gpt-4o".to_owned(),
        };
        let blocked = ServiceError::Forbidden(
            "chat:openai.com/gpt-4o: the key does not allow this service".into(),
        );
        assert_eq!(choose(Credentials::None, None), Err(missing.clone()));
        assert_eq!(
            choose(sealed("", &[]), Some("https://mine.example")),
            Err(missing)
        );
        assert_eq!(choose(sealed("INVALID", &[]), None), Err(blocked));
    }

    #[test]
    fn a_service_that_requires_no_secret_is_called_without_one() {
        let endpoint = Endpoint {
            default_url: None,
            default_path: "",
            operator_origins: &[],
            path_join: PathJoin::Append,
            secret: SecretNeed::Optional,
        };
        for credentials in [Credentials::None, sealed("INVALID", &[]), sealed("", &[])] {
            let chosen = Destination::choose(
                &endpoint,
                &call(credentials.clone(), Some("https://mine.example")),
            )
            .unwrap();
            assert_eq!(chosen.url.as_str(), "https://mine.example/");
            assert!(chosen.secret.is_none(), "{credentials:?}");

            let nowhere = Destination::choose(&endpoint, &call(credentials, None)).unwrap_err();
            let text = "service.url is missing, and this service has no default";
            assert_eq!(nowhere, ServiceError::BadRequest(text.into()));
        }
    }
}
