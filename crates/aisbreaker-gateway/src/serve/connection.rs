//! One connection: its requests, and when it has been idle for too long.

use std::{
    convert::Infallible,
    net::IpAddr,
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
use hyper_util::{rt::TokioExecutor, server::conn::auto};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::watched::{Progress, Watched};
use crate::{body::ResponseBody, gateway::Gateway};

/// For how many header timeouts a client may leave untaken what it is sent.
const BLOCKED_TICKS: u32 = 10;

pub(super) struct Connection {
    gateway: Gateway,
    peer: IpAddr,
    header_timeout: Duration,
    activity: Arc<Activity>,
    progress: Arc<Progress>,
}

/// Requests of a connection.
#[derive(Default)]
struct Activity {
    begun: AtomicUsize,
    under_way: AtomicUsize,
    /// How often a body has been asked for its next piece.
    asked: AtomicUsize,
    /// Bodies that have handed out a piece and have not been asked for the next one.
    untaken: AtomicUsize,
}

/// One request under way on its connection.
struct Busy(Arc<Activity>);

impl Activity {
    fn begin(self: &Arc<Self>) -> Busy {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What was seen of a connection at the tick before.
#[derive(Default)]
struct Watch {
    begun: usize,
    writes: u64,
    asked: usize,
    blocked_ticks: u32,
}

/// What becomes of a connection at a tick.
enum Verdict {
    Keep,
    /// It has had requests; it is told before it is closed.
    Close,
    Drop,
}

impl Watch {
    /// A connection is idle if no request has begun since the tick before, none is under way, and all that was to be
    /// sent has been taken. A client that does not take what it is sent gets more time.
    fn verdict(&mut self, activity: &Activity, progress: &Progress, is_closing: bool) -> Verdict {
        let (begun, writes) = (activity.begun.load(Ordering::Relaxed), progress.writes());
        let asked = activity.asked.load(Ordering::Relaxed);
        let before = std::mem::replace(self, Self { begun, writes, asked, blocked_ticks: 0 });
        // An HTTP/2 client can leave its streams untaken while the socket is free.
        let is_untaken = activity.untaken.load(Ordering::Relaxed) > 0;
        if progress.is_blocked() || is_untaken {
            let moves = if progress.is_blocked() { writes != before.writes } else { asked != before.asked };
            self.blocked_ticks = if moves { 0 } else { before.blocked_ticks + 1 };
            return if self.blocked_ticks < BLOCKED_TICKS { Verdict::Keep } else { Verdict::Drop };
        }
        if begun != before.begun || activity.under_way.load(Ordering::Relaxed) > 0 {
            return Verdict::Keep;
        }
        if begun == 0 || is_closing { Verdict::Drop } else { Verdict::Close }
    }
}

impl Connection {
    pub(super) fn new(gateway: Gateway, peer: IpAddr, header_timeout: Duration) -> Self {
        Self { gateway, peer, header_timeout, activity: Arc::default(), progress: Arc::default() }
    }

    /// Serves one connection until it ends, is idle for too long, or is told to close.
    pub(super) async fn run(
        self,
        stream: TcpStream,
        builder: &auto::Builder<TokioExecutor>,
        mut close: watch::Receiver<bool>,
    ) {
        // Without this, small pieces of a stream wait for the client's acknowledgement.
        let _best_effort = stream.set_nodelay(true);
        let service =
            service_fn(|request| answer(self.gateway.clone(), self.peer, self.activity.begin(), request));
        let io = Watched::new(stream, Arc::clone(&self.progress));
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut ticks = interval_at(Instant::now() + self.header_timeout, self.header_timeout);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut watch, mut is_closing) = (Watch::default(), false);
        loop {
            tokio::select! {
                // Broken connections are a matter of their clients; requests that they cut off are in the log.
                _ended = connection.as_mut() => return,
                _told = close.changed(), if !is_closing => {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                _tick = ticks.tick() => {
                    match watch.verdict(&self.activity, &self.progress, is_closing) {
                        Verdict::Keep => {}
                        Verdict::Drop => return,
                        Verdict::Close => {
                            is_closing = true;
                            connection.as_mut().graceful_shutdown();
                        }
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
    Ok(response.map(|body| BusyBody { body, is_untaken: false, busy }))
}

/// A body whose connection is busy until it is dropped.
struct BusyBody {
    body: ResponseBody,
    is_untaken: bool,
    busy: Busy,
}

impl BusyBody {
    fn note_untaken(&mut self, is_untaken: bool) {
        let untaken = &self.busy.0.untaken;
        match (self.is_untaken, is_untaken) {
            (false, true) => drop(untaken.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(untaken.fetch_sub(1, Ordering::Relaxed)),
            (true, true) | (false, false) => {}
        }
        self.is_untaken = is_untaken;
    }
}

impl Drop for BusyBody {
    fn drop(&mut self) {
        self.note_untaken(false);
    }
}

impl Body for BusyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.busy.0.asked.fetch_add(1, Ordering::Relaxed);
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.note_untaken(matches!(frame, Poll::Ready(Some(_))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
