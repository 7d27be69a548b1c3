//! Where a service can be called, and the URL of a call to it.

mod join;

use aisbreaker_api::{Origin, ServiceId, ServiceUrl};
use aisbreaker_egress::UrlSource;

use crate::error::{ErrorDetail, ServiceError};

/// Where a service can be called, as the service itself defines it.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a service must decide each of these"
)]
pub struct Endpoint<'a> {
    /// The base URL if neither the caller nor the key names one.
    pub default_url: Option<&'a str>,
    /// The path that is joined to a base URL (see [`ServiceUrl::resolve`]).
    pub default_path: &'a str,
    /// How the path is joined.
    pub path_join: PathJoin,
    /// Further origins to which the operator lets sealed secrets for this service go.
    pub operator_origins: &'a [Origin],
    /// Whether the service can be called without a secret.
    pub secret: SecretNeed,
}

/// How a default path is joined to a base URL that does not end with the path of an operation. One
/// that does is called as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum PathJoin {
    /// The whole path is appended.
    Append,
    /// Leading segments of the path that the base URL ends with already are left out, so that
    /// `https://a.example/v1` and `https://a.example` mean the same to `/v1/chat/completions`.
    Overlap,
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

/// What is called: the id of the service, and the URL that the caller names, if any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) id: &'a ServiceId,
    pub(crate) url: Option<&'a str>,
}

impl Endpoint<'_> {
    /// Returns the URL for a call without a sealed secret: that of the caller, else that of the
    /// key's entry, else the default one.
    pub(crate) fn unbound_url(
        &self,
        target: Target<'_>,
        entry_url: Option<&str>,
    ) -> Result<ServiceUrl, ServiceError> {
        match target.url {
            Some(url) => self.resolve(target.id, url, "service.url"),
            None => self.default_url_or(target.id, entry_url),
        }
    }

    /// Returns the URL for a call with a sealed secret, which is bound to the origins of `bound`.
    pub(crate) fn bound_url(
        &self,
        target: Target<'_>,
        bound: &[String],
    ) -> Result<ServiceUrl, ServiceError> {
        let Some(requested) = target.url else {
            return self.default_url_or(target.id, bound.first().map(String::as_str));
        };
        let url = self.resolve(target.id, requested, "service.url")?;
        if self.is_bound_to(bound, url.origin()) {
            return Ok(url);
        }
        let text = format!(
            "{}: the key does not allow its secret to be sent to this service.url; leave \
             service.url out, or use a key that was made for this address",
            target.id
        );
        Err(ServiceError::Forbidden(text.into()))
    }

    fn is_bound_to(&self, bound: &[String], origin: &Origin) -> bool {
        let has_origin = |url: &str| Origin::parse(url).is_ok_and(|allowed| allowed == *origin);
        let is_allowed_by_key = if bound.is_empty() {
            self.default_url.is_some_and(has_origin)
        } else {
            bound.iter().any(|url| has_origin(url))
        };
        is_allowed_by_key || self.operator_origins.contains(origin)
    }

    /// Returns who chose `url`, which was chosen for this target with these URLs in the key.
    ///
    /// A URL that the service has by itself is the operator's, and one in the key is as good as its
    /// minter, whoever repeats it in a request. Any other is the caller's, also one at the same
    /// origin: the path counts.
    pub(crate) fn url_source(
        &self,
        url: &ServiceUrl,
        target: Target<'_>,
        (key_urls, key_source): (&[String], UrlSource),
    ) -> UrlSource {
        if target.url.is_none() && (key_urls.is_empty() || key_source == UrlSource::Trusted) {
            return UrlSource::Trusted;
        }
        let is_url_of = |base: &str| {
            mentions(base, url.origin().host())
                && self
                    .resolve(target.id, base, "url")
                    .is_ok_and(|own| own == *url)
        };
        let is_operators = self.default_url.is_some_and(is_url_of)
            || (self.operator_origins.contains(url.origin())
                && is_url_of(&url.origin().to_string()));
        let is_of_trusted_key = || {
            key_source == UrlSource::Trusted && key_urls.iter().any(|base| is_url_of(base.as_str()))
        };
        if is_operators || is_of_trusted_key() {
            UrlSource::Trusted
        } else {
            UrlSource::Untrusted
        }
    }

    /// Returns the URL if the caller names none.
    fn default_url_or(
        &self,
        id: &ServiceId,
        entry_url: Option<&str>,
    ) -> Result<ServiceUrl, ServiceError> {
        if let Some(url) = entry_url {
            return self.resolve(id, url, "url in the key");
        }
        let Some(url) = self.default_url else {
            let text = "service.url is missing, and this service has no default";
            return Err(ServiceError::BadRequest(text.into()));
        };
        self.resolve(id, url, "default url of the service")
    }

    /// Joins the path to a base URL, which errors call `name`.
    fn resolve(&self, id: &ServiceId, base: &str, name: &str) -> Result<ServiceUrl, ServiceError> {
        let (base, path) = join::base_and_path(base, self.default_path, self.path_join);
        ServiceUrl::resolve(&base, path, id.engine()).map_err(|invalid| {
            let text = format!("{name} {invalid}");
            ServiceError::BadRequest(ErrorDetail::new(text).with_source(invalid))
        })
    }
}

/// Returns whether a host is in a text: the cheap part of comparing two URLs, most of which differ
/// in it.
fn mentions(text: &str, host: &str) -> bool {
    let mut windows = text.as_bytes().windows(host.len().max(1));
    windows.any(|window| window.eq_ignore_ascii_case(host.as_bytes()))
}
