//! What happens on a connection: its requests, their bodies, and the bodies of their responses.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::{body::Incoming, upgrade::OnUpgrade};
use tokio::{sync::Notify, time::Instant};

use super::{
    body_times::{AtomicTime, BodyTimes},
    poll_clock::PollClock,
    unread_body::{Drained, UnreadBody},
    write_progress::WriteProgress,
};
use crate::tunnel::LoggedTunnel;

/// How long the server waits for the client of a connection before the connection may be evicted:
/// clients pause all the time.
const GRACE: Duration = Duration::from_secs(2);
/// The same before the first request: most clients send one at once.
const GRACE_BEFORE_FIRST_REQUEST: Duration = Duration::from_millis(250);

/// What the server waits for while no request is in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wait {
    /// A complete head, since this time.
    Head(Instant),
    /// The next request, since this time.
    Request(Instant),
}

/// The activity of a connection, shared by its socket, its bodies and the eviction.
pub(super) struct Activity {
    started: AtomicUsize,
    in_flight: AtomicUsize,
    /// For each incomplete request body: the last time that a useful amount arrived, unless its
    /// reader does not wait for more.
    request_bodies: BodyTimes,
    /// For each response body: when the frame was returned that the client has not read yet.
    response_bodies: BodyTimes,
    pub(super) writes: WriteProgress,
    pub(super) clock: PollClock,
    /// When the last request started or ended, in milliseconds after the connection was opened.
    changed_millis: AtomicU64,
    eviction: Notify,
    /// The bytes that the client sent.
    received: AtomicU64,
    /// How many of them belonged to requests that were read to their end.
    consumed: AtomicU64,
    /// Whether the body of the last request was dropped before its end.
    has_unread_body: AtomicBool,
    /// Whether the connection must close for it.
    has_long_unread_body: AtomicBool,
    /// That body, if the connection is kept and the body is drained.
    draining: Mutex<Option<UnreadBody>>,
    is_draining: AtomicBool,
    is_http1: AtomicBool,
    /// The socket of a request that offered an upgrade, which hyper does not shut down by itself.
    upgrade: Mutex<Option<OnUpgrade>>,
    /// The WebSocket to which the connection is switched.
    tunnel: Mutex<Option<LoggedTunnel>>,
    /// When the head of the next HTTP/1 request began.
    head_began: AtomicTime,
    /// The index of the connection in the connection table.
    pub(super) index: AtomicUsize,
}

impl Activity {
    pub(super) fn new() -> Self {
        let opened = Instant::now();
        Self {
            started: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            request_bodies: BodyTimes::default(),
            response_bodies: BodyTimes::default(),
            writes: WriteProgress::new(opened),
            clock: PollClock::new(opened),
            changed_millis: AtomicU64::new(0),
            eviction: Notify::new(),
            received: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
            has_unread_body: AtomicBool::new(false),
            has_long_unread_body: AtomicBool::new(false),
            draining: Mutex::default(),
            is_draining: AtomicBool::new(false),
            is_http1: AtomicBool::new(false),
            upgrade: Mutex::default(),
            tunnel: Mutex::default(),
            head_began: AtomicTime::default(),
            index: AtomicUsize::new(0),
        }
    }

    /// Starts a request, which ends when the guard is dropped.
    pub(super) fn start_request(self: &Arc<Self>) -> RequestGuard {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        // hyper has read the request before to its end, if there was one.
        self.has_unread_body.store(false, Ordering::Relaxed);
        self.head_began.clear();
        self.note_consumed();
        self.note_change();
        RequestGuard(Arc::clone(self))
    }

    /// Returns the number of requests that ever started.
    pub(super) fn started(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    /// Returns the number of requests in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns since when the server has only waited for the client: for a request, for the rest of
    /// one, or for the client to read. `None` within the grace period.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let grace = if self.started() > 0 {
            GRACE
        } else {
            GRACE_BEFORE_FIRST_REQUEST
        };
        let since = self.client_wait()?;
        if since.elapsed() >= grace {
            Some(since)
        } else {
            None
        }
    }

    fn client_wait(&self) -> Option<Instant> {
        if let Some(since) = self.writes.blocked_since() {
            return Some(since);
        }
        self.request_bodies.with(|bodies| {
            let is_any_paused = bodies.iter().any(|body| body.get().is_none());
            if is_any_paused || self.in_flight() > bodies.len() {
                return None;
            }
            let oldest = bodies.iter().filter_map(|body| body.get()).min();
            let changed = self.changed_millis.load(Ordering::Relaxed);
            Some(self.at(oldest.unwrap_or(changed)))
        })
    }

    /// Returns since when most requests have been incomplete. `None` if they are not, or within the
    /// grace period.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        let (mut stalled, mut earliest) = (0_usize, None);
        self.request_bodies.with(|bodies| {
            for millis in bodies.iter().filter_map(|body| body.get()) {
                let since = self.at(millis);
                if since.elapsed() >= GRACE {
                    stalled = stalled.saturating_add(1);
                    earliest = Some(earliest.map_or(since, |other: Instant| other.min(since)));
                }
            }
        });
        if stalled.saturating_mul(2) > self.in_flight() {
            earliest
        } else {
            None
        }
    }

    /// Returns how long the slowest response has waited for the client to read a frame.
    pub(super) fn longest_unread(&self) -> Duration {
        let earliest = self
            .response_bodies
            .with(|bodies| bodies.iter().filter_map(|body| body.get()).min());
        match earliest {
            Some(since) => self.at(since).elapsed(),
            None => Duration::ZERO,
        }
    }

    /// Returns how many responses have waited for the client for longer than this.
    pub(super) fn unread_longer_than(&self, time: Duration) -> usize {
        self.response_bodies.with(|bodies| {
            let unread = bodies.iter().filter_map(|body| body.get());
            unread
                .filter(|since| self.at(*since).elapsed() > time)
                .count()
        })
    }

    fn at(&self, millis: u64) -> Instant {
        self.clock.opened() + Duration::from_millis(millis)
    }

    /// Requests that the connection close, to make room for another one.
    pub(super) fn request_eviction(&self) {
        self.eviction.notify_one();
    }

    /// Waits until an eviction is requested.
    pub(super) async fn eviction_requested(&self) {
        self.eviction.notified().await;
    }

    /// Returns what the server waits for while no request is in flight.
    pub(super) fn wait(&self) -> Wait {
        if let Some(began) = self.head_began.get() {
            return Wait::Head(self.at(began));
        }
        if self.started() == 0 {
            return Wait::Head(self.clock.opened());
        }
        let changed = self.at(self.changed_millis.load(Ordering::Relaxed));
        let read = self.writes.unblocked_at();
        Wait::Request(read.map_or(changed, |read| read.max(changed)))
    }

    /// Notes that the client speaks HTTP/1.
    pub(super) fn note_http1(&self) {
        self.is_http1.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_http1(&self) -> bool {
        self.is_http1.load(Ordering::Relaxed)
    }

    /// Notes that the client sent bytes.
    pub(super) fn note_received(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.received.fetch_add(bytes, Ordering::Relaxed);
        if self.in_flight() == 0 {
            self.note_head();
        }
    }

    /// Notes when a head began, if one did.
    fn note_head(&self) {
        if self.is_http1()
            && !self.has_unread_body.load(Ordering::Relaxed)
            && self.received.load(Ordering::Relaxed) > self.consumed.load(Ordering::Relaxed)
            && self.head_began.get().is_none()
        {
            self.head_began.set(self.clock.millis());
        }
    }

    /// Takes the socket that hyper hands over instead of shutting it down, once the connection has
    /// ended.
    pub(super) fn take_upgrade(&self) -> Option<OnUpgrade> {
        lock(&self.upgrade).take()
    }

    /// Takes the WebSocket to which the connection was switched, once that is over for HTTP.
    pub(super) fn take_tunnel(&self) -> Option<LoggedTunnel> {
        lock(&self.tunnel).take()
    }

    /// Drains the unread body, if there is one.
    pub(super) fn poll_drain(&self, cx: &mut Context<'_>) {
        if !self.is_draining.load(Ordering::Relaxed) {
            return;
        }
        let mut draining = lock(&self.draining);
        let Some(body) = &mut *draining else { return };
        let Poll::Ready(drained) = body.poll(cx) else {
            return;
        };
        *draining = None;
        self.is_draining.store(false, Ordering::Relaxed);
        if drained == Drained::Complete {
            // What has arrived of the next head counts as this body, and begins no head timeout.
            self.has_unread_body.store(false, Ordering::Relaxed);
            self.note_consumed();
        }
    }

    /// Notes that a head, or a whole request, was read.
    fn note_consumed(&self) {
        let received = self.received.load(Ordering::Relaxed);
        self.consumed.store(received, Ordering::Relaxed);
    }

    /// Returns whether the client may still be sending a request that nobody reads: its body was
    /// dropped, or its head was refused.
    pub(super) fn has_unread_request(&self) -> bool {
        self.has_unread_body.load(Ordering::Relaxed)
            || self.received.load(Ordering::Relaxed) > self.consumed.load(Ordering::Relaxed)
    }

    fn note_change(&self) {
        self.changed_millis
            .store(self.clock.millis(), Ordering::Relaxed);
    }
}

/// A request in flight on its connection.
pub(super) struct RequestGuard(Arc<Activity>);

impl RequestGuard {
    /// Returns whether the connection must close since a long request body was dropped unread.
    pub(super) fn has_long_unread_body(&self) -> bool {
        self.0.has_long_unread_body.load(Ordering::Relaxed)
    }

    /// Keeps the socket that hyper hands over when the connection ends after this request.
    pub(super) fn keep_upgrade(&self, upgrade: OnUpgrade) {
        *lock(&self.0.upgrade) = Some(upgrade);
    }

    /// Keeps the WebSocket to which the connection is switched after the response.
    pub(super) fn keep_tunnel(&self, tunnel: LoggedTunnel) {
        *lock(&self.0.tunnel) = Some(tunnel);
    }

    /// Starts tracking an incomplete request body.
    pub(super) fn track_request_body(&self) -> BodyTimer {
        let timer = BodyTimer::new(&self.0, BodySide::Request);
        timer.restart();
        timer
    }

    /// Starts tracking a response body, of which the client has not been sent a frame yet.
    pub(super) fn track_response_body(&self) -> BodyTimer {
        BodyTimer::new(&self.0, BodySide::Response)
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.note_change();
        // It may have arrived with the content before.
        self.0.note_head();
    }
}

#[derive(Clone, Copy)]
enum BodySide {
    Request,
    Response,
}

impl BodySide {
    fn times(self, activity: &Activity) -> &BodyTimes {
        match self {
            Self::Request => &activity.request_bodies,
            Self::Response => &activity.response_bodies,
        }
    }
}

/// Since when a body has waited for the client. Tracking ends when this is dropped.
pub(super) struct BodyTimer {
    activity: Arc<Activity>,
    side: BodySide,
    since: Arc<AtomicTime>,
}

impl BodyTimer {
    fn new(activity: &Arc<Activity>, side: BodySide) -> Self {
        Self {
            since: side.times(activity).add(),
            activity: Arc::clone(activity),
            side,
        }
    }

    /// The body waits from now on.
    pub(super) fn restart(&self) {
        self.since.set(self.activity.clock.millis());
    }

    /// The body was read to its end.
    pub(super) fn note_complete(&self) {
        self.activity.note_consumed();
    }

    /// The body is not read to its end, and the connection closes after the response.
    pub(super) fn note_unread(&self) {
        let activity = &self.activity;
        activity.has_unread_body.store(true, Ordering::Relaxed);
        activity.has_long_unread_body.store(true, Ordering::Relaxed);
    }

    /// The rest of the body is drained, and the connection is kept.
    pub(super) fn drain(&self, body: Incoming) {
        let activity = &self.activity;
        activity.has_unread_body.store(true, Ordering::Relaxed);
        *lock(&activity.draining) = Some(UnreadBody::new(body));
        activity.is_draining.store(true, Ordering::Relaxed);
    }

    /// The body does not wait for now. Returns how long it has waited.
    pub(super) fn pause(&self) -> Duration {
        let waited = match self.since.get() {
            Some(since) => self.activity.clock.millis().saturating_sub(since),
            None => 0,
        };
        self.since.clear();
        Duration::from_millis(waited)
    }

    /// The body waits again, as if it had waited for this long.
    pub(super) fn resume(&self, waited: Duration) {
        let waited = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        self.since
            .set(self.activity.clock.millis().saturating_sub(waited));
    }

    /// The body does not wait.
    pub(super) fn stop(&self) {
        self.since.clear();
    }
}

impl Drop for BodyTimer {
    fn drop(&mut self) {
        self.side.times(&self.activity).remove(&self.since);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
