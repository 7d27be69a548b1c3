//! What a connection does: its requests, their bodies, and the bodies of their answers.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{sync::Notify, time::Instant};

use super::watched::Progress;
use crate::body::ResponseBody;

/// How long a connection waits for its client before it can be asked to give way: clients pause all the time.
const GRACE: Duration = Duration::from_secs(2);
/// The same of a connection that has never had a request: most send one at once.
const GRACE_BEFORE_THE_FIRST: Duration = Duration::from_millis(250);

/// What a connection does, as seen by whoever watches it.
pub(super) struct Activity {
    pub(super) begun: AtomicUsize,
    pub(super) under_way: AtomicUsize,
    /// Requests under way whose own bodies have not come whole.
    receiving: AtomicUsize,
    /// How often the body of an answer has been asked for its next piece.
    pub(super) asked: AtomicUsize,
    /// Bodies that have handed out a piece and have not been asked for the next one.
    pub(super) untaken: AtomicUsize,
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
            receiving: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            untaken: AtomicUsize::new(0),
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

    /// Since when the server does nothing for this connection but wait for its client: for a request, for the rest of
    /// one, or to take what it is sent. `None` if that is not for long yet.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let has_begun = self.begun.load(Ordering::Relaxed) > 0;
        let grace = if has_begun { GRACE } else { GRACE_BEFORE_THE_FIRST };
        self.waits().filter(|since| since.elapsed() >= grace)
    }

    fn waits(&self) -> Option<Instant> {
        if let Some(since) = self.progress.blocked_since() {
            return Some(since);
        }
        let is_waiting = self.under_way.load(Ordering::Relaxed) <= self.receiving.load(Ordering::Relaxed);
        let changed = Duration::from_millis(self.changed_millis.load(Ordering::Relaxed));
        is_waiting.then(|| self.opened + changed)
    }

    pub(super) fn ask_to_give_way(&self) {
        self.give_way.notify_one();
    }

    pub(super) async fn asked_to_give_way(&self) {
        self.give_way.notified().await;
    }

    fn note_change(&self) {
        let millis = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.changed_millis.store(millis, Ordering::Relaxed);
    }
}

/// One request under way on its connection.
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    /// The body of the request, which tells when it has come whole.
    pub(super) fn receive(&self, body: Incoming) -> ReceivedBody {
        let activity = (!body.is_end_stream()).then(|| Arc::clone(&self.0));
        if let Some(activity) = &activity {
            activity.receiving.fetch_add(1, Ordering::Relaxed);
        }
        ReceivedBody { body, activity }
    }

    /// The body of its answer, with which it ends.
    pub(super) fn answer(self, body: ResponseBody) -> AnswerBody {
        AnswerBody { body, is_untaken: false, busy: self }
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
    /// `None` once it has come whole.
    activity: Option<Arc<Activity>>,
}

impl ReceivedBody {
    fn note_end(&mut self) {
        if let Some(activity) = self.activity.take() {
            activity.receiving.fetch_sub(1, Ordering::Relaxed);
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
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.note_end();
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
    is_untaken: bool,
    busy: Busy,
}

impl AnswerBody {
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

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.note_untaken(false);
    }
}

impl Body for AnswerBody {
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
