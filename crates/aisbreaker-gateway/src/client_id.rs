//! Which client a request is counted for.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Marks IPv4 addresses among IPv6 networks: ff00::/8 is multicast, never a source address.
const IPV4: u64 = 0xff00_0000_0000_0000;

/// The unit that quotas count per client: an IPv4 address, or the /64 network of an IPv6 address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ClientId(u64);

impl ClientId {
    /// Returns the client at this address. An IPv4-mapped address is an IPv4 address.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(IPV4 | u64::from(v4.to_bits())),
            IpAddr::V6(v6) => Self(network(v6)),
        }
    }

    /// Appends the bytes that [`decode`](Self::decode) reads: eight, or none without a client.
    pub(crate) fn encode(client: Option<Self>, to: &mut Vec<u8>) {
        if let Some(Self(number)) = client {
            to.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// Reads a client, or that there is none. Returns `None` for any other number of bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Option<Self>> {
        if bytes.is_empty() {
            return Some(None);
        }
        let number = u64::from_le_bytes(bytes.try_into().ok()?);
        Some(Some(Self(number)))
    }

    /// Returns a number that is unique to the client.
    pub(crate) fn as_u64(self) -> u64 {
        self.0
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

/// Returns the upper 64 bits.
fn network(address: Ipv6Addr) -> u64 {
    let [a, b, c, d, ..] = address.segments();
    let mut bits = 0;
    for segment in [a, b, c, d] {
        bits = bits << 16 | u64::from(segment);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_clients_count_by_their_network_and_mapped_ones_as_ipv4() {
        let id = |text: &str| ClientId::of(text.parse().unwrap());
        assert_eq!(id("2001:db8:1:2::1"), id("2001:db8:1:2:ffff::9"));
        assert_eq!(id("2001:db8:1:2::"), id("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(id("2001:db8:1:2::1"), id("2001:db8:1:3::1"));
        assert_ne!(id("2001:db8:1:2::1"), id("2001:db8:2:2::1"));
        assert_eq!(id("::ffff:192.0.2.1"), id("192.0.2.1"));
        assert_ne!(id("192.0.2.1"), id("192.0.2.2"));
        assert_ne!(id("192.0.2.1"), id("::192.0.2.1"));
        assert_ne!(id("0.0.0.0"), id("::"));
    }
}
