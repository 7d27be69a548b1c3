//! What a connection does: its requests, their bodies, and the bodies of their answers.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{sync::Notify, time::Instant};

use super::tracked_io::Progress;
use crate::response::{ResponseBody, passthrough::ResponseCut};

/// How long a connection waits for its client before it can be asked to give way: clients pause all
/// the time.
const GRACE: Duration = Duration::from_secs(2);
/// The same of a connection that has never had a request: most send one at once.
const GRACE_BEFORE_THE_FIRST: Duration = Duration::from_millis(250);
/// A client that sends so many bytes of a body within the first of these times is not only waited
/// for.
const USEFUL_BYTES: usize = 16 << 10;

/// What a connection does, as seen by whoever watches it.
pub(super) struct Activity {
    pub(super) begun: AtomicUsize,
    pub(super) under_way: AtomicUsize,
    /// The bodies of requests that have not come whole: since when nothing useful came of each.
    bodies: Mutex<Vec<Arc<Since>>>,
    /// The answers that are handed out: since when a piece of each waits to be taken.
    answers: Mutex<Vec<Arc<Since>>>,
    /// What the client takes of what it is sent.
    pub(super) progress: Progress,
    opened: Instant,
    /// When the last request began or ended, in milliseconds since the connection was opened.
    changed_millis: AtomicU64,
    /// Asks the connection to give way to another one.
    give_way: Notify,
    /// Where it stands in the crowd.
    pub(super) place: AtomicUsize,
}

impl Activity {
    pub(super) fn new() -> Self {
        let opened = Instant::now();
        Self {
            begun: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            bodies: Mutex::default(),
            answers: Mutex::default(),
            progress: Progress::new(opened),
            opened,
            changed_millis: AtomicU64::new(0),
            give_way: Notify::new(),
            place: AtomicUsize::new(0),
        }
    }

    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.note_change();
        Busy(Arc::clone(self))
    }

    /// Since when the server does nothing for this connection but wait for its client: for a
    /// request, for the rest of one, or to take what it is sent. `None` if that is not for long
    /// yet.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let has_begun = self.begun.load(Ordering::Relaxed) > 0;
        let grace = if has_begun {
            GRACE
        } else {
            GRACE_BEFORE_THE_FIRST
        };
        self.waits().filter(|since| since.elapsed() >= grace)
    }

    fn waits(&self) -> Option<Instant> {
        if let Some(since) = self.progress.blocked_since() {
            return Some(since);
        }
        let bodies = lock(&self.bodies);
        let is_waiting = self.under_way.load(Ordering::Relaxed) <= bodies.len();
        let changed = self.changed_millis.load(Ordering::Relaxed);
        let since = bodies
            .iter()
            .filter_map(|body| body.get())
            .min()
            .unwrap_or(changed);
        is_waiting.then(|| self.at(since))
    }

    /// Since when most of its requests do not come whole; `None` if it has none, or that is not for
    /// long yet.
    pub(super) fn keeps_requests_since(&self) -> Option<Instant> {
        let bodies = lock(&self.bodies);
        let sinces = bodies
            .iter()
            .filter_map(|body| body.get())
            .map(|since| self.at(since));
        let stale: Vec<Instant> = sinces.filter(|since| since.elapsed() >= GRACE).collect();
        let is_most = stale.len().saturating_mul(2) > self.under_way.load(Ordering::Relaxed);
        stale.into_iter().min().filter(|_| is_most)
    }

    /// For how long the slowest of its answers has waited for the client to take a piece.
    pub(super) fn untaken_for(&self) -> Duration {
        let since = lock(&self.answers)
            .iter()
            .filter_map(|answer| answer.get())
            .min();
        since.map_or(Duration::ZERO, |since| self.at(since).elapsed())
    }

    /// How many of its answers have waited for longer than this.
    pub(super) fn untaken_longer_than(&self, time: Duration) -> usize {
        let answers = lock(&self.answers);
        let sinces = answers.iter().filter_map(|answer| answer.get());
        sinces
            .filter(|since| self.at(*since).elapsed() > time)
            .count()
    }

    fn at(&self, millis: u64) -> Instant {
        self.opened + Duration::from_millis(millis)
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn ask_to_give_way(&self) {
        self.give_way.notify_one();
    }

    pub(super) async fn asked_to_give_way(&self) {
        self.give_way.notified().await;
    }

    fn note_change(&self) {
        self.changed_millis.store(self.millis(), Ordering::Relaxed);
    }
}

/// A moment in milliseconds after the connection was opened and one; 0: none.
#[derive(Default)]
struct Since(AtomicU64);

impl Since {
    fn get(&self) -> Option<u64> {
        self.0.load(Ordering::Relaxed).checked_sub(1)
    }

    fn set(&self, millis: u64) {
        self.0.store(millis.saturating_add(1), Ordering::Relaxed);
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

fn lock(sinces: &Mutex<Vec<Arc<Since>>>) -> MutexGuard<'_, Vec<Arc<Since>>> {
    sinces.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a moment to those that are watched.
fn watch(sinces: &Mutex<Vec<Arc<Since>>>) -> Arc<Since> {
    let since = Arc::<Since>::default();
    lock(sinces).push(Arc::clone(&since));
    since
}

fn unwatch(sinces: &Mutex<Vec<Arc<Since>>>, since: &Arc<Since>) {
    lock(sinces).retain(|watched| !Arc::ptr_eq(watched, since));
}

/// One request under way on its connection.
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    /// The body of the request, which tells when it has come whole.
    pub(super) fn receive(&self, body: Incoming) -> ReceivedBody {
        let receiving = (!body.is_end_stream()).then(|| {
            let since = watch(&self.0.bodies);
            since.set(self.0.millis());
            (Arc::clone(&self.0), since)
        });
        ReceivedBody {
            body,
            receiving,
            received: 0,
        }
    }

    /// The body of its answer, with which it ends.
    pub(super) fn answer(self, body: ResponseBody) -> AnswerBody {
        AnswerBody {
            body,
            untaken: None,
            busy: self,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.note_change();
    }
}

/// The body of a request. While it comes, the server waits for the client.
pub(super) struct ReceivedBody {
    body: Incoming,
    /// Since when nothing useful came; `None` once it has come whole.
    receiving: Option<(Arc<Activity>, Arc<Since>)>,
    /// How many bytes have come since then.
    received: usize,
}

impl ReceivedBody {
    /// A client that sends is not one that is only waited for.
    fn note_bytes(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes);
        if let Some((activity, since)) = self
            .receiving
            .as_ref()
            .filter(|_| self.received >= USEFUL_BYTES)
        {
            since.set(activity.millis());
            self.received = 0;
        }
    }

    fn note_end(&mut self) {
        if let Some((activity, since)) = self.receiving.take() {
            unwatch(&activity.bodies, &since);
        }
    }
}

impl Drop for ReceivedBody {
    fn drop(&mut self) {
        self.note_end();
    }
}

impl Body for ReceivedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => self.note_bytes(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(None | Some(Err(_))) => self.note_end(),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer. Its connection is busy until it is dropped.
pub(super) struct AnswerBody {
    body: ResponseBody,
    /// There once a piece of it has been handed out.
    untaken: Option<Arc<Since>>,
    busy: Busy,
}

impl AnswerBody {
    /// Notes that a piece has been handed out, or that it was taken since the next one is asked
    /// for.
    fn note(&mut self, is_untaken: bool) {
        let activity = &self.busy.0;
        if self.untaken.is_none() && is_untaken {
            self.untaken = Some(watch(&activity.answers));
        }
        match &self.untaken {
            Some(since) if is_untaken => since.set(activity.millis()),
            Some(since) => since.clear(),
            None => {}
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(since) = &self.untaken {
            unwatch(&self.busy.0.answers, since);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = ResponseCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseCut>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.note(matches!(frame, Poll::Ready(Some(_))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
