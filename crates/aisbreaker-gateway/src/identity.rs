//! Who is called and who calls: the host and the client of a request.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use aisbreaker_token::Host;
use http::{HeaderMap, HeaderName, Uri, header::HOST};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What quotas count per client: an IPv4 address, or the /64 network of an IPv6 one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ClientId(u64);

impl ClientId {
    /// A number that tells clients apart.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The client at this address. IPv4 (mapped or not) is told from IPv6 networks by a prefix that no host can have.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // ff00::/8 is multicast, which never is a source address.
            IpAddr::V4(v4) => Self(0xff00_0000_0000_0000 | u64::from(v4.to_bits())),
            IpAddr::V6(v6) => Self(network(v6)),
        }
    }
}

fn network(address: Ipv6Addr) -> u64 {
    let [a, b, c, d, ..] = address.segments();
    [a, b, c, d].iter().fold(0, |bits, segment| bits << 16 | u64::from(*segment))
}

/// Whether this address is one of the proxies that are believed.
pub(crate) fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|network| network.contains(&address))
}

/// The address of the client: the peer, or behind trusted proxies the right-most address of `X-Forwarded-For` that
/// is not one of them. At an entry that cannot be read, the walk stops.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if proxies.is_empty() || !is_trusted(peer, proxies) {
        return peer;
    }
    let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    let entries = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
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
fn forwarded_address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
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

/// The host that was called: `:authority` or the `Host` field, or `X-Forwarded-Host` from a trusted proxy.
pub(crate) fn host(
    uri: &Uri,
    headers: &HeaderMap,
    from_trusted_proxy: bool,
    public_hosts: &[Host],
) -> Result<Host, HostFault> {
    let forwarded = headers.get_all(X_FORWARDED_HOST).iter().next_back().filter(|_| from_trusted_proxy);
    let text = match (forwarded, uri.authority()) {
        (Some(value), _) => value.to_str().ok().and_then(|list| list.rsplit(',').next()),
        (None, Some(authority)) => Some(authority.as_str()),
        (None, None) => sole_host_field(headers),
    };
    let host = text.and_then(|text| Host::parse(text.trim()).ok()).ok_or(HostFault::Unreadable)?;
    if !public_hosts.is_empty() && !public_hosts.contains(&host) {
        return Err(HostFault::NotOurs);
    }
    Ok(host)
}

fn sole_host_field(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(HOST).iter();
    let field = fields.next()?;
    fields.next().is_none().then(|| field.to_str().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn the_client_is_the_right_most_address_that_is_no_trusted_proxy() {
        let proxies: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect();
        let rows: [(&str, &[&str], &str); 14] = [
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.2.3.4"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.7", "10.2.3.4"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["2001:db8::7, fd00::1"], "2001:db8::7"),
            ("10.0.0.1", &["198.51.100.7, garbage, 10.2.3.4"], "10.2.3.4"),
            ("10.0.0.1", &["198.51.100.7, garbage"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7, "], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.9, 10.0.0.8"], "10.0.0.9"),
        ];
        for (peer, lines, expected) in rows {
            let found = client_address(peer.parse().unwrap(), &headers(&X_FORWARDED_FOR, lines), &proxies);
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
        }
    }

    #[test]
    fn ipv6_clients_count_by_their_network_and_mapped_ones_as_ipv4() {
        let id = |text: &str| ClientId::of(text.parse().unwrap());
        assert_eq!(id("2001:db8:1:2::1"), id("2001:db8:1:2:ffff::9"));
        assert_ne!(id("2001:db8:1:2::1"), id("2001:db8:1:3::1"));
        assert_eq!(id("::ffff:192.0.2.1"), id("192.0.2.1"));
        assert_ne!(id("192.0.2.1"), id("192.0.2.2"));
    }

    #[test]
    fn the_host_is_canonical_and_one_of_ours() {
        let ours = [Host::parse("api.example.com").unwrap()];
        type Row<'a> = (&'a [&'a str], &'a [Host], Result<&'a str, HostFault>);
        let rows: [Row<'_>; 8] = [
            (&["API.example.com.:3000"], &[], Ok("api.example.com")),
            (&["[::1]:3000"], &[], Ok("[::1]")),
            (&["api.example.com"], &ours, Ok("api.example.com")),
            (&["api.example.org"], &ours, Err(HostFault::NotOurs)),
            (&[], &[], Err(HostFault::Unreadable)),
            (&[""], &[], Err(HostFault::Unreadable)),
            (&["a.example", "b.example"], &[], Err(HostFault::Unreadable)),
            (&["a b"], &[], Err(HostFault::Unreadable)),
        ];
        for (lines, public_hosts, expected) in rows {
            let found = host(&Uri::from_static("/"), &headers(&HOST, lines), false, public_hosts);
            assert_eq!(found.as_ref().map(Host::as_str).map_err(|fault| *fault), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_forwarded_host_counts_only_from_a_trusted_proxy() {
        let mut fields = headers(&HOST, &["inner.example"]);
        fields.insert(X_FORWARDED_HOST, HeaderValue::from_static("spoofed.example, outer.example"));

        let found = |trusted| host(&Uri::from_static("/"), &fields, trusted, &[]).unwrap().to_string();

        assert_eq!(found(true), "outer.example");
        assert_eq!(found(false), "inner.example");
    }
}
