//! The host that a request was sent to.
//!
//! Of the fields that proxies add, only `X-Forwarded-Host` is read, and only from trusted proxies.

use std::net::IpAddr;

use aisbreaker_token::Host;
use http::{HeaderMap, HeaderName, Uri, header::HOST};
use ipnet::IpNet;

use crate::request::{
    client::{X_FORWARDED_FOR, client_address, is_trusted},
    error::HostError,
    forwarded_warning::ForwardedWarning,
};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The port of an `https` URL without one.
const HTTPS_PORT: u16 = 443;

/// Which host names this server answers to, and which proxies it trusts.
#[derive(Debug)]
pub(crate) struct HostPolicy {
    /// Empty: any host name.
    public_hosts: Vec<Host>,
    trusted_proxies: Vec<IpNet>,
    /// Whether clients speak TLS with this server, and not with a proxy in front.
    has_tls_listener: bool,
    warning: ForwardedWarning,
}

impl HostPolicy {
    pub(crate) fn new(
        public_hosts: Vec<Host>,
        trusted_proxies: Vec<IpNet>,
        has_tls_listener: bool,
    ) -> Self {
        Self {
            public_hosts,
            trusted_proxies,
            has_tls_listener,
            warning: ForwardedWarning::default(),
        }
    }

    /// Returns whether this server answers to certain host names only.
    pub(crate) fn has_public_hosts(&self) -> bool {
        !self.public_hosts.is_empty()
    }

    /// Returns the scheme by which a request has come. HTTP/1 does not send it, so the listener says.
    pub(crate) fn scheme(&self, uri: &Uri) -> &'static str {
        if self.has_tls_listener || uri.scheme_str() == Some("https") {
            "https"
        } else {
            "http"
        }
    }

    /// Returns the address of the client of a request from this peer. Warns if the peer seems to be a
    /// proxy that should be trusted.
    pub(crate) fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if is_trusted(peer, &self.trusted_proxies) {
            return client_address(peer, headers, &self.trusted_proxies);
        }
        let peer = peer.to_canonical();
        if self.warning.is_open() && headers.contains_key(X_FORWARDED_FOR) {
            self.warning.warn(peer);
        }
        peer
    }

    /// Returns the origin at which clients reach this server by `https`, where `host` is the host of a
    /// request from this peer.
    ///
    /// A proxy in front speaks TLS at the usual port. Without one, the port is that of the request.
    pub(crate) fn https_origin(
        &self,
        host: &Host,
        peer: IpAddr,
        (uri, headers): (&Uri, &HeaderMap),
    ) -> String {
        let port = if self.has_tls_listener {
            requested_host(uri, headers, self.sender(peer)).and_then(port_of)
        } else {
            None
        };
        match port {
            Some(port) if port != HTTPS_PORT => format!("https://{host}:{port}"),
            Some(_) | None => format!("https://{host}"),
        }
    }

    /// Returns the host that a request from this peer was sent to.
    pub(crate) fn host(
        &self,
        peer: IpAddr,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Host, HostError> {
        host(uri, headers, self.sender(peer), &self.public_hosts)
    }

    fn sender(&self, peer: IpAddr) -> Sender {
        if is_trusted(peer, &self.trusted_proxies) {
            Sender::TrustedProxy
        } else {
            Sender::Untrusted
        }
    }
}

/// Who sent a request over its connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sender {
    TrustedProxy,
    Untrusted,
}

/// Returns the host of a request: `X-Forwarded-Host` from a trusted proxy, else `:authority` or the
/// `Host` field.
pub(crate) fn host(
    uri: &Uri,
    headers: &HeaderMap,
    sender: Sender,
    public_hosts: &[Host],
) -> Result<Host, HostError> {
    let text = requested_host(uri, headers, sender).ok_or(HostError::Invalid)?;
    let host = Host::parse(text.trim()).map_err(|_not_a_host| HostError::Invalid)?;
    if !public_hosts.is_empty() && !public_hosts.contains(&host) {
        return Err(HostError::Misdirected(host));
    }
    Ok(host)
}

fn requested_host<'a>(uri: &'a Uri, headers: &'a HeaderMap, sender: Sender) -> Option<&'a str> {
    if sender == Sender::TrustedProxy
        && let Some(list) = headers.get_all(X_FORWARDED_HOST).iter().next_back()
    {
        return list.to_str().ok()?.rsplit(',').next();
    }
    if let Some(authority) = uri.authority() {
        return Some(authority.as_str());
    }
    let mut fields = headers.get_all(HOST).iter();
    let field = fields.next()?;
    match fields.next() {
        None => field.to_str().ok(),
        Some(_repeated) => None,
    }
}

/// Returns the port after a host that was read already.
fn port_of(host: &str) -> Option<u16> {
    let (_, port) = host.trim().rsplit_once(':')?;
    port.parse().ok()
}

#[cfg(test)]
mod tests;
