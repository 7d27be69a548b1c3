//! Decides which addresses may be dialled, and for whom.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use http::Uri;

use ipnet::IpNet;

use crate::{address::is_public, error::Refusal, origin::Origin, url::parse_url};

/// Which addresses a [`Client`](crate::Client) may dial: public ones by `https`, and exceptions.
///
/// The exceptions apply to URLs from a [trusted](UrlSource::Trusted) source. Those from others
/// stay strict, unless [`Policy::extend_to_untrusted`] is called.
///
/// Cheap to clone. Policies are equal if they have the same exceptions in the same order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    origins: Arc<Vec<Origin>>,
    networks: Arc<Vec<IpNet>>,
    extends_to_untrusted: bool,
}

/// Who chose a URL. There is no default: whoever sends a request must say it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a yes or no with a name")]
pub enum UrlSource {
    /// The operator, or somebody whom the operator trusts with the network behind the exceptions.
    Trusted,
    /// Anybody else. A URL of which only a part came from outside is untrusted too.
    Untrusted,
}

/// [`Policy::allow`] got neither an origin nor a network. The error does not repeat the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "must be an origin without a path, such as http://localhost:11434, or a network, such as \
     127.0.0.0/8 or ::1/128"
)]
#[non_exhaustive]
pub struct InvalidException;

impl Policy {
    /// Creates a policy that allows only `https` at public addresses.
    #[must_use]
    pub fn strict() -> Self {
        Self::default()
    }

    /// Adds an exception: an origin or a network.
    ///
    /// An origin (`http://localhost:11434`) may be called by its scheme, whatever address its host
    /// has. A network (`10.1.0.0/16`, `::1/128`, or a single address) may be called at any port, by
    /// `https` and `http`.
    ///
    /// # Errors
    /// [`InvalidException`] for anything else, such as an origin with a path or query. An IPv4
    /// network in IPv6-mapped form is refused too: addresses are judged in their IPv4 form, so it
    /// would never apply.
    pub fn allow(mut self, exception: &str) -> Result<Self, InvalidException> {
        if let Some(network) = parse_network(exception) {
            if matches!(network, IpNet::V6(v6) if v6.network().to_ipv4_mapped().is_some()) {
                return Err(InvalidException);
            }
            Arc::make_mut(&mut self.networks).push(network);
        } else {
            Arc::make_mut(&mut self.origins).push(parse_origin(exception)?);
        }
        Ok(self)
    }

    /// Makes the exceptions apply to URLs from untrusted sources too.
    ///
    /// Whoever may name a URL can then send requests to everything behind the exceptions, and
    /// learns from the errors which of their addresses and ports are in use.
    #[must_use]
    pub fn extend_to_untrusted(mut self) -> Self {
        self.extends_to_untrusted = true;
        self
    }

    /// Checks a URL as far as that is possible without a name resolution: refuses what every call
    /// would be refused.
    ///
    /// The client itself judges addresses only. This check is for those who store a URL for later.
    ///
    /// # Errors
    /// The [`Refusal`] of an address that the URL names, of a name below `localhost` (RFC 6761
    /// section 6.3), or of `http` where no exception can allow it.
    pub fn check_url(&self, url: &Uri, source: UrlSource) -> Result<(), Refusal> {
        let origin = Origin::of(url).ok_or(Refusal::InvalidUrl)?;
        if let Some(address) = origin.address() {
            return self.check_address(&origin, address, source);
        }
        if origin.is_localhost() {
            let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            let [v4, v6] = loopback.map(|address| self.check_address(&origin, address, source));
            return v4.or(v6);
        }
        let may_be_excepted = self.has_exceptions_for(source)
            && (self.origins.contains(&origin) || !self.networks.is_empty());
        if origin.is_https() || may_be_excepted {
            Ok(())
        } else {
            Err(Refusal::Scheme)
        }
    }

    /// Returns the source as which a URL is judged: [`UrlSource::Trusted`] where both are judged
    /// alike.
    pub(crate) fn effective_source(&self, source: UrlSource) -> UrlSource {
        if self.extends_to_untrusted || !self.has_exceptions() {
            UrlSource::Trusted
        } else {
            source
        }
    }

    /// Checks whether `origin` may be dialled at `address`, which is not IPv4-mapped.
    pub(crate) fn check_address(
        &self,
        origin: &Origin,
        address: IpAddr,
        source: UrlSource,
    ) -> Result<(), Refusal> {
        if self.has_exceptions_for(source)
            && (self.origins.contains(origin)
                || self.networks.iter().any(|net| net.contains(&address)))
        {
            return Ok(());
        }
        if !origin.is_https() {
            return Err(Refusal::Scheme);
        }
        if !is_public(address) {
            return Err(Refusal::Address);
        }
        Ok(())
    }

    fn has_exceptions(&self) -> bool {
        !self.origins.is_empty() || !self.networks.is_empty()
    }

    fn has_exceptions_for(&self, source: UrlSource) -> bool {
        match source {
            UrlSource::Trusted => true,
            UrlSource::Untrusted => self.extends_to_untrusted,
        }
    }
}

fn parse_network(text: &str) -> Option<IpNet> {
    if let Ok(network) = text.parse() {
        return Some(network);
    }
    let address: IpAddr = text.parse().ok()?;
    Some(IpNet::from(address))
}

fn parse_origin(text: &str) -> Result<Origin, InvalidException> {
    // `*` would be part of a name, and never match.
    if text.contains(['?', '#', '*']) {
        return Err(InvalidException);
    }
    let url = parse_url(text).map_err(|_invalid| InvalidException)?;
    if url.path() != "/" {
        return Err(InvalidException);
    }
    Origin::of(&url).ok_or(InvalidException)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allowed: &[&str]) -> Policy {
        allowed.iter().fold(Policy::strict(), |policy, exception| {
            policy.allow(exception).unwrap()
        })
    }

    #[test]
    fn allows_https_at_public_addresses_and_exceptions() {
        let (ok, scheme, address) = (None, Some(Refusal::Scheme), Some(Refusal::Address));
        let rows: [(&[&str], &str, &str, Option<Refusal>); 16] = [
            (&[], "https://a.example", "8.8.8.8", ok),
            (&[], "https://a.example", "10.0.0.1", address),
            (&[], "http://a.example", "8.8.8.8", scheme),
            (&["http://a.example"], "http://a.example", "8.8.8.8", ok),
            (&["http://a.example"], "http://a.example", "10.0.0.1", ok),
            (&["http://a.example:80"], "http://a.example", "10.0.0.1", ok),
            (
                &["http://a.example"],
                "http://a.example:81",
                "10.0.0.1",
                scheme,
            ),
            (
                &["http://a.example"],
                "http://a.example.",
                "10.0.0.1",
                scheme,
            ),
            (
                &["http://a.example"],
                "http://b.example",
                "10.0.0.1",
                scheme,
            ),
            (
                &["http://a.example"],
                "https://a.example",
                "10.0.0.1",
                address,
            ),
            (&["10.0.0.0/8"], "http://a.example:81", "10.0.0.1", ok),
            (&["10.0.0.0/8"], "https://a.example", "10.0.0.1", ok),
            (&["10.0.0.0/8"], "http://a.example", "8.8.8.8", scheme),
            (&["10.0.0.0/8"], "http://a.example", "11.0.0.1", scheme),
            (&["10.0.0.0/8"], "https://a.example", "127.0.0.1", address),
            (&["::1"], "http://a.example", "::1", ok),
        ];
        for (allowed, origin, address, expected) in rows {
            let row = format!("{allowed:?} {origin} at {address}");
            let origin = Origin::of(&parse_url(origin).unwrap()).unwrap();
            let address = address.parse().unwrap();
            let check = |policy: &Policy, source| policy.check_address(&origin, address, source);
            let policy = policy(allowed);
            let strict = check(&Policy::strict(), UrlSource::Trusted);

            assert_eq!(
                check(&policy, UrlSource::Trusted).err(),
                expected,
                "{row}, trusted"
            );
            assert_eq!(
                check(&policy, UrlSource::Untrusted),
                strict,
                "{row}, untrusted"
            );
            assert_eq!(
                check(&policy.extend_to_untrusted(), UrlSource::Untrusted).err(),
                expected,
                "{row}, untrusted and extended"
            );
        }
    }

    #[test]
    fn a_url_is_refused_unread_only_if_every_call_would_be() {
        let (ok, scheme, address) = (None, Some(Refusal::Scheme), Some(Refusal::Address));
        type Row<'a> = (&'a [&'a str], &'a str, Option<Refusal>, Option<Refusal>);
        let rows: [Row<'_>; 15] = [
            (&[], "https://a.example", ok, ok),
            (&[], "https://8.8.8.8", ok, ok),
            (&[], "http://a.example", scheme, scheme),
            (&[], "https://10.0.0.1", address, address),
            (&[], "https://[::ffff:10.0.0.1]", address, address),
            (&[], "https://localhost", address, address),
            (&[], "https://x.LOCALHOST.:8443", address, address),
            (&[], "https://localhost.example", ok, ok),
            (&["10.0.0.0/8"], "https://10.0.0.1", ok, address),
            (&["10.0.0.0/8"], "http://10.0.0.1", ok, scheme),
            (&["10.0.0.0/8"], "http://11.0.0.1", scheme, scheme),
            (&["10.0.0.0/8"], "http://a.example", ok, scheme),
            (&["::1"], "http://localhost:81", ok, scheme),
            (&["http://a.example"], "http://a.example/x", ok, scheme),
            (&["http://a.example"], "http://a.example:81", scheme, scheme),
        ];
        for (allowed, url, trusted, untrusted) in rows {
            let (policy, parsed) = (policy(allowed), parse_url(url).unwrap());
            let check = |source| policy.check_url(&parsed, source).err();
            assert_eq!(check(UrlSource::Trusted), trusted, "{allowed:?} {url}");
            assert_eq!(check(UrlSource::Untrusted), untrusted, "{allowed:?} {url}");
            let extended = policy.clone().extend_to_untrusted();
            assert_eq!(
                extended.check_url(&parsed, UrlSource::Untrusted).err(),
                trusted,
                "{allowed:?} {url}, extended"
            );
        }
    }

    #[test]
    fn refuses_exceptions_that_are_neither_origin_nor_network() {
        let rows = [
            "",
            "localhost",
            "localhost:11434",
            "http://localhost/v1",
            "http://localhost?x",
            "ftp://a.example",
            "http://user@a.example",
            "http://a.example/#no-default-path",
            "*",
            "10.0.0.0/33",
            "::ffff:10.0.0.0/104",
            "10.0.0.0/8 ",
            "http://*.a.example",
        ];
        for exception in rows {
            assert_eq!(
                Policy::strict().allow(exception).err(),
                Some(InvalidException),
                "{exception}"
            );
        }
    }
}
