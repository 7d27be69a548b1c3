//! Distinguishes public IP addresses from special-purpose ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is a unicast address of the public internet. An IPv4-mapped address is judged
/// as the IPv4 address that it maps.
///
/// Not public are the addresses that the IANA special-purpose registries (RFC 6890) list as not
/// globally reachable, and those that embed an IPv4 address, which this function would not see:
/// NAT64, 6to4, Teredo, ISATAP, IPv4-compatible. A NAT64 prefix that a network took from its public
/// addresses (RFC 6052 section 2.2) cannot be recognised.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0, ..]                             // this network
            | [10, ..]                      // private
            | [100, 64..=127, ..]           // carrier-grade NAT
            | [127, ..]                     // loopback
            | [169, 254, ..]                // link-local, cloud metadata
            | [172, 16..=31, ..]            // private
            | [192, 0, 0, _]                // IETF protocol assignments
            | [192, 0, 2, _]                // documentation
            | [192, 88, 99, _]              // 6to4 relays
            | [192, 168, ..]                // private
            | [198, 18..=19, ..]            // benchmarking
            | [198, 51, 100, _]             // documentation
            | [203, 0, 113, _]              // documentation
            | [224..=255, ..] // multicast, reserved, broadcast
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, _, _, fifth, sixth, _, _] = address.segments();
    // Loopback, mapped, NAT64, discard, unique-local, link-local, site-local and multicast are all
    // outside 2000::/3.
    let global_unicast = first & 0xe000 == 0x2000;
    let special = match first {
        // 2001::/23: Teredo, benchmarking, ORCHID and other protocol assignments.
        0x2001 => second < 0x0200 || second == 0x0db8,
        // 6to4.
        0x2002 => true,
        // 3fff::/20, documentation.
        0x3fff => second < 0x1000,
        _ => false,
    };
    let isatap = matches!(fifth, 0x0000 | 0x0200) && sixth == 0x5efe;
    global_unicast && !special && !isatap
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn global_unicast_addresses_are_public() {
        let public = "
            1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 169.253.255.255
            192.0.1.0 192.88.98.1 192.167.1.1 198.17.0.1 198.20.0.1 203.0.112.1 223.255.255.255
            ::ffff:8.8.8.8 2000::1 2001:200::1 2001:4860:4860::8888 2606:4700::1111 2a00:1450::1
            3fff:1000::1 2001:db9::1
        ";
        for address in public.split_whitespace() {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn addresses_of_every_special_family_are_not_public() {
        let families: [(&str, &[&str]); 30] = [
            ("this network", &["0.0.0.0", "0.255.255.255"]),
            (
                "private",
                &[
                    "10.0.0.0",
                    "10.255.255.255",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.0.1",
                ],
            ),
            ("carrier-grade NAT", &["100.64.0.0", "100.127.255.255"]),
            ("loopback", &["127.0.0.1", "127.255.255.255"]),
            (
                "link-local and metadata",
                &["169.254.0.0", "169.254.169.254", "169.254.255.255"],
            ),
            (
                "protocol assignments",
                &["192.0.0.0", "192.0.0.170", "192.0.0.255"],
            ),
            (
                "documentation",
                &["192.0.2.1", "198.51.100.255", "203.0.113.0"],
            ),
            ("6to4 relays", &["192.88.99.1"]),
            ("benchmarking", &["198.18.0.0", "198.19.255.255"]),
            ("multicast", &["224.0.0.1", "239.255.255.255"]),
            ("reserved", &["240.0.0.1", "254.255.255.255"]),
            ("broadcast", &["255.255.255.255"]),
            ("v6 unspecified", &["::"]),
            ("v6 loopback", &["::1"]),
            (
                "v4-mapped",
                &["::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:10.0.0.1"],
            ),
            ("v4-compatible", &["::127.0.0.1", "::8.8.8.8"]),
            ("v4-translated", &["::ffff:0:8.8.8.8"]),
            ("NAT64", &["64:ff9b::7f00:1", "64:ff9b::8.8.8.8"]),
            ("local NAT64", &["64:ff9b:1::1", "64:ff9b:1:ffff::10.0.0.1"]),
            ("discard", &["100::1"]),
            ("Teredo", &["2001::1", "2001:0:ffff::1"]),
            (
                "v6 protocol assignments",
                &["2001:1::1", "2001:2::1", "2001:3::1", "2001:1ff::1"],
            ),
            ("ORCHID", &["2001:10::1", "2001:20::1", "2001:2f:ffff::1"]),
            (
                "v6 documentation",
                &["2001:db8::1", "2001:db8:ffff::", "3fff::1", "3fff:fff::1"],
            ),
            ("6to4", &["2002::1", "2002:7f00:1::", "2002:808:808::1"]),
            ("unique-local", &["fc00::1", "fd00:ec2::254", "fdff::1"]),
            ("v6 link-local", &["fe80::1", "febf::1"]),
            ("site-local", &["fec0::1", "feff::1"]),
            ("v6 multicast", &["ff02::1", "ff0e::1"]),
            (
                "ISATAP and unassigned",
                &[
                    "2a00::5efe:10.0.0.1",
                    "2a00::200:5efe:10.0.0.1",
                    "4000::1",
                    "5f00::1",
                ],
            ),
        ];
        for (family, addresses) in families {
            for address in addresses {
                assert!(!is_public(address.parse().unwrap()), "{family}: {address}");
            }
        }
    }
}
