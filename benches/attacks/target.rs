//! The server under attack, and what a client needs to call it.

use std::{net::SocketAddr, path::Path, sync::Arc};

use aisbreaker_benches::{calls, gateway::UNLIMITED, process::Process};

/// The address to call, and the key to use.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) key: Arc<str>,
}

/// Starts a server with its defaults, except that quotas are never exceeded and providers may be on
/// this machine.
pub(crate) fn start(server: &Path) -> (Process, Target) {
    let environment = [
        ("AISBREAKER_SERVER_QUOTAS", UNLIMITED),
        ("AISBREAKER_DEFAULT_QUOTAS", UNLIMITED),
        ("AISBREAKER_MINT_QUOTAS", UNLIMITED),
        ("AISBREAKER_EGRESS_ALLOW", "127.0.0.0/8"),
        ("AISBREAKER_EGRESS_ALLOW_CALLERS", "true"),
    ];
    let (process, mut log) = Process::start(server, &environment);
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    let address = process.address();
    let key = calls::mint(address);
    (
        process,
        Target {
            address,
            key: key.into(),
        },
    )
}
