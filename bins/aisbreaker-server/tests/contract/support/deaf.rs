//! Addresses at which nobody answers, held for as long as the tests need them.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket},
    runtime::Runtime,
};

/// One address that refuses connections, and one whose queue of connections is full.
#[derive(Debug)]
pub(crate) struct Deaf {
    refusing: SocketAddr,
    full: SocketAddr,
    _bound: TcpSocket,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
    _runtime: Runtime,
}

impl Deaf {
    pub(crate) fn new() -> Self {
        // Nobody else gets a port that is bound, and nobody listens there.
        let bound = bound();
        let refusing = bound.local_addr().expect("its address");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(async { bound_listener() });
        let full = listener.local_addr().expect("its address");
        let connect = || TcpStream::connect_timeout(&full, Duration::from_millis(200)).ok();
        let queue: Vec<TcpStream> = (0..16).map_while(|_| connect()).collect();
        assert!(queue.len() < 16, "the queue is never full");
        Self {
            refusing,
            full,
            _bound: bound,
            _listener: listener,
            _queue: queue,
            _runtime: runtime,
        }
    }

    pub(crate) fn refusing_url(&self) -> String {
        format!("http://{}", self.refusing)
    }

    /// Of an address that neither takes nor refuses connections.
    pub(crate) fn full_url(&self) -> String {
        format!("http://{}", self.full)
    }
}

fn bound() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .expect("a port");
    socket
}

fn bound_listener() -> TcpListener {
    bound().listen(1).expect("a listener")
}
