//! What a grant must satisfy, whoever sealed it: the checks of minting that also hold for a key that
//! was sealed elsewhere for this server.

use aisbreaker_api::{ServiceId, ServiceUrl};
use aisbreaker_egress::UrlSource;
use aisbreaker_services::Relay;
use aisbreaker_token::{Grant, ServiceSecret};
use http::Uri;

use super::{MintError, policy::MintPolicy};

/// The rules of a server for the grants in its keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrantRules<'a> {
    pub(crate) policy: &'a MintPolicy,
    /// Where services are called. `None`: not known, so URLs are judged when they are called.
    pub(crate) relay: Option<&'a Relay>,
}

impl GrantRules<'_> {
    /// Checks a grant.
    ///
    /// # Errors
    /// The first rule that it breaks; no error repeats a part of it.
    pub(crate) fn check(&self, grant: &Grant) -> Result<(), MintError> {
        self.policy.check_services(grant)?;
        self.check_urls(grant)
    }

    /// Refuses URLs that the operator's exceptions would allow, but not to those who sealed them.
    /// A name that only resolves to such an address is refused when it is called.
    fn check_urls(&self, grant: &Grant) -> Result<(), MintError> {
        for (index, entry) in grant.service_secrets.iter().enumerate() {
            if entry.url.iter().any(|url| self.opens_exception(entry, url)) {
                return Err(MintError::ForbiddenUrl { index });
            }
        }
        Ok(())
    }

    fn opens_exception(&self, entry: &ServiceSecret, url: &str) -> bool {
        let Some(relay) = self.relay else {
            return false;
        };
        let is_allowed = |source| match origin_of(url) {
            Some(origin) => relay.egress_policy().check_url(&origin, source).is_ok(),
            None => false,
        };
        is_allowed(UrlSource::Trusted) && !is_allowed(self.url_source(entry, url))
    }

    /// Returns who chose a URL of an entry: the operator, if the service is at this origin by
    /// itself.
    fn url_source(&self, entry: &ServiceSecret, url: &str) -> UrlSource {
        let is_operators = self.relay.is_some_and(|relay| {
            let (Ok(id), Ok(url)) = (
                ServiceId::parse(entry.service_id.as_str()),
                ServiceUrl::parse_base(url),
            ) else {
                return false;
            };
            relay.has_origin(&id, url.origin())
        });
        if is_operators {
            UrlSource::Trusted
        } else {
            self.policy.url_source()
        }
    }
}

/// Returns the origin of a base URL, which may have placeholders in its path.
fn origin_of(url: &str) -> Option<Uri> {
    let url = ServiceUrl::parse_base(url).ok()?;
    url.origin().to_string().parse().ok()
}
