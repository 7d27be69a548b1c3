//! Who is called and who calls: the host and the client of a request.
//!
//! Of what proxies say, `X-Forwarded-For` and `X-Forwarded-Host` are read, and only from trusted
//! ones. `Forwarded` (RFC 7239), `X-Real-IP`, `True-Client-IP`, `CF-Connecting-IP` and all others
//! are ignored, whoever sends them: a proxy that sets one of them may well pass on what its client
//! wrote in another.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use aisbreaker_token::Host;
use http::{HeaderMap, HeaderName, Uri, header::HOST};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Tells IPv4 addresses from IPv6 networks: ff00::/8 is multicast, which never is a source address.
const IPV4: u64 = 0xff00_0000_0000_0000;

/// What quotas count per client: an IPv4 address, or the /64 network of an IPv6 one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ClientId(u64);

impl ClientId {
    /// A number that tells clients apart.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The client that has this number.
    pub(crate) fn numbered(number: u64) -> Self {
        Self(number)
    }

    /// The client at this address; IPv4 may be mapped or not.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(IPV4 | u64::from(v4.to_bits())),
            IpAddr::V6(v6) => Self(network(v6)),
        }
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u32::try_from(self.0 ^ IPV4) {
            Ok(v4) => Ipv4Addr::from_bits(v4).fmt(f),
            Err(_larger) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(self.0) << 64)),
        }
    }
}

fn network(address: Ipv6Addr) -> u64 {
    let [a, b, c, d, ..] = address.segments();
    [a, b, c, d]
        .iter()
        .fold(0, |bits, segment| bits << 16 | u64::from(*segment))
}

/// Whether this address is one of the proxies that are believed.
pub(crate) fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|network| network.contains(&address))
}

/// The address of the client: the peer, or behind trusted proxies the right-most address of
/// `X-Forwarded-For` that is not one of them. At an entry that cannot be read, the walk stops.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if proxies.is_empty() || !is_trusted(peer, proxies) {
        return peer;
    }
    let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    let entries = lines
        .iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let mut client = peer;
    for entry in entries {
        let Some(address) = std::str::from_utf8(entry).ok().and_then(forwarded_address) else {
            return client;
        };
        client = address;
        if !is_trusted(address, proxies) {
            return client;
        }
    }
    client
}

/// One entry of `X-Forwarded-For`: an address, perhaps in brackets, perhaps with a port.
/// IPv4-mapped addresses are IPv4 ones; the zone of a link-local address is dropped where it is a
/// number behind brackets with a port, else unreadable.
fn forwarded_address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = entry
        .parse::<IpAddr>()
        .ok()
        .or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| bare?.parse::<Ipv6Addr>().ok().map(IpAddr::V6))?;
    Some(address.to_canonical())
}

/// Why the host of a request is not known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HostFault {
    /// None, more than one, or not a host name.
    Unreadable,
    /// A host that this server does not answer to.
    NotOurs,
}

/// The host that was called: `:authority` or the `Host` field, or `X-Forwarded-Host` from a trusted
/// proxy.
pub(crate) fn host(
    uri: &Uri,
    headers: &HeaderMap,
    from_trusted_proxy: bool,
    public_hosts: &[Host],
) -> Result<Host, HostFault> {
    let forwarded = headers
        .get_all(X_FORWARDED_HOST)
        .iter()
        .next_back()
        .filter(|_| from_trusted_proxy);
    let text = match (forwarded, uri.authority()) {
        (Some(value), _) => value.to_str().ok().and_then(|list| list.rsplit(',').next()),
        (None, Some(authority)) => Some(authority.as_str()),
        (None, None) => sole_host_field(headers),
    };
    let host = text
        .and_then(|text| Host::parse(text.trim()).ok())
        .ok_or(HostFault::Unreadable)?;
    if !public_hosts.is_empty() && !public_hosts.contains(&host) {
        return Err(HostFault::NotOurs);
    }
    Ok(host)
}

fn sole_host_field(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(HOST).iter();
    let field = fields.next()?;
    fields
        .next()
        .is_none()
        .then(|| field.to_str().ok())
        .flatten()
}

#[cfg(test)]
mod tests;
