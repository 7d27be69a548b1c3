//! The accept stage: connections within bounds, and an orderly end.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};

use crate::{body::ResponseBody, gateway::Gateway};

/// How long to leave `accept` alone when the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long connections get to send what is left once all requests are answered.
const FLUSH_TIME: Duration = Duration::from_secs(2);
/// How many streams one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 200;
/// The largest decoded header list of an HTTP/2 request, in bytes.
const MAX_HEADER_LIST: u32 = 64 << 10;
/// How much of a connection is buffered, and so the largest HTTP/1 request head, in bytes.
const MAX_BUFFER: usize = 128 << 10;

/// How connections are bounded.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The longest time to a complete request head, and the longest idle time of a connection.
    pub header_timeout: Duration,
    /// How many connections may be open.
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

/// Serves HTTP/1.1 and HTTP/2 (with prior knowledge) until `shutdown` completes, then lets requests under way finish.
///
/// On shutdown the listener is closed at once. Requests under way have `limits.drain_timeout` to end, then they are cut
/// off; new ones on open connections get 503.
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
    let room = Arc::new(Semaphore::new(limits.max_connections));
    {
        let mut shutdown = pin!(shutdown);
        let mut maintenance = pin!(gateway.maintain());
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                () = &mut maintenance => {}
                Some(_ended) = connections.join_next() => {}
                accepted = listener.accept() => {
                    let Some((stream, peer)) = usable(accepted).await else { continue };
                    let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                        refuse(&stream);
                        continue;
                    };
                    let connection = Connection {
                        gateway: gateway.clone(),
                        peer: peer.ip(),
                        activity: Arc::default(),
                        header_timeout: limits.header_timeout,
                    };
                    let (builder, close) = (Arc::clone(&builder), close.subscribe());
                    connections.spawn(async move {
                        connection.run(stream, &builder, close).await;
                        drop(permit);
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
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Tells a client that there is no room, as far as it can be told without waiting for it.
fn refuse(stream: &TcpStream) {
    let body = r#"{"error":{"message":"too many connections; try again","statusCode":503,"statusText":"Service Unavailable"}}"#;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
         access-control-allow-origin: *\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // A fresh socket takes this much at once; a client that is gone already does not matter.
    let _sent = stream.try_write(answer.as_bytes());
}

async fn drain(
    gateway: &Gateway,
    limits: &Limits,
    close: &watch::Sender<bool>,
    mut connections: JoinSet<()>,
) {
    gateway.lifecycle().start_draining();
    tracing::info!("draining");
    if timeout(limits.drain_timeout, gateway.lifecycle().idle()).await.is_err() {
        tracing::warn!("requests are cut off: they did not finish in time");
    }
    close.send_replace(true);
    let flushed = async { while connections.join_next().await.is_some() {} };
    let _in_time = timeout(FLUSH_TIME, flushed).await;
}

struct Connection {
    gateway: Gateway,
    peer: IpAddr,
    activity: Arc<Activity>,
    header_timeout: Duration,
}

/// What a connection does, to tell an idle one.
#[derive(Default)]
struct Activity {
    requests_begun: AtomicUsize,
    requests_under_way: AtomicUsize,
}

/// One request under way on its connection.
struct Busy(Arc<Activity>);

impl Activity {
    fn begin(self: &Arc<Self>) -> Busy {
        self.requests_begun.fetch_add(1, Ordering::Relaxed);
        self.requests_under_way.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.requests_under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// Serves one connection until it ends, is idle for too long, or is told to close.
    async fn run(
        self,
        stream: TcpStream,
        builder: &auto::Builder<TokioExecutor>,
        mut close: watch::Receiver<bool>,
    ) {
        // Without this, small pieces of a stream wait for the client's acknowledgement.
        let _best_effort = stream.set_nodelay(true);
        let service =
            service_fn(|request| answer(self.gateway.clone(), self.peer, self.activity.begin(), request));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut ticks = interval_at(Instant::now() + self.header_timeout, self.header_timeout);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut begun_before, mut is_closing) = (0, false);
        loop {
            tokio::select! {
                // Broken connections are a matter of their clients; requests that they cut off are in the log.
                _ended = connection.as_mut() => return,
                _told = close.changed(), if !is_closing => {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                _tick = ticks.tick() => {
                    let begun = self.activity.requests_begun.load(Ordering::Relaxed);
                    let is_busy = self.activity.requests_under_way.load(Ordering::Relaxed) > 0;
                    if is_busy || begun != begun_before {
                        begun_before = begun;
                    } else if begun == 0 || is_closing {
                        return;
                    } else {
                        is_closing = true;
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        }
    }
}

/// Answers one request; its connection is busy until the body of the answer is over.
async fn answer(
    gateway: Gateway,
    peer: IpAddr,
    busy: Busy,
    request: Request<Incoming>,
) -> Result<Response<BusyBody>, Infallible> {
    let response = gateway.handle(request, peer).await;
    Ok(response.map(|body| BusyBody { body, _busy: busy }))
}

/// A body whose connection is busy until it is dropped.
struct BusyBody {
    body: ResponseBody,
    _busy: Busy,
}

impl Body for BusyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
