//! The client of a request, compared with a slow and simple implementation of the same rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aisbreaker_gateway::fuzzing;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

/// The first line is the peer, and the second lists the trusted proxies, separated by spaces. Each
/// further line is a field line of `X-Forwarded-For`.
pub fn check(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut words = || str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let Ok(peer) = words().parse::<IpAddr>() else {
        return;
    };
    let proxies: Vec<IpNet> = words()
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    let values: Vec<HeaderValue> = lines
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .collect();
    let name = HeaderName::from_static("x-forwarded-for");
    let headers: HeaderMap = values
        .iter()
        .map(|value| (name.clone(), value.clone()))
        .collect();

    let found = fuzzing::client_address(peer, &headers, &proxies);

    assert_eq!(
        found,
        client(peer, &values, &proxies),
        "{peer} {proxies:?} {values:?}"
    );
    assert_eq!(
        fuzzing::client_address(peer, &headers, &[]),
        plain(peer),
        "nobody is trusted"
    );
    check_client_number(found);
}

/// Joins all lines, and reads from the right to the first untrusted or unreadable entry.
fn client(peer: IpAddr, values: &[HeaderValue], proxies: &[IpNet]) -> IpAddr {
    let mut client = plain(peer);
    let lines: Vec<&[u8]> = values.iter().map(HeaderValue::as_bytes).collect();
    let joined = lines.join(&b","[..]);
    let mut entries: Vec<&[u8]> = joined.split(|byte| *byte == b',').collect();
    while is_trusted(client, proxies) {
        let entry = entries.pop().filter(|_| !values.is_empty());
        let Some(address) = entry.and_then(|entry| address(str::from_utf8(entry).ok()?.trim()))
        else {
            break;
        };
        client = plain(address);
    }
    client
}

/// Parses an address, perhaps with brackets, perhaps with a port.
fn address(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let port = after.strip_prefix(':').map_or(after.is_empty(), is_port);
        // As in `SocketAddr`, only an address with a port may have a zone, which does not identify
        // the client.
        let inside = inside.split_once('%').map_or(inside, |(address, zone)| {
            let is_zone = !after.is_empty() && is_number(zone) && zone.parse::<u32>().is_ok();
            if is_zone { address } else { inside }
        });
        return inside
            .parse::<Ipv6Addr>()
            .ok()
            .filter(|_| port)
            .map(IpAddr::V6);
    }
    match text.split_once(':') {
        Some((v4, port)) if v4.contains('.') && is_port(port) => {
            v4.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
        }
        _ => text.parse().ok(),
    }
}

fn is_port(text: &str) -> bool {
    is_number(text) && text.parse::<u16>().is_ok()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the IPv4 address of an IPv4-mapped address.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Returns whether any of the networks contains this address, compared bit by bit.
fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let bit = |bytes: &[u8], place: usize| bytes[place / 8] >> (7 - place % 8) & 1;
    proxies.iter().any(|network| {
        let (network_bits, bits) = (bits(network.addr()), bits(address));
        network_bits.len() == bits.len()
            && (0..usize::from(network.prefix_len()))
                .all(|place| bit(&network_bits, place) == bit(&bits, place))
    })
}

/// IPv6 addresses count by their first 64 bits and IPv4 addresses by all; the two never collide.
fn check_client_number(address: IpAddr) {
    let number = fuzzing::client_number(address);
    match address {
        IpAddr::V4(v4) => {
            assert_eq!(fuzzing::client_number(v4.to_ipv6_mapped().into()), number);
            let neighbour = Ipv4Addr::from_bits(v4.to_bits() ^ 1);
            assert_ne!(fuzzing::client_number(neighbour.into()), number, "{v4}");
        }
        IpAddr::V6(v6) => {
            let (same, other) = (v6.to_bits() ^ 1 << 63, v6.to_bits() ^ 1 << 64);
            let is_mapped = v6.to_bits() >> 64 == 0;
            let number_of = |bits| fuzzing::client_number(Ipv6Addr::from_bits(bits).into());
            assert!(is_mapped || number_of(same) == number, "{v6}");
            assert!(is_mapped || number_of(other) != number, "{v6}");
        }
    }
}
