//! Decides where a call goes and with which secret: a sealed secret goes only where its key says.
//!
//! The origin that is checked here is that of [`Destination::url`], and
//! [`Client::send`](aisbreaker_egress::Client::send) dials that same value; nothing is parsed again in
//! between.

use aisbreaker_api::{InvalidUrl, Origin, ServiceId, ServiceUrl};
use bytes::Bytes;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

use crate::{
    credentials::{Credential, Credentials},
    error::ServiceError,
    service::Call,
};

/// Shortest secret that [`mask`] looks for, in bytes.
const SHORTEST_MASKED_BYTES: usize = 4;

/// Where a call goes, and the secret that goes with it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Destination {
    /// The address, checked against what the secret is bound to.
    pub url: ServiceUrl,
    /// The secret; `None` only if the service can do without.
    pub secret: Option<SecretString>,
    /// Whether the secret came out of a sealed key, so that the caller does not know it.
    pub is_sealed: bool,
    /// Whether the caller named the address itself; otherwise it is not told to the caller.
    pub is_named_by_caller: bool,
}

/// What a service knows of itself.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a service must decide each of these"
)]
pub struct Endpoint<'a> {
    /// Where it is called when nobody says where.
    pub default_url: Option<&'a str>,
    /// What is appended to a URL (see [`ServiceUrl::resolve`]).
    pub default_path: &'a str,
    /// Where the operator lets sealed secrets for this service go as well.
    pub operator_origins: &'a [Origin],
    /// Whether a URL that ends with the beginning of `default_path` is continued, so that
    /// `https://a.example/v1` and `https://a.example` are the same to `/v1/chat/completions`.
    pub is_continued: bool,
    /// Whether it can be called without a secret.
    pub secret: SecretNeed,
}

/// A service that is to be called: its id, and where the caller wants it to be called.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    id: &'a ServiceId,
    url: Option<&'a str>,
}

/// Whether a service can be called without a secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a yes or no with a name")]
pub enum SecretNeed {
    /// It cannot.
    Required,
    /// It can.
    Optional,
}

impl Destination {
    /// Decides where a call goes and with which secret.
    ///
    /// - A secret that the caller knows, or none, may go to `call.service.url`, else to the default
    ///   URL.
    /// - A sealed secret may go to the origins (scheme, host and port) of its entry's URLs, or of
    ///   the default URL if it has none, and to the operator's. Without `call.service.url` the
    ///   first of its URLs is called.
    ///
    /// # Errors
    /// [`ServiceError::MissingSecret`] and [`ServiceError::Forbidden`] as the credentials say;
    /// [`ServiceError::BadRequest`] for an unusable or missing URL. No text repeats an address.
    pub fn choose(endpoint: &Endpoint<'_>, call: &Call) -> Result<Self, ServiceError> {
        Self::choose_as(endpoint, call, &call.service_id)
    }

    /// As [`Destination::choose`], for a call whose service has another id than was asked for, such
    /// as one with an engine.
    ///
    /// # Errors
    /// As [`Destination::choose`].
    pub fn choose_as(
        endpoint: &Endpoint<'_>,
        call: &Call,
        id: &ServiceId,
    ) -> Result<Self, ServiceError> {
        Self::of(
            endpoint,
            Wanted {
                id,
                url: call.service.url.as_deref(),
            },
            &call.credentials,
        )
    }

    /// As [`Destination::choose`], for a service that is called at its own address or that of the
    /// key.
    ///
    /// # Errors
    /// As [`Destination::choose`].
    pub fn of_service(
        endpoint: &Endpoint<'_>,
        id: &ServiceId,
        credentials: &Credentials,
    ) -> Result<Self, ServiceError> {
        Self::of(endpoint, Wanted { id, url: None }, credentials)
    }

    fn of(
        endpoint: &Endpoint<'_>,
        wanted: Wanted<'_>,
        credentials: &Credentials,
    ) -> Result<Self, ServiceError> {
        let credential = credentials.for_service(wanted.id);
        let is_sealed = matches!(credential, Credential::Bound { .. });
        let of_entry = credentials.url_for(wanted.id);
        let (secret, url) = match credential {
            Credential::Bound { secret, urls } => (Some(secret), endpoint.bound_url(wanted, urls)?),
            Credential::Free(secret) => (Some(secret), endpoint.free_url(wanted, of_entry)?),
            credential @ (Credential::None | Credential::Blocked) => {
                endpoint.check_without_secret(credential, wanted.id)?;
                (None, endpoint.free_url(wanted, of_entry)?)
            }
        };
        Ok(Self {
            url,
            secret: secret.cloned(),
            is_sealed,
            is_named_by_caller: wanted.url.is_some(),
        })
    }
}

impl Endpoint<'_> {
    fn check_without_secret(
        &self,
        credential: Credential<'_>,
        id: &ServiceId,
    ) -> Result<(), ServiceError> {
        if self.secret == SecretNeed::Optional {
            return Ok(());
        }
        let service_id = id.as_str().to_owned();
        Err(match credential {
            Credential::Blocked => ServiceError::Forbidden(format!(
                "{service_id}: the key does not allow this service"
            )),
            Credential::None | Credential::Free(_) | Credential::Bound { .. } => {
                ServiceError::MissingSecret { service_id }
            }
        })
    }

    fn free_url(
        &self,
        wanted: Wanted<'_>,
        of_entry: Option<&str>,
    ) -> Result<ServiceUrl, ServiceError> {
        match wanted.url {
            Some(url) => self
                .resolve(wanted, url)
                .map_err(|problem| bad_url("service.url", problem)),
            None => self.usual_url(wanted, of_entry),
        }
    }

    /// Where the service is called if the caller does not say where.
    fn usual_url(
        &self,
        wanted: Wanted<'_>,
        of_entry: Option<&str>,
    ) -> Result<ServiceUrl, ServiceError> {
        match of_entry {
            Some(url) => self
                .resolve(wanted, url)
                .map_err(|problem| bad_url("url in the key", problem)),
            None => self.own_url(wanted),
        }
    }

    fn bound_url(&self, wanted: Wanted<'_>, bound: &[String]) -> Result<ServiceUrl, ServiceError> {
        let Some(requested) = wanted.url else {
            return self.usual_url(wanted, bound.first().map(String::as_str));
        };
        let url = self
            .resolve(wanted, requested)
            .map_err(|problem| bad_url("service.url", problem))?;
        if self.is_bound_to(bound, url.origin()) {
            return Ok(url);
        }
        Err(ServiceError::Forbidden(format!(
            "{}: the key does not allow its secret to be sent to this service.url; leave service.url out, \
             or use a key that was made for this address",
            wanted.id
        )))
    }

    fn is_bound_to(&self, bound: &[String], origin: &Origin) -> bool {
        let holds = |url: &str| Origin::parse(url).is_ok_and(|allowed| allowed == *origin);
        let by_key = if bound.is_empty() {
            self.default_url.is_some_and(holds)
        } else {
            bound.iter().any(|url| holds(url))
        };
        by_key || self.operator_origins.contains(origin)
    }

    fn own_url(&self, wanted: Wanted<'_>) -> Result<ServiceUrl, ServiceError> {
        let url = self.default_url.ok_or_else(|| {
            ServiceError::BadRequest(
                "service.url is missing, and this service has no default".to_owned(),
            )
        })?;
        self.resolve(wanted, url)
            .map_err(|problem| bad_url("default url of the service", problem))
    }

    fn resolve(&self, wanted: Wanted<'_>, base: &str) -> Result<ServiceUrl, InvalidUrl> {
        let path = if self.is_continued {
            continued(base, self.default_path)
        } else {
            self.default_path
        };
        ServiceUrl::resolve(base, path, wanted.id.engine())
    }
}

/// What is left of `path` to be appended to a URL that may end with the first segments of it.
fn continued<'a>(base: &str, path: &'a str) -> &'a str {
    let base = base.strip_suffix('/').unwrap_or(base);
    let cuts = path
        .match_indices('/')
        .map(|(at, _)| at)
        .chain([path.len()]);
    let has = |cut: &usize| *cut > 0 && path.get(..*cut).is_some_and(|first| base.ends_with(first));
    cuts.rev()
        .find(has)
        .and_then(|cut| path.get(cut..))
        .unwrap_or(path)
}

/// The value of a header that holds a secret: `scheme` (such as `"Bearer "`, or `""`), then the
/// secret.
///
/// It is marked as sensitive, and wiped when the last copy of it is dropped.
///
/// # Errors
/// [`ServiceError::BadRequest`] when the secret has characters that a header cannot carry.
pub fn secret_header(scheme: &str, secret: &SecretString) -> Result<HeaderValue, ServiceError> {
    let text = Zeroizing::new([scheme, secret.expose_secret()].concat().into_bytes());
    let mut value =
        HeaderValue::from_maybe_shared(Bytes::from_owner(text)).map_err(|_invalid| {
            ServiceError::BadRequest(
                "the secret for the service has characters that a header cannot carry".to_owned(),
            )
        })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Replaces a secret in a text by `***`, wherever all of it is repeated.
///
/// Pieces of it are let through on purpose: callers can have texts of their own repeated in errors,
/// and whoever saw pieces disappear could guess a sealed secret character by character. Secrets
/// under 4 bytes are let through as well: they guard nothing, are found in any text, and the stars
/// would tell where.
#[must_use]
pub fn mask(text: &str, secret: &SecretString) -> String {
    let secret = secret.expose_secret();
    if secret.len() < SHORTEST_MASKED_BYTES {
        text.to_owned()
    } else {
        text.replace(secret, "***")
    }
}

fn bad_url(what: &str, problem: InvalidUrl) -> ServiceError {
    ServiceError::BadRequest(format!("{what} {problem}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aisbreaker_api::{Request, ServicePattern, ServiceProps};

    use super::*;
    use crate::{Credentials, Registry, SealedSecret};

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
        }
    }

    fn choose(credentials: Credentials, url: Option<&str>) -> Result<String, ServiceError> {
        let operators = [Origin::parse("https://operator.example").unwrap()];
        let endpoint = Endpoint {
            default_url: Some(DEFAULT),
            default_path: "/v1",
            operator_origins: &operators,
            is_continued: false,
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
    fn a_sealed_secret_goes_to_its_own_addresses() {
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
            let Err(ServiceError::Forbidden(text)) = chosen else {
                panic!("{urls:?} {requested}: {chosen:?}")
            };
            assert!(
                !text.contains("eu.example") && !text.contains("operator"),
                "names an address: {text}"
            );
        }
    }

    #[test]
    fn unusable_addresses_are_bad_requests() {
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
                    Err(ServiceError::BadRequest(expected.to_owned())),
                    "{requested}"
                );
            }
        }
    }

    #[test]
    fn a_url_may_end_with_the_beginning_of_the_path() {
        let path = "/openai/v1/chat/completions";
        let rows = [
            ("https://a.example", path),
            ("https://a.example/", path),
            ("https://a.example/openai", "/v1/chat/completions"),
            ("https://a.example/openai/v1", "/chat/completions"),
            ("https://a.example/openai/v1/", "/chat/completions"),
            ("https://a.example/openai/v1/chat/completions", ""),
            ("https://a.example/v1", path),
            ("https://a.example/openai/v", path),
            ("https://a.example/notopenai", path),
        ];
        for (base, expected) in rows {
            assert_eq!(continued(base, path), expected, "{base}");
        }
    }

    #[test]
    fn an_entry_without_a_secret_of_its_own_names_an_address_all_the_same() {
        let expected = Ok("own https://eu.example/v1".to_owned());
        assert_eq!(
            choose(sealed("{{secret}}", &["https://eu.example"]), None),
            expected
        );
    }

    #[test]
    fn a_secret_of_the_caller_goes_where_the_caller_says() {
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
    fn a_service_that_needs_a_secret_is_not_called_without() {
        let missing = ServiceError::MissingSecret {
            service_id: "chat:openai.com/gpt-4o".to_owned(),
        };
        let blocked = ServiceError::Forbidden(
            "chat:openai.com/gpt-4o: the key does not allow this service".to_owned(),
        );
        assert_eq!(choose(Credentials::None, None), Err(missing.clone()));
        assert_eq!(
            choose(sealed("", &[]), Some("https://mine.example")),
            Err(missing)
        );
        assert_eq!(choose(sealed("INVALID", &[]), None), Err(blocked));
    }

    #[test]
    fn a_service_that_needs_none_is_called_without() {
        let endpoint = Endpoint {
            default_url: None,
            default_path: "",
            operator_origins: &[],
            is_continued: false,
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
            assert_eq!(nowhere, ServiceError::BadRequest(text.to_owned()));
        }
    }

    #[test]
    fn a_secret_header_is_sensitive_and_exact() {
        let value = secret_header("Bearer ", &"sk-1".into()).unwrap();
        assert_eq!(value, "Bearer sk-1");
        assert!(value.is_sensitive());
        assert!(matches!(
            secret_header("", &"a\r\nHost: b".into()),
            Err(ServiceError::BadRequest(_))
        ));
    }

    #[test]
    fn masks_whole_secrets_and_tells_nothing_of_their_pieces() {
        let rows = [
            ("sk-1", "key sk-1 is bad, sk-1!", "key *** is bad, ***!"),
            ("sk-1", "sk-1sk-1 sk-", "****** sk-"),
            ("abcdefghijklmnop", "xabcdefghijklmnopx", "x***x"),
            (
                "abcdefghijklmnop",
                "abcdefghijklmno bcdefghijklmnop",
                "abcdefghijklmno bcdefghijklmnop",
            ),
            (
                "abcdefghijklmnop",
                "abcdefghijk...mnop",
                "abcdefghijk...mnop",
            ),
            ("geheim-ß", "das geheim-ß ist ß", "das *** ist ß"),
            (
                "abc",
                "abc is too short to guard anything",
                "abc is too short to guard anything",
            ),
            ("", "nothing", "nothing"),
            ("longer than the text", "text", "text"),
        ];
        for (secret, text, expected) in rows {
            assert_eq!(
                mask(text, &secret.into()),
                expected,
                "{secret:?} in {text:?}"
            );
        }
    }
}
