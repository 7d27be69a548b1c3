//! The host that a request was sent to.
//!
//! Of the fields that proxies add, only `X-Forwarded-Host` is read, and only from trusted proxies.

use std::net::IpAddr;

use aisbreaker_token::Host;
use http::{HeaderMap, HeaderName, Uri, header::HOST};
use ipnet::IpNet;

use crate::request::{
    client::{client_address, is_trusted},
    error::HostError,
};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Which host names this server answers to, and which proxies it trusts.
#[derive(Debug)]
pub(crate) struct HostPolicy {
    /// Empty: any host name.
    pub(crate) public_hosts: Vec<Host>,
    pub(crate) trusted_proxies: Vec<IpNet>,
}

impl HostPolicy {
    /// Returns the address of the client of a request from this peer.
    pub(crate) fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        client_address(peer, headers, &self.trusted_proxies)
    }

    /// Returns the host that a request from this peer was sent to.
    pub(crate) fn host(
        &self,
        peer: IpAddr,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Host, HostError> {
        let sender = if is_trusted(peer, &self.trusted_proxies) {
            Sender::TrustedProxy
        } else {
            Sender::Untrusted
        };
        host(uri, headers, sender, &self.public_hosts)
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
        return Err(HostError::Misdirected);
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

#[cfg(test)]
mod tests;
