//! Reports the state of the server to the service manager, by the protocol of systemd's `sd_notify`:
//! one datagram for each state, sent to the socket that `NOTIFY_SOCKET` names.

#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::{
    ffi::OsStr,
    io,
    os::unix::{
        ffi::OsStrExt as _,
        net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// The variable with the address: a path, or a name in the abstract namespace after an `@`.
const VARIABLE: &str = "NOTIFY_SOCKET";
/// The longest wait for a service manager that does not read.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The service manager, if there is one.
#[derive(Debug)]
pub(crate) struct ServiceManager(Option<Channel>);

#[derive(Debug)]
struct Channel {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl ServiceManager {
    /// Finds the service manager that started this process. Warns if its socket cannot be used.
    pub(crate) fn from_environment() -> Self {
        let Some(address) = std::env::var_os(VARIABLE).filter(|address| !address.is_empty()) else {
            return Self(None);
        };
        match Channel::open(&address) {
            Ok(channel) => Self(Some(channel)),
            Err(error) => {
                warn(&error);
                Self(None)
            }
        }
    }

    /// Reports that the server serves, for the first time or again.
    pub(crate) fn ready(&mut self) {
        self.send("READY=1");
    }

    /// Reports that the settings are being reloaded, until it is [`ready`](Self::ready).
    pub(crate) fn reloading(&mut self) {
        self.send(&format!(
            "RELOADING=1\nMONOTONIC_USEC={}",
            monotonic_micros()
        ));
    }

    /// Reports that the server is ending.
    pub(crate) fn stopping(&mut self) {
        self.send("STOPPING=1");
    }

    /// Sends a state. After an error, warns and sends no more.
    fn send(&mut self, state: &str) {
        let Some(Channel { socket, address }) = &self.0 else {
            return;
        };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            warn(&error);
            self.0 = None;
        }
    }
}

impl Channel {
    fn open(address: &OsStr) -> io::Result<Self> {
        let address = parse(address)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { socket, address })
    }
}

fn parse(address: &OsStr) -> io::Result<SocketAddr> {
    match address.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(address),
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => {
            let problem = "it is neither an absolute path nor a name after an @";
            Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
        }
    }
}

fn warn(error: &io::Error) {
    tracing::warn!(%error, "the service manager cannot be notified: the socket of {VARIABLE} cannot be used");
}

/// Returns the microseconds of the clock by which a service manager orders a reload.
fn monotonic_micros() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let [seconds, nanos] = [now.tv_sec, now.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds
        .saturating_mul(1_000_000)
        .saturating_add(nanos / 1_000)
}
