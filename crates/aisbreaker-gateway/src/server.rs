//! The accept stage: connections within bounds, and an orderly end.

mod activity;
mod connection;
mod eviction;
mod tracked_io;

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout_at},
};

use crate::gateway::Gateway;
use connection::Connection;
use eviction::Crowd;

/// How long to leave `accept` alone when the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long connections get at least to send what is left once all requests are answered.
const FLUSH_TIME: Duration = Duration::from_secs(2);
/// How long requests that are cut off get at most to be dropped, which is when they are logged.
const LOG_TIME: Duration = Duration::from_secs(1);
/// How many streams one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 200;
/// The largest decoded header list of an HTTP/2 request, in bytes.
const MAX_HEADER_LIST: u32 = 64 << 10;
/// How much of an answer the HTTP/2 library asks for ahead of its client, in bytes; about twice as
/// much can wait.
const MAX_SEND_BUFFER: usize = 64 << 10;
/// How much of a connection is buffered, and so the largest HTTP/1 request head, in bytes.
const MAX_BUFFER: usize = 128 << 10;

/// How connections are bounded.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The longest time to a complete request head, and the longest idle time of a connection. An
    /// answer may wait ten times as long for its client to take more of it.
    pub header_timeout: Duration,
    /// How many connections may be open. Beyond it, one for which the server has only waited for
    /// two seconds or more (a quarter of a second if it never had a request) gives way to a new
    /// one; if there is none, the new one is told 503.
    pub max_connections: usize,
    /// How long requests under way may take to finish once the server shuts down.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            max_connections: 10_000,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// Serves HTTP/1.1 and HTTP/2 (with prior knowledge) until `shutdown` completes, then lets requests
/// under way finish.
///
/// On shutdown the listener is closed at once. Requests under way have `limits.drain_timeout` to
/// end, then they are cut off; new ones on open connections get 503.
///
/// # Cancel safety
/// Dropping the future closes the listener and all connections at once.
pub async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let mut connections = JoinSet::new();
    let close = watch::Sender::new(false);
    let builder = Arc::new(http_builder(&limits));
    let crowd = Crowd::new(limits.max_connections);
    let mut refusals = Refusals::default();
    {
        let mut shutdown = pin!(shutdown);
        let mut maintenance = pin!(gateway.maintain());
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                () = &mut maintenance => {}
                Some(ended) = connections.join_next() => log_panic(ended),
                accepted = listener.accept() => {
                    let Some((stream, peer)) = usable(accepted).await else { continue };
                    let Some(place) = crowd.join().await else {
                        refusals.refuse(&stream);
                        continue;
                    };
                    let connection = Connection::new(gateway.clone(), peer.ip(), limits.header_timeout, &place);
                    let (builder, close) = (Arc::clone(&builder), close.subscribe());
                    connections.spawn(async move {
                        connection.run(stream, &builder, close).await;
                        drop(place);
                    });
                }
            }
        }
    }
    drop(listener);
    drain(&gateway, &limits, &close, connections).await;
}

fn http_builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.header_timeout);
    builder
}

/// A connection, or a pause if there is none to be had.
async fn usable(accepted: io::Result<(TcpStream, SocketAddr)>) -> Option<(TcpStream, SocketAddr)> {
    match accepted {
        Ok(connection) => Some(connection),
        Err(error) if is_of_one_connection(&error) => None,
        Err(error) => {
            tracing::error!(%error, "cannot accept connections");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Whether the error is that of a client which left before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

fn log_panic(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a connection was dropped by a fault of this server");
    }
}

/// Connections for which there was no room.
#[derive(Default)]
struct Refusals {
    last_told: Option<Instant>,
    since_told: u64,
}

impl Refusals {
    /// Tells a client that there is no room, as far as it can be told without waiting for it, and
    /// the log at most once a second.
    fn refuse(&mut self, stream: &TcpStream) {
        let body = r#"{"error":{"message":"too many connections; try again","statusCode":503,"statusText":"Service Unavailable"}}"#;
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
             access-control-allow-origin: *\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        // A fresh socket takes this much at once; a client that is gone already does not matter.
        let _sent = stream.try_write(answer.as_bytes());
        self.since_told = self.since_told.saturating_add(1);
        let now = Instant::now();
        if self
            .last_told
            .is_none_or(|last| now.duration_since(last) >= Duration::from_secs(1))
        {
            tracing::warn!(refused = self.since_told, "too many connections");
            *self = Self {
                last_told: Some(now),
                since_told: 0,
            };
        }
    }
}

/// Lets requests under way finish, then what is left of their answers go out; both before the same
/// deadline.
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
        let _logged = timeout_at(Instant::now() + LOG_TIME, dropped).await;
    }
}
