//! Decides which addresses may be dialled.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use crate::{address::is_public, error::Refusal, origin::Origin, url::parse_url};

/// Which addresses a [`Client`](crate::Client) may dial: public ones by `https`, and exceptions.
///
/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    origins: Arc<Vec<Origin>>,
    networks: Arc<Vec<IpNet>>,
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

    /// Checks whether `origin` may be dialled at `address`, which is not IPv4-mapped.
    pub(crate) fn check_address(&self, origin: &Origin, address: IpAddr) -> Result<(), Refusal> {
        if self.origins.contains(origin) || self.networks.iter().any(|net| net.contains(&address)) {
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

    fn check(allowed: &[&str], origin: &str, address: &str) -> Result<(), Refusal> {
        let policy = allowed.iter().fold(Policy::strict(), |policy, exception| {
            policy.allow(exception).unwrap()
        });
        let origin = Origin::of(&parse_url(origin).unwrap()).unwrap();
        policy.check_address(&origin, address.parse().unwrap())
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
            assert_eq!(
                check(allowed, origin, address).err(),
                expected,
                "{allowed:?} {origin} at {address}"
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
