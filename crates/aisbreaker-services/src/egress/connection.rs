//! A connection to a provider, read and written by whoever waits for it.
//!
//! The HTTP library has a future that moves the bytes of a connection. It is not spawned as a task of its own: each chunk
//! of an answer would wake two tasks then. What waits for an answer polls it.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};

use super::{error::SendError, payload::Pieces, stream::Stream};

/// Largest single read in bytes; a response head may be twice as long at most.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// How often a connection is driven in one poll. It may want to be driven on forever, and other tasks must have their turn.
const MOST_TURNS: usize = 3;

/// A request as the HTTP library takes it.
pub(super) type Sent = Request<Full<Pieces>>;

/// A connection on which one exchange after the other takes place. Dropping it closes it.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Pieces>>,
    /// `None` once it is closed.
    driver: Option<Box<http1::Connection<Stream, Full<Pieces>>>>,
    latch: Arc<Latch>,
    /// The latch, as what is to be woken.
    waker: Waker,
}

/// Holds back wakes of a task that come while it polls the connection: handing a piece over wakes who reads the next one,
/// which is the same task.
#[derive(Default)]
struct Latch {
    is_polled: AtomicBool,
    was_woken: AtomicBool,
    task: AtomicWaker,
}

impl Connection {
    pub(super) async fn over(stream: Stream) -> Result<Self, SendError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_BUFFER_BYTES);
        let (sender, driver) = builder.handshake(stream).await.map_err(|error| broken(&error))?;
        let latch = Arc::<Latch>::default();
        let waker = Waker::from(Arc::clone(&latch));
        Ok(Self { sender, driver: Some(Box::new(driver)), latch, waker })
    }

    /// Moves what can be moved now.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && let Poll::Ready(ended) = Pin::new(driver).poll(cx)
        {
            self.driver = None;
            if let Err(error) = ended {
                tracing::debug!(%error, "connection to a provider ended");
            }
        }
    }

    /// Moves bytes until `look` finds what is waited for, or none can be moved; the task of `cx` is woken when they can.
    fn poll_until<T>(
        &mut self,
        cx: &Context<'_>,
        mut look: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let (latch, waker) = (Arc::clone(&self.latch), self.waker.clone());
        latch.begin(cx.waker());
        // What is looked at is fulfilled by the driver, so that nobody else needs to be woken for it.
        let mut unwoken = Context::from_waker(Waker::noop());
        let mut found = look(&mut unwoken);
        for _ in 0..MOST_TURNS {
            if found.is_ready() {
                break;
            }
            latch.was_woken.store(false, Ordering::SeqCst);
            self.drive(&mut Context::from_waker(&waker));
            found = look(&mut unwoken);
            if !latch.was_woken.load(Ordering::SeqCst) {
                break;
            }
        }
        latch.end(found.is_pending());
        found
    }

    /// Whether another request can be sent: the last exchange is over, and the provider has not closed the connection.
    /// Nobody is woken when that changes.
    pub(super) fn is_at_rest(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of the response. The request comes back if not a byte of it was written.
    ///
    /// # Cancel safety
    /// The connection cannot be used again.
    pub(super) async fn exchange(&mut self, request: Sent) -> Result<Response<Incoming>, Broken> {
        let mut response = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| self.poll_until(cx, |unwoken| response.as_mut().poll(unwoken))).await.map_err(Broken)
    }

    /// The next frame of the body of the response on this connection.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.poll_until(cx, |unwoken| Pin::new(&mut *body).poll_frame(unwoken))
    }
}

impl Latch {
    fn begin(&self, task: &Waker) {
        self.task.register(task);
        self.is_polled.store(true, Ordering::SeqCst);
    }

    /// A wake that was held back goes on if the task would sleep otherwise.
    fn end(&self, will_sleep: bool) {
        self.is_polled.store(false, Ordering::SeqCst);
        // Whoever wakes notes it before it looks whether the task is polled, so that no wake is lost in between.
        if self.was_woken.swap(false, Ordering::SeqCst) && will_sleep {
            self.task.wake();
        }
    }
}

impl Wake for Latch {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.was_woken.store(true, Ordering::SeqCst);
        if !self.is_polled.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

/// An exchange that broke off.
pub(super) struct Broken(TrySendError<Sent>);

impl Broken {
    /// The request, if not a byte of it was written.
    pub(super) fn unsent(&mut self) -> Option<Sent> {
        self.0.take_message()
    }

    pub(super) fn into_error(self) -> SendError {
        broken(&self.0.into_error())
    }
}

fn broken(error: &hyper::Error) -> SendError {
    tracing::debug!(?error, "exchange with a provider broke");
    SendError::Cut
}
