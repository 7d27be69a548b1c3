//! Addresses to listen on, by number or by name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};

use super::{Given, Problem};

const SYNTAX: &str = "must be an IP address or a host name, and a port, such as 127.0.0.1:3000, \
                      [::]:3000 or localhost:3000";

/// An address, and the name that it was given by if it was not given by number.
pub(in crate::settings) struct Address {
    pub(in crate::settings) address: SocketAddr,
    pub(in crate::settings) name: Option<String>,
}

/// What is done with the names in addresses to listen on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Names {
    /// They are resolved.
    Resolve,
    /// They stand for no address: the server listens already, and goes on where it does.
    Ignore,
}

impl Given {
    /// Returns an address. A name is resolved now: to the first IPv4 address that it has, or else to
    /// its first one. `localhost` is 127.0.0.1 wherever this runs.
    pub(in crate::settings) fn address(&self, names: Names) -> Result<Address, Problem> {
        let text = self.text()?;
        let text = text.trim();
        if let Ok(address) = text.parse() {
            return Ok(Address {
                address,
                name: None,
            });
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(SYNTAX.into());
        };
        let Ok(port) = port.parse() else {
            return Err(SYNTAX.into());
        };
        // Resolvers take "127.1" for an address.
        let is_number = host.chars().all(|c| c.is_ascii_digit() || c == '.');
        if is_number || host.contains([':', '[', ']', '/']) {
            return Err(SYNTAX.into());
        }
        let ip = match names {
            Names::Resolve => resolve(host)?,
            Names::Ignore => Ipv4Addr::UNSPECIFIED.into(),
        };
        Ok(Address {
            address: SocketAddr::new(ip, port),
            name: Some(host.to_owned()),
        })
    }
}

fn resolve(host: &str) -> Result<IpAddr, Problem> {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let found = match (host, 0).to_socket_addrs() {
        Ok(found) => found,
        Err(error) => {
            return Err(format!("has a host name that cannot be resolved: {error}").into());
        }
    };
    let addresses: Vec<IpAddr> = found.map(|found| found.ip()).collect();
    let first_v4 = addresses.iter().find(|address| address.is_ipv4());
    match first_v4.or(addresses.first()) {
        Some(address) => Ok(*address),
        None => Err("has a host name without an address".into()),
    }
}
