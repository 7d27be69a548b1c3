//! One connection: its requests, and when it is closed for being idle.

use std::{convert::Infallible, future::poll_fn, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use aisbreaker_egress::repoll::SelfWake;
use http::{HeaderValue, Request, Response, Version, header::CONNECTION};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
#[cfg(any(target_os = "android", target_os = "linux"))]
use socket2::SockRef;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{
    activity::{Activity, RequestGuard},
    eviction::{ConnectionTable, Slot},
    tracked_body::{TrackedRequestBody, TrackedResponseBody},
    tracked_io::TrackedIo,
};
use crate::gateway::Gateway;

/// For how many header timeouts a client may leave unread what it is sent.
const BLOCKED_TICKS: u32 = 10;
/// The most bytes that the kernel buffers beyond the client's receive window.
#[cfg(any(target_os = "android", target_os = "linux"))]
const MAX_UNSENT: u32 = 128 << 10;

/// A connection that is served.
pub(super) struct Connection {
    gateway: Gateway,
    peer: IpAddr,
    header_timeout: Duration,
    activity: Arc<Activity>,
    connections: Arc<ConnectionTable>,
}

/// The idle check of a connection, with what it saw at the last tick.
#[derive(Default)]
struct IdleCheck {
    started: usize,
    writes: u64,
    blocked_ticks: u32,
}

/// What happens to a connection at a tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Keep,
    /// Shut down gracefully.
    Close,
    Drop,
}

/// Whether a connection shuts down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Open,
    Closing,
}

impl IdleCheck {
    /// Judges a connection at a tick.
    ///
    /// It is idle if no request has started since the last tick, none is in flight, and the client
    /// has read everything. A client that does not read gets more time.
    fn tick(&mut self, activity: &Activity, header_timeout: Duration, phase: Phase) -> Verdict {
        let now = Self {
            started: activity.started(),
            writes: activity.writes.writes(),
            blocked_ticks: 0,
        };
        let before = std::mem::replace(self, now);
        if activity.writes.is_blocked() {
            return self.judge_blocked(&before);
        }
        let limit = header_timeout.saturating_mul(BLOCKED_TICKS);
        if activity.longest_unread() > limit {
            return judge_unread(activity, limit, phase);
        }
        if self.started != before.started || activity.in_flight() > 0 {
            return Verdict::Keep;
        }
        match phase {
            Phase::Open if self.started > 0 => Verdict::Close,
            Phase::Open | Phase::Closing => Verdict::Drop,
        }
    }

    fn judge_blocked(&mut self, before: &Self) -> Verdict {
        if self.writes == before.writes {
            self.blocked_ticks = before.blocked_ticks + 1;
        }
        if self.blocked_ticks < BLOCKED_TICKS {
            Verdict::Keep
        } else {
            Verdict::Drop
        }
    }
}

/// Judges a connection with a response that its client has left unread for too long.
///
/// An HTTP/2 client can leave one stream unread while it reads all others, which may belong to
/// other clients of one proxy. Those get time to finish.
fn judge_unread(activity: &Activity, limit: Duration, phase: Phase) -> Verdict {
    let are_all_unread = activity.in_flight() <= activity.unread_longer_than(limit);
    if are_all_unread || activity.longest_unread() > limit.saturating_mul(2) {
        return Verdict::Drop;
    }
    match phase {
        Phase::Open => Verdict::Close,
        Phase::Closing => Verdict::Keep,
    }
}

impl Connection {
    pub(super) fn new(
        gateway: Gateway,
        peer: IpAddr,
        header_timeout: Duration,
        slot: &Slot,
    ) -> Self {
        Self {
            gateway,
            peer,
            header_timeout,
            activity: Arc::clone(slot.activity()),
            connections: Arc::clone(slot.connections()),
        }
    }

    /// Serves the connection until it ends, is idle for too long, is evicted, or `close` changes.
    pub(super) async fn run(
        self,
        stream: TcpStream,
        builder: &auto::Builder<TokioExecutor>,
        mut close: watch::Receiver<bool>,
    ) {
        configure(&stream);
        let service = service_fn(|request| {
            respond(
                self.gateway.clone(),
                Arc::clone(&self.connections),
                self.peer,
                self.activity.start_request(),
                request,
            )
        });
        let io = TokioIo::new(TrackedIo::new(stream, Arc::clone(&self.activity)));
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut ticks = interval_at(Instant::now() + self.header_timeout, self.header_timeout);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut idle_check = IdleCheck::default();
        let mut phase = Phase::Open;
        let mut self_wake = SelfWake::default();
        loop {
            tokio::select! {
                // Errors are caused by the client; the access log has the requests cut off.
                _ended = poll_fn(|cx| {
                    self_wake.poll(cx, |cx| connection.as_mut().poll(cx))
                }) => return,
                _changed = close.changed(), if phase == Phase::Open => {
                    phase = Phase::Closing;
                    connection.as_mut().graceful_shutdown();
                }
                () = self.activity.eviction_requested() => {
                    // It may have become useful since.
                    if self.is_evictable() {
                        return;
                    }
                }
                _tick = ticks.tick() => {
                    match idle_check.tick(&self.activity, self.header_timeout, phase) {
                        Verdict::Keep => {}
                        Verdict::Drop => return,
                        Verdict::Close => {
                            phase = Phase::Closing;
                            connection.as_mut().graceful_shutdown();
                        }
                    }
                }
            }
        }
    }

    fn is_evictable(&self) -> bool {
        self.activity.waiting_since().is_some() || self.activity.stalled_since().is_some()
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
async fn respond(
    gateway: Gateway,
    connections: Arc<ConnectionTable>,
    peer: IpAddr,
    guard: RequestGuard,
    request: Request<Incoming>,
) -> Result<Response<TrackedResponseBody>, Infallible> {
    if gateway.is_full() {
        // Most likely a client sends many requests and completes none of them.
        connections.evict_one(Activity::stalled_since);
    }
    let is_http1 = request.version() < Version::HTTP_2;
    let tracked = request.map(|body| TrackedRequestBody::new(body, &guard));
    let mut response = gateway.handle(tracked, peer).await;
    if is_http1 && guard.has_long_unread_body() {
        // The client learns that the rest of its request is not read (RFC 9112 section 9.6).
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response.map(|body| TrackedResponseBody::new(body, guard)))
}
