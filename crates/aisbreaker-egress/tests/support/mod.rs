//! A client and a server on loopback.
#![allow(dead_code, reason = "each test file uses some of the helpers")]

use std::time::Duration;

use aisbreaker_egress::{Client, Policy, Timeouts, parse_url};
use http::Uri;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Longer than anything here takes, so that a test fails instead of hanging.
pub(crate) const GUARD: Duration = Duration::from_secs(20);

pub(crate) fn client(timeouts: Timeouts) -> Client {
    Client::new(Policy::strict().allow("127.0.0.0/8").unwrap(), timeouts)
}

pub(crate) async fn listen() -> (TcpListener, Uri) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, parse_url(&base).unwrap())
}

pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    timeout(GUARD, listener.accept())
        .await
        .expect("no connection")
        .unwrap()
        .0
}
