//! Addresses at which connections fail, held for as long as a test needs them.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket},
    runtime::Runtime,
};

use super::current_thread_runtime;

/// An address that refuses connections, and one whose accept backlog is full.
#[derive(Debug)]
pub(crate) struct UnreachableAddresses {
    refusing: SocketAddr,
    full_backlog: SocketAddr,
    _bound: TcpSocket,
    _listener: TcpListener,
    _backlog: Vec<TcpStream>,
    _runtime: Runtime,
}

impl UnreachableAddresses {
    /// Binds one port without listening, and fills the backlog of another.
    pub(crate) fn new() -> Self {
        // A bound port is given to nobody else, and connections to it are refused.
        let bound = bound_socket();
        let refusing = bound.local_addr().expect("its address");
        let runtime = current_thread_runtime();
        let listener = runtime.block_on(async { bound_socket().listen(1).expect("a listener") });
        let full_backlog = listener.local_addr().expect("its address");
        let connect = || TcpStream::connect_timeout(&full_backlog, Duration::from_millis(200)).ok();
        let backlog: Vec<TcpStream> = (0..16).map_while(|_| connect()).collect();
        assert!(backlog.len() < 16, "the backlog never fills up");
        Self {
            refusing,
            full_backlog,
            _bound: bound,
            _listener: listener,
            _backlog: backlog,
            _runtime: runtime,
        }
    }

    /// The URL of an address that refuses connections.
    pub(crate) fn refusing_url(&self) -> String {
        format!("http://{}", self.refusing)
    }

    /// The URL of an address that neither accepts nor refuses connections.
    pub(crate) fn full_backlog_url(&self) -> String {
        format!("http://{}", self.full_backlog)
    }
}

/// The URL of a local port that was just closed. Unlike those of [`UnreachableAddresses`], it is not
/// reserved.
pub(crate) fn closed_url() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("its address"))
}

fn bound_socket() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .expect("a port");
    socket
}
