//! An HTTP/1.1 connection, driven by the task that waits for its response.
//!
//! hyper returns a future that moves the bytes of a connection. Spawned as a task of its own, it
//! would wake a second task for each chunk of a response. Here the task that waits for the response
//! polls it instead.

use std::{
    future::poll_fn,
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
    upgrade::Upgraded,
};

use crate::{
    error::SendError, repoll::SelfWake, request_body::RequestBody, stream::Stream, tcp::ReadMode,
};

/// Largest single read in bytes. A response head may be twice as long at most.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// Moves the bytes of a connection, until that ends or is switched to another protocol. hyper does not
/// name the type.
type Driver = dyn Future<Output = hyper::Result<()>> + Send;

/// A request as hyper takes it: target, headers and body are final.
pub(crate) type PreparedRequest = Request<RequestBody>;

/// A connection that carries one exchange after the other. Dropping it closes it.
pub(crate) struct Connection {
    sender: http1::SendRequest<RequestBody>,
    /// `None` once the connection is closed.
    driver: Option<Pin<Box<Driver>>>,
    self_wake: SelfWake,
    read_mode: Option<Arc<ReadMode>>,
    /// Whether a request was sent before.
    is_used: bool,
    /// Whether the body of the current response was polled.
    is_body_polled: bool,
    /// Whether the driver may have been woken and was not polled since.
    is_driver_due: bool,
}

impl Connection {
    /// Begins HTTP on a stream. Nothing is sent yet.
    pub(crate) async fn handshake(stream: Stream) -> Result<Self, SendError> {
        let read_mode = stream.read_mode();
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_BUFFER_BYTES);
        let (sender, driver) = builder
            .handshake(stream)
            .await
            .map_err(|error| cut(&error))?;
        Ok(Self {
            sender,
            driver: Some(Box::pin(driver.with_upgrades())),
            self_wake: SelfWake::default(),
            read_mode,
            is_used: false,
            is_body_polled: false,
            is_driver_due: false,
        })
    }

    /// Moves bytes until `poll` is ready or no byte can be moved. Wakes the task of `cx` when more
    /// can be. `polls_first` for what may be ready by itself, or has hyper move bytes.
    fn drive_until<T>(
        &mut self,
        cx: &Context<'_>,
        mut polls_first: bool,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self {
            driver,
            self_wake,
            is_driver_due,
            ..
        } = self;
        self_wake.poll(cx, |cx| {
            // Only the driver makes `poll` ready, and that wakes this task by itself.
            let mut noop = Context::from_waker(Waker::noop());
            if mem::take(&mut polls_first)
                && let ready @ Poll::Ready(_) = poll(&mut noop)
            {
                *is_driver_due = true;
                return ready;
            }
            drive(driver, cx);
            *is_driver_due = false;
            poll(&mut noop)
        })
    }

    /// Whether another request can be sent: the last exchange is over, and the server has not
    /// closed the connection, as far as the runtime knows. Wakes `waker` when that may have changed.
    pub(crate) fn is_reusable(&mut self, waker: &Waker) -> bool {
        let is_woken = self.self_wake.redirect(waker);
        // hyper may have asked for another request as soon as it had read the end of the response.
        if is_woken || self.is_driver_due || !self.sender.is_ready() {
            let _pending =
                self.drive_until(&Context::from_waker(waker), false, |_| Poll::<()>::Pending);
        }
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of the response. The error returns the request if not
    /// a byte of it was written, as on a connection that the server has closed.
    ///
    /// # Cancel safety
    /// The connection cannot be used again.
    pub(crate) async fn exchange(
        &mut self,
        request: PreparedRequest,
    ) -> Result<Response<Incoming>, BrokenExchange> {
        self.is_body_polled = false;
        if let Some(mode) = &self.read_mode {
            mode.begin_exchange(self.is_used);
        }
        self.is_used = true;
        // The request wakes the driver, which is polled next in any case.
        self.self_wake.redirect(Waker::noop());
        let mut response = pin!(self.sender.try_send_request(request));
        let received = poll_fn(|cx| {
            self.drive_until(cx, false, |cx| {
                // Small before it is passed on.
                let broken = |error| BrokenExchange(Box::new(error));
                response.as_mut().poll(cx).map_err(broken)
            })
        })
        .await;
        if let Some(mode) = &self.read_mode {
            mode.end_head();
        }
        received
    }

    /// Returns whether a byte of the response to the last request may have come, which is unknown
    /// in memory.
    pub(crate) fn has_received(&self) -> bool {
        self.read_mode.as_ref().is_none_or(|mode| mode.has_read())
    }

    /// Takes the stream of a connection on which the server has switched to another protocol.
    pub(crate) async fn into_upgraded(
        mut self,
        response: &mut Response<Incoming>,
    ) -> Result<Upgraded, SendError> {
        let mut upgrade = pin!(hyper::upgrade::on(response));
        let upgraded =
            poll_fn(|cx| self.drive_until(cx, true, |cx| upgrade.as_mut().poll(cx))).await;
        upgraded.map_err(|error| cut(&error))
    }

    /// Polls for the next frame of the body of the response on this connection.
    pub(crate) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // hyper reads no more than the head until the body is polled.
        let polls_first = !mem::replace(&mut self.is_body_polled, true);
        self.drive_until(cx, polls_first, |cx| Pin::new(&mut *body).poll_frame(cx))
    }
}

/// Moves the bytes that can be moved now.
fn drive(driver: &mut Option<Pin<Box<Driver>>>, cx: &mut Context<'_>) {
    let Some(open) = driver else {
        return;
    };
    if let Poll::Ready(ended) = open.as_mut().poll(cx) {
        *driver = None;
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// An exchange that broke off.
pub(crate) struct BrokenExchange(Box<TrySendError<PreparedRequest>>);

impl BrokenExchange {
    /// Takes the request, if not a byte of it was written.
    pub(crate) fn take_unsent(&mut self) -> Option<PreparedRequest> {
        self.0.take_message()
    }

    pub(crate) fn into_error(self) -> SendError {
        cut(&self.0.into_error())
    }
}

fn cut(error: &hyper::Error) -> SendError {
    tracing::debug!(?error, "exchange broke off");
    SendError::Cut
}

#[cfg(test)]
mod tests {
    use hyper_tls::MaybeHttpsStream;
    use hyper_util::rt::TokioIo;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::{payload::Payload, tcp::Tcp};

    #[tokio::test]
    async fn returns_a_request_that_was_not_written() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (other_end, _) = listener.accept().await.unwrap();
        drop(other_end);
        stream.readable().await.unwrap();
        let stream = MaybeHttpsStream::Http(Tcp::new(TokioIo::new(stream)));
        let mut connection = Connection::handshake(Stream::Network(stream))
            .await
            .unwrap();

        let request = Request::new(RequestBody::from(Payload::from("body")));
        let mut broken = connection.exchange(request).await.err().unwrap();

        assert!(broken.take_unsent().is_some());
        assert_eq!(broken.into_error(), SendError::Cut);
        assert!(!connection.is_reusable(Waker::noop()));
    }
}
