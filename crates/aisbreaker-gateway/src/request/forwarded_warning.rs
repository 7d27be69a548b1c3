//! Warns of proxies that are not trusted, so that all their users count as one client.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use ipnet::IpNet;

/// The most warnings. Anyone can send the field, so more would let anyone fill the log.
const MAX_WARNINGS: usize = 8;
/// How many bits of an address its network is known by.
const IPV4_PREFIX: u8 = 24;
const IPV6_PREFIX: u8 = 64;

/// The networks of peers that were warned of, each once.
#[derive(Default)]
pub(crate) struct ForwardedWarning {
    networks: Mutex<Vec<IpNet>>,
    is_full: AtomicBool,
}

impl ForwardedWarning {
    /// Returns whether a further peer may be warned of.
    pub(crate) fn is_open(&self) -> bool {
        !self.is_full.load(Ordering::Relaxed)
    }

    /// Warns of a peer that sent `X-Forwarded-For` and is no trusted proxy, unless one of its network
    /// was warned of.
    pub(crate) fn warn(&self, peer: IpAddr) {
        if self.note(peer) {
            tracing::warn!(
                %peer,
                "X-Forwarded-For is ignored: this peer is not in trusted_proxies \
                 (AISBREAKER_TRUSTED_PROXIES); if it is a proxy of yours, add it there, since all its \
                 users count as one client until then"
            );
        }
    }

    /// Notes a peer, and returns whether it is the first of its network and there is room for it.
    fn note(&self, peer: IpAddr) -> bool {
        let prefix = match peer {
            IpAddr::V4(_) => IPV4_PREFIX,
            IpAddr::V6(_) => IPV6_PREFIX,
        };
        let network = match IpNet::new(peer, prefix) {
            Ok(network) => network.trunc(),
            // Not expected: both lengths are valid.
            Err(_too_long) => IpNet::from(peer),
        };
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if networks.len() >= MAX_WARNINGS || networks.contains(&network) {
            return false;
        }
        networks.push(network);
        self.is_full
            .store(networks.len() >= MAX_WARNINGS, Ordering::Relaxed);
        true
    }
}

impl fmt::Debug for ForwardedWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForwardedWarning")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_warned_of_once_and_there_are_few_warnings() {
        let warning = ForwardedWarning::default();
        let note = |peer: &str| warning.note(peer.parse().unwrap());

        assert!(note("10.0.0.1"));
        assert!(!note("10.0.0.1"));
        assert!(!note("10.0.0.254"));
        assert!(note("10.0.1.1"));
        assert!(note("2001:db8::1"));
        assert!(!note("2001:db8::2"));
        for i in 0..5 {
            assert!(warning.is_open());
            assert!(note(&format!("192.0.{i}.1")));
        }
        assert!(!warning.is_open());
        assert!(!note("203.0.113.1"));
    }
}
