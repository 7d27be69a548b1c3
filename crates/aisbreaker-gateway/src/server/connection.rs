//! One connection: its requests, and when it is closed for being idle.

use std::{
    convert::Infallible,
    future::{Future as _, poll_fn},
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use futures_util::FutureExt as _;
use http::{
    HeaderValue, Request, Response, Version,
    header::{CONNECTION, EXPECT},
};
use hyper::{body::Incoming, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
#[cfg(any(target_os = "android", target_os = "linux"))]
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    sync::watch,
    time::{Instant, Sleep, sleep, sleep_until},
};

use super::{
    activity::{Activity, RequestGuard},
    eviction::{ConnectionTable, Slot},
    http_connection::{HttpBuilders, HttpConnection},
    idle_check::{Phase, Timeouts, Verdict},
    self_wake::SelfWake,
    socket::Socket,
    tls::TlsCertificate,
    tracked_body::{TrackedRequestBody, TrackedResponseBody, Unread},
    tracked_io::TrackedIo,
};
use crate::{
    gateway::Gateway, request::websocket::CanUpgrade, tunnel::LoggedTunnel, wake_filter::WakeFilter,
};

/// The most bytes that the kernel buffers beyond the client's receive window.
#[cfg(any(target_os = "android", target_os = "linux"))]
const MAX_UNSENT: u32 = 128 << 10;

/// What happens to a connection besides its requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Event {
    Ended,
    /// The server drains.
    Draining,
    EvictionRequested,
    CheckDue,
}

/// A connection that is served.
pub(super) struct Connection {
    gateway: Gateway,
    peer: IpAddr,
    timeouts: Timeouts,
    activity: Arc<Activity>,
    connections: Arc<ConnectionTable>,
}

impl Connection {
    pub(super) fn new(gateway: Gateway, peer: IpAddr, timeouts: Timeouts, slot: &Slot) -> Self {
        Self {
            gateway,
            peer,
            timeouts,
            activity: Arc::clone(slot.activity()),
            connections: Arc::clone(slot.connections()),
        }
    }

    /// Serves the connection until it ends, is idle for too long, is evicted, or `close` changes.
    pub(super) async fn run(
        self,
        (stream, certificate): (TcpStream, Option<TlsCertificate>),
        builders: &HttpBuilders,
        mut close: watch::Receiver<bool>,
    ) {
        configure(&stream);
        let socket = match certificate {
            None => Socket::Plain(stream),
            Some(certificate) => {
                // Boxed, so that connections without TLS are not as large.
                let handshake = Box::pin(self.shake_hands(stream, &certificate, &mut close));
                let Some(socket) = handshake.await else {
                    return;
                };
                socket
            }
        };
        let service = service_fn(|request| {
            respond(
                self.gateway.clone(),
                &self.connections,
                self.peer,
                self.activity.start_request(),
                request,
            )
        });
        let io = TrackedIo::new(socket, Arc::clone(&self.activity));
        let mut connection = HttpConnection::new(io, service, builders);
        let mut phase = Phase::Open;
        let next_check = |phase| Instant::now() + self.timeouts.interval(phase);
        let mut check = pin!(sleep_until(next_check(phase)));
        let mut self_wake = SelfWake::default();
        loop {
            let event = {
                let mut next = pin!(self.next_event(&mut close, phase, check.as_mut()));
                let mut filter = WakeFilter::new();
                poll_fn(|cx| {
                    // A request that has just arrived comes before the end of the idle time.
                    let polled = self.activity.clock.during_poll(|| {
                        let polled = self_wake.poll(cx, |cx| connection.poll(cx));
                        self.activity.poll_drain(cx);
                        polled
                    });
                    match polled {
                        Poll::Ready(()) => Poll::Ready(Event::Ended),
                        Poll::Pending => filter.poll(cx, |cx| next.as_mut().poll(cx)),
                    }
                })
                .await
            };
            let verdict = match event {
                Event::Ended => break,
                Event::Draining => Verdict::Close,
                // It may have become useful since.
                Event::EvictionRequested if self.is_evictable() => return,
                Event::EvictionRequested => continue,
                Event::CheckDue => self.timeouts.check(&self.activity, phase),
            };
            match verdict {
                Verdict::KeepUntil(time) => check.as_mut().reset(time),
                Verdict::Drop => return,
                Verdict::Close => {
                    phase = Phase::Closing;
                    connection.graceful_shutdown();
                    check.as_mut().reset(next_check(phase));
                }
            }
        }
        let upgraded = self.activity.take_upgrade();
        if let Some(tunnel) = self.activity.take_tunnel() {
            if let Some(upgrade) = upgraded {
                Box::pin(self.run_tunnel(tunnel, upgrade)).await;
            }
            return;
        }
        tokio::select! {
            () = shut_down(upgraded) => {}
            () = self.activity.eviction_requested() => {}
            _changed = close.changed(), if phase == Phase::Open => {}
        }
    }

    /// Waits for anything that is no request.
    async fn next_event(
        &self,
        close: &mut watch::Receiver<bool>,
        phase: Phase,
        check: Pin<&mut Sleep>,
    ) -> Event {
        tokio::select! {
            biased;
            _changed = close.changed(), if phase == Phase::Open => Event::Draining,
            () = self.activity.eviction_requested() => Event::EvictionRequested,
            () = check => Event::CheckDue,
        }
    }

    /// Shakes hands, unless the client takes longer than for a request head, the connection is evicted
    /// meanwhile, or `close` changes.
    async fn shake_hands(
        &self,
        stream: TcpStream,
        certificate: &TlsCertificate,
        close: &mut watch::Receiver<bool>,
    ) -> Option<Socket> {
        tokio::select! {
            accepted = certificate.accept(stream) => match accepted {
                Ok(stream) => Some(Socket::Tls(Box::new(stream))),
                Err(error) => {
                    tracing::debug!(peer = %self.peer, %error, "the TLS handshake failed");
                    None
                }
            },
            // Nothing of it is worth keeping.
            () = self.activity.eviction_requested() => None,
            _changed = close.changed() => None,
            () = sleep(self.timeouts.head) => None,
        }
    }

    /// Serves the WebSocket to which the connection was switched, unless its client leaves unread what
    /// it is sent.
    ///
    /// It ends by itself when the server drains. Until then the connection counts as one with a request
    /// in flight.
    async fn run_tunnel(&self, tunnel: LoggedTunnel, upgrade: OnUpgrade) {
        let _request = self.activity.start_request();
        let Ok(upgraded) = upgrade.await else {
            return;
        };
        let mut client = TokioIo::new(upgraded);
        let conversation = async {
            tunnel.run(&mut client).await;
            let _closed = client.shutdown().await;
        };
        tokio::select! {
            () = conversation => {}
            () = self.is_unread() => {}
        }
    }

    /// Waits until the client has left unread what it is sent, for too long or while another connection
    /// needs the place.
    async fn is_unread(&self) {
        let interval = self.timeouts.interval(Phase::Open);
        let mut check = pin!(sleep(interval));
        loop {
            tokio::select! {
                () = check.as_mut() => match self.timeouts.check(&self.activity, Phase::Open) {
                    Verdict::KeepUntil(time) => check.as_mut().reset(time),
                    Verdict::Close | Verdict::Drop => return,
                },
                () = self.activity.eviction_requested() => {
                    if self.is_evictable() {
                        return;
                    }
                }
            }
        }
    }

    fn is_evictable(&self) -> bool {
        self.activity.waiting_since().is_some() || self.activity.stalled_since().is_some()
    }
}

/// Lingers after a request that offered an upgrade: its socket is handed over at the end of the
/// connection, even if nothing was upgraded.
async fn shut_down(upgrade: Option<OnUpgrade>) {
    if let Some(upgrade) = upgrade
        && let Some(Ok(upgraded)) = upgrade.now_or_never()
    {
        let _closed = TokioIo::new(upgraded).shutdown().await;
    }
}

fn configure(stream: &TcpStream) {
    // Otherwise small frames of a stream wait for the client's acknowledgement.
    let _best_effort = stream.set_nodelay(true);
    // Otherwise the kernel buffers megabytes for a client that does not read, and the provider is
    // read that far ahead.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let _best_effort = SockRef::from(stream).set_tcp_notsent_lowat(MAX_UNSENT);
}

/// Answers one request, which ends with the body of its response.
///
/// hyper moves the future, so it does not hold the request in both of its forms, as that of an async fn
/// would.
fn respond(
    gateway: Gateway,
    connections: &ConnectionTable,
    peer: IpAddr,
    guard: RequestGuard,
    mut request: Request<Incoming>,
) -> impl Future<Output = Result<Response<TrackedResponseBody>, Infallible>> + Send + use<> {
    if gateway.is_full() {
        // Most likely a client sends many requests and completes none of them.
        connections.evict_one(Activity::stalled_since);
    }
    if let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() {
        guard.keep_upgrade(upgrade);
        request.extensions_mut().insert(CanUpgrade);
    }
    let unread = unread_policy(&request);
    let tracked = request.map(|body| TrackedRequestBody::new(body, unread, &guard));
    async move {
        let mut response = gateway.handle(tracked, peer).await;
        if unread != Unread::Reset && guard.has_long_unread_body() {
            // The client learns that the rest of its request is not read (RFC 9112 section 9.6).
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        if let Some(tunnel) = response.body_mut().take_tunnel() {
            guard.keep_tunnel(tunnel);
        }
        Ok(response.map(|body| TrackedResponseBody::new(body, guard)))
    }
}

fn unread_policy(request: &Request<Incoming>) -> Unread {
    if request.version() >= Version::HTTP_2 {
        Unread::Reset
    } else if request.headers().contains_key(EXPECT) {
        // A client that gets a refusal in place of 100 may or may not send the body.
        Unread::Close
    } else {
        Unread::Drain
    }
}
