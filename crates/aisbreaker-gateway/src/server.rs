//! The accept stage: connections within limits, and graceful drain.

mod activity;
mod body_times;
mod connection;
mod eviction;
mod http_connection;
mod idle_check;
pub(crate) mod linger;
mod poll_clock;
mod refusals;
mod self_wake;
mod socket;
mod tls;
mod tracked_body;
mod tracked_io;
mod unread_body;
mod write_progress;

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout_at},
};

use crate::gateway::Gateway;
use connection::Connection;
use eviction::ConnectionTable;
use http_connection::HttpBuilders;
use idle_check::Timeouts;
use refusals::Refusals;
pub use tls::{InvalidCertificate, TlsCertificate};

/// The pause after an error of `accept`, such as a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The least time that connections get to flush their responses once all requests have ended.
const FLUSH_TIME: Duration = Duration::from_secs(2);
/// The most time that requests which are cut off get to be dropped, which logs them.
const DROP_TIME: Duration = Duration::from_secs(1);
/// The most open streams of an HTTP/2 connection.
const MAX_STREAMS: u32 = 200;
/// The largest decoded header list of an HTTP/2 request, in bytes.
const MAX_HEADER_LIST: u32 = 64 << 10;
/// How much of a response hyper reads ahead of an HTTP/2 client, in bytes. About twice as much can
/// be buffered.
const MAX_SEND_BUFFER: usize = 64 << 10;
/// How much an HTTP/2 client may send ahead on one stream, in bytes: what is held of an upload whose
/// provider is slow.
const STREAM_WINDOW: u32 = 512 << 10;
/// The read buffer of a connection, and so the largest HTTP/1 request head, in bytes.
const MAX_BUFFER: usize = 128 << 10;

/// The limits of connections.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The longest time to a complete request head, and before it for a TLS handshake. A response may wait ten times as long for its
    /// client to read.
    pub header_timeout: Duration,
    /// The longest time that a connection waits for its next request. A balancer in front must
    /// have a shorter one, or it sends requests on connections that are being closed.
    pub idle_timeout: Duration,
    /// The most open connections. One more evicts a connection that has kept the server waiting for
    /// two seconds (before its first request: for a quarter of a second). If there is none, the new
    /// connection gets 503; with TLS, it is closed.
    pub max_connections: usize,
    /// How long the server goes on accepting and serving once it shuts down, while `/readyz` answers
    /// 503, so that a load balancer can turn away from it. Then it drains.
    pub drain_delay: Duration,
    /// How long requests in flight may take to finish once the server drains.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            max_connections: 10_000,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// Serves HTTP/1.1 and HTTP/2 (with prior knowledge) until `shutdown` completes, then drains.
///
/// On shutdown the listener is closed, at once or after `limits.drain_delay`. Requests in flight then
/// have `limits.drain_timeout` to finish before they are cut off; new ones on open connections get
/// 503.
///
/// # Cancel safety
/// Dropping the future closes the listener and all connections at once.
pub async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    serve_connections((listener, None), gateway, limits, shutdown).await;
}

/// Serves like [`serve`], by TLS with this certificate. ALPN selects HTTP/2 or HTTP/1.1.
///
/// A connection without TLS is closed.
///
/// # Cancel safety
/// Dropping the future closes the listener and all connections at once.
pub async fn serve_tls(
    listener: TcpListener,
    certificate: TlsCertificate,
    gateway: Gateway,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    serve_connections((listener, Some(certificate)), gateway, limits, shutdown).await;
}

async fn serve_connections(
    (listener, certificate): (TcpListener, Option<TlsCertificate>),
    gateway: Gateway,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let mut connections = JoinSet::new();
    let close = watch::Sender::new(false);
    let builders = Arc::new(http_builders(&limits));
    let table = ConnectionTable::new(limits.max_connections);
    let mut refusals = Refusals::new();
    let timeouts = Timeouts {
        head: limits.header_timeout,
        idle: limits.idle_timeout,
    };
    {
        let mut shutdown = pin!(async {
            shutdown.await;
            announce_draining(&gateway, limits.drain_delay).await;
        });
        let mut maintenance = pin!(gateway.maintain());
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                () = &mut maintenance => {}
                Some(ended) = connections.join_next() => log_panic(ended),
                accepted = listener.accept() => {
                    let Some((stream, peer)) = accepted_or_pause(accepted).await else { continue };
                    let Some(slot) = table.acquire().await else {
                        match certificate {
                            None => refusals.refuse(stream),
                            Some(_) => refusals.close(stream),
                        }
                        gateway.count_refused_connection();
                        continue;
                    };
                    let connection =
                        Connection::new(gateway.clone(), peer.ip(), timeouts, &slot);
                    let accepted = (stream, certificate.clone());
                    let (builders, close) = (Arc::clone(&builders), close.subscribe());
                    let counted = gateway.count_connection();
                    connections.spawn(async move {
                        connection.run(accepted, &builders, close).await;
                        drop((slot, counted));
                    });
                }
            }
        }
    }
    drop(listener);
    drain(&gateway, &limits, &close, connections).await;
}

/// Has `/readyz` report the end for this long, while the server goes on.
async fn announce_draining(gateway: &Gateway, delay: Duration) {
    if delay.is_zero() {
        return;
    }
    gateway.announce_draining();
    tracing::info!("not ready: draining begins after the drain delay");
    sleep(delay).await;
}

fn http_builders(limits: &Limits) -> HttpBuilders {
    let mut builders = HttpBuilders {
        http1: http1::Builder::new(),
        http2: http2::Builder::new(TokioExecutor::new()),
    };
    builders
        .http1
        .timer(TokioTimer::new())
        // `Timeouts` has one that begins with the head, not with the idle time before it.
        .header_read_timeout(None)
        .max_buf_size(MAX_BUFFER);
    builders
        .http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .initial_stream_window_size(STREAM_WINDOW)
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.header_timeout);
    builders
}

/// Returns the accepted connection. After an error of the server itself, pauses.
async fn accepted_or_pause(
    accepted: io::Result<(TcpStream, SocketAddr)>,
) -> Option<(TcpStream, SocketAddr)> {
    match accepted {
        Ok(connection) => Some(connection),
        Err(error) if is_connection_error(&error) => None,
        Err(error) => {
            tracing::error!(%error, "cannot accept connections");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Returns whether a client left before its connection was accepted.
fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

fn log_panic(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a connection was dropped: this server has a fault");
    }
}

/// Lets requests in flight finish and their responses be flushed, both before the same deadline.
async fn drain(
    gateway: &Gateway,
    limits: &Limits,
    close: &watch::Sender<bool>,
    mut connections: JoinSet<()>,
) {
    let deadline = Instant::now() + limits.drain_timeout;
    gateway.start_draining();
    tracing::info!("draining");
    if timeout_at(deadline, gateway.idle()).await.is_err() {
        tracing::warn!("requests are cut off: they did not finish in time");
    }
    close.send_replace(true);
    let flushed = async { while connections.join_next().await.is_some() {} };
    if timeout_at(deadline.max(Instant::now() + FLUSH_TIME), flushed)
        .await
        .is_err()
    {
        let dropped = async {
            connections.shutdown().await;
            gateway.idle().await;
        };
        let _logged = timeout_at(Instant::now() + DROP_TIME, dropped).await;
    }
}
