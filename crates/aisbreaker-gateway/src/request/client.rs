//! The address of the client, which may be behind proxies.
//!
//! Only `X-Forwarded-For` is read, and only from trusted proxies. `Forwarded` (RFC 7239),
//! `X-Real-IP`, `True-Client-IP`, `CF-Connecting-IP` and all other such fields are ignored from
//! everyone: a proxy that sets one of them may forward what its client wrote in another.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Returns whether this address is a trusted proxy.
pub(crate) fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|network| network.contains(&address))
}

/// Returns the address of the client: the peer, or behind trusted proxies the right-most untrusted
/// address of `X-Forwarded-For`.
///
/// The walk from the right stops at an unreadable entry; the client is then the last address that
/// was read, or the peer.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if proxies.is_empty() || !is_trusted(peer, proxies) {
        return peer;
    }
    let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    let mut client = peer;
    for line in lines.iter().rev() {
        for entry in line.as_bytes().rsplit(|byte| *byte == b',') {
            let Some(address) = parse_entry(entry) else {
                return client;
            };
            client = address;
            if !is_trusted(address, proxies) {
                return client;
            }
        }
    }
    client
}

/// Parses one entry of `X-Forwarded-For`: an address, perhaps in brackets, perhaps with a port.
///
/// IPv4-mapped addresses become IPv4 addresses. The zone of a link-local address is dropped where
/// it is a number in brackets with a port, and unreadable elsewhere.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim();
    let address = if let Ok(address) = entry.parse::<IpAddr>() {
        address
    } else if let Ok(socket) = entry.parse::<SocketAddr>() {
        socket.ip()
    } else {
        let bare = entry.strip_prefix('[')?.strip_suffix(']')?;
        IpAddr::V6(bare.parse::<Ipv6Addr>().ok()?)
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests;
