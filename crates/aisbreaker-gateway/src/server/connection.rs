//! One connection: its requests, and when it has been idle for too long.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::IpAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use aisbreaker_egress::repoll::SelfWake;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{rt::TokioExecutor, server::conn::auto};
#[cfg(any(target_os = "android", target_os = "linux"))]
use socket2::SockRef;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{
    activity::{Activity, AnswerBody, Busy},
    eviction::{Crowd, Place},
    tracked_io::Watched,
};
use crate::gateway::Gateway;

/// For how many header timeouts a client may leave untaken what it is sent.
const BLOCKED_TICKS: u32 = 10;
/// How many bytes the system takes for a client beyond those that the client lets it send.
#[cfg(any(target_os = "android", target_os = "linux"))]
const MAX_UNSENT: u32 = 128 << 10;

pub(super) struct Connection {
    gateway: Gateway,
    peer: IpAddr,
    header_timeout: Duration,
    activity: Arc<Activity>,
    crowd: Arc<Crowd>,
}

/// What was seen of a connection at the tick before.
#[derive(Default)]
struct Watch {
    begun: usize,
    writes: u64,
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
    /// A connection is idle if no request has begun since the tick before, none is under way, and
    /// all that was to be sent has been taken. A client that does not take what it is sent gets
    /// more time.
    fn verdict(
        &mut self,
        activity: &Activity,
        header_timeout: Duration,
        is_closing: bool,
    ) -> Verdict {
        let progress = &activity.progress;
        let (begun, writes) = (activity.begun.load(Ordering::Relaxed), progress.writes());
        let before = std::mem::replace(
            self,
            Self {
                begun,
                writes,
                blocked_ticks: 0,
            },
        );
        if progress.is_blocked() {
            self.blocked_ticks = if writes != before.writes {
                0
            } else {
                before.blocked_ticks + 1
            };
            return if self.blocked_ticks < BLOCKED_TICKS {
                Verdict::Keep
            } else {
                Verdict::Drop
            };
        }
        // An HTTP/2 client can leave a stream untaken while it takes all others, which then may end
        // in peace: they may be those of other clients of one proxy.
        let limit = header_timeout.saturating_mul(BLOCKED_TICKS);
        let untaken = activity.untaken_for();
        if untaken > limit {
            let is_all =
                activity.under_way.load(Ordering::Relaxed) <= activity.untaken_longer_than(limit);
            return match is_closing {
                _ if is_all || untaken > limit.saturating_mul(2) => Verdict::Drop,
                true => Verdict::Keep,
                false => Verdict::Close,
            };
        }
        if begun != before.begun || activity.under_way.load(Ordering::Relaxed) > 0 {
            return Verdict::Keep;
        }
        if begun == 0 || is_closing {
            Verdict::Drop
        } else {
            Verdict::Close
        }
    }
}

impl Connection {
    pub(super) fn new(
        gateway: Gateway,
        peer: IpAddr,
        header_timeout: Duration,
        place: &Place,
    ) -> Self {
        let (activity, crowd) = (Arc::clone(place.activity()), Arc::clone(place.crowd()));
        Self {
            gateway,
            peer,
            header_timeout,
            activity,
            crowd,
        }
    }

    /// Serves one connection until it ends, is idle for too long, gives way to another one, or is
    /// told to close.
    pub(super) async fn run(
        self,
        stream: TcpStream,
        builder: &auto::Builder<TokioExecutor>,
        mut close: watch::Receiver<bool>,
    ) {
        prepare(&stream);
        let service = service_fn(|request| {
            answer(
                self.gateway.clone(),
                Arc::clone(&self.crowd),
                self.peer,
                self.activity.begin(),
                request,
            )
        });
        let io = Watched::new(stream, Arc::clone(&self.activity));
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut ticks = interval_at(Instant::now() + self.header_timeout, self.header_timeout);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut watch, mut is_closing, mut latch) = (Watch::default(), false, SelfWake::default());
        loop {
            tokio::select! {
                // Broken connections are a matter of their clients; requests that they cut off are
                // in the log.
                _ended = poll_fn(|cx| latch.poll(cx, |cx| connection.as_mut().poll(cx))) => return,
                _told = close.changed(), if !is_closing => {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = self.activity.asked_to_give_way() => {
                    let Self { activity, .. } = &self;
                    if activity.waits_since().or_else(|| activity.keeps_requests_since()).is_some() {
                        return;
                    }
                }
                _tick = ticks.tick() => {
                    match watch.verdict(&self.activity, self.header_timeout, is_closing) {
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

fn prepare(stream: &TcpStream) {
    // Without this, small pieces of a stream wait for the client's acknowledgement.
    let _best_effort = stream.set_nodelay(true);
    // Without this, the system takes megabytes that a client does not take, and a provider is read
    // that far ahead.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let _best_effort = SockRef::from(stream).set_tcp_notsent_lowat(MAX_UNSENT);
}

/// Answers one request; its connection is busy until the body of the answer is over.
async fn answer(
    gateway: Gateway,
    crowd: Arc<Crowd>,
    peer: IpAddr,
    busy: Busy,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    if gateway.is_full() {
        // Most likely somebody sends many requests and none of them whole.
        crowd.ask_one_to_give_way(Activity::keeps_requests_since);
    }
    let response = gateway
        .handle(request.map(|body| busy.receive(body)), peer)
        .await;
    Ok(response.map(|body| busy.answer(body)))
}
