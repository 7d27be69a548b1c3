//! Where the console is served.

use std::net::SocketAddr;

use aisbreaker_gateway::Config;

/// Whether the listeners serve the pages of the console.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum ConsoleMode {
    /// Those at addresses of this machine alone do.
    #[default]
    Auto,
    On,
    Off,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listeners {
    pub(crate) clients: SocketAddr,
    pub(crate) metrics: Option<SocketAddr>,
}

impl ConsoleMode {
    /// Sets which pages a gateway behind these listeners serves: the console to clients, and the live
    /// page with the metrics.
    pub(crate) fn apply(self, listeners: Listeners, to: &mut Config) {
        to.console = self.is_on_at(listeners.clients);
        to.live_page = listeners
            .metrics
            .is_some_and(|address| self.is_on_at(address));
    }

    fn is_on_at(self, address: SocketAddr) -> bool {
        match self {
            Self::Auto => address.ip().to_canonical().is_loopback(),
            Self::On => true,
            Self::Off => false,
        }
    }

    /// Parses a mode.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "auto" => Ok(Self::Auto),
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err("must be auto, on or off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use aisbreaker_token::{KeyRing, ServerKey};

    use super::*;

    #[test]
    fn by_itself_it_is_served_at_loopback_addresses_only() {
        let rows = [
            ("127.0.0.1:3000", true),
            ("127.8.9.1:1", true),
            ("[::1]:3000", true),
            ("[::ffff:127.0.0.1]:3000", true),
            ("0.0.0.0:3000", false),
            ("[::]:3000", false),
            ("10.0.0.1:3000", false),
            ("192.0.2.1:3000", false),
        ];
        let mut config = Config::new(KeyRing::new(ServerKey::generate().unwrap()));
        for (address, is_loopback) in rows {
            let address = address.parse().unwrap();
            for (mode, expected) in [
                (ConsoleMode::Auto, is_loopback),
                (ConsoleMode::On, true),
                (ConsoleMode::Off, false),
            ] {
                let other = "192.0.2.2:1".parse().unwrap();
                let listeners = |clients, metrics| Listeners { clients, metrics };
                mode.apply(listeners(address, None), &mut config);
                let pages = (config.console, config.live_page);
                assert_eq!(pages, (expected, false), "{mode:?} {address}");
                mode.apply(listeners(other, Some(address)), &mut config);
                let pages = (config.console, config.live_page);
                let on = mode == ConsoleMode::On;
                assert_eq!(pages, (on, expected), "{mode:?} {address}");
            }
        }
    }
}
