//! A connection to a provider, read and written by whoever waits for it.
//!
//! The HTTP library has a future that moves the bytes of a connection. It is not spawned as a task
//! of its own: each chunk of an answer would wake two tasks then. What waits for an answer polls
//! it.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};

use crate::{error::SendError, payload::Pieces, repoll::SelfWake, stream::Stream};

/// Largest single read in bytes; a response head may be twice as long at most.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

type Driver = http1::Connection<Stream, Full<Pieces>>;

/// A request as the HTTP library takes it.
pub(crate) type PreparedRequest = Request<Full<Pieces>>;

/// A connection on which one exchange after the other takes place. Dropping it closes it.
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Pieces>>,
    /// `None` once it is closed.
    driver: Option<Box<Driver>>,
    repoll: SelfWake,
}

impl Connection {
    pub(crate) async fn over(stream: Stream) -> Result<Self, SendError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_BUFFER_BYTES);
        let (sender, driver) = builder
            .handshake(stream)
            .await
            .map_err(|error| broken(&error))?;
        Ok(Self {
            sender,
            driver: Some(Box::new(driver)),
            repoll: SelfWake::default(),
        })
    }

    /// Moves bytes until `look` finds what is waited for, or none can be moved; the task of `cx` is
    /// woken when they can.
    fn poll_until<T>(
        &mut self,
        cx: &Context<'_>,
        mut look: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self { driver, repoll, .. } = self;
        repoll.poll(cx, |cx| {
            // What is looked at is fulfilled by the driver, so that nobody else needs to be woken
            // for it.
            let mut unwoken = Context::from_waker(Waker::noop());
            if let found @ Poll::Ready(_) = look(&mut unwoken) {
                return found;
            }
            drive(driver, cx);
            look(&mut unwoken)
        })
    }

    /// Whether another request can be sent: the last exchange is over, and the provider has not
    /// closed the connection. `waker` is woken when it may have.
    pub(crate) fn is_at_rest(&mut self, waker: &Waker) -> bool {
        drive(&mut self.driver, &mut Context::from_waker(waker));
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of the response. The request comes back if not a byte
    /// of it was written.
    ///
    /// # Cancel safety
    /// The connection cannot be used again.
    pub(crate) async fn exchange(
        &mut self,
        request: PreparedRequest,
    ) -> Result<Response<Incoming>, Broken> {
        let mut response = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| self.poll_until(cx, |unwoken| response.as_mut().poll(unwoken)))
            .await
            .map_err(Broken)
    }

    /// The next frame of the body of the response on this connection.
    pub(crate) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.poll_until(cx, |unwoken| Pin::new(&mut *body).poll_frame(unwoken))
    }
}

/// Moves what can be moved now.
fn drive(driver: &mut Option<Box<Driver>>, cx: &mut Context<'_>) {
    if let Some(moving) = driver
        && let Poll::Ready(ended) = Pin::new(moving).poll(cx)
    {
        *driver = None;
        if let Err(error) = ended {
            tracing::debug!(%error, "connection to a provider ended");
        }
    }
}

/// An exchange that broke off.
pub(crate) struct Broken(TrySendError<PreparedRequest>);

impl Broken {
    /// The request, if not a byte of it was written.
    pub(crate) fn unsent(&mut self) -> Option<PreparedRequest> {
        self.0.take_message()
    }

    pub(crate) fn into_error(self) -> SendError {
        broken(&self.0.into_error())
    }
}

fn broken(error: &hyper::Error) -> SendError {
    tracing::debug!(?error, "exchange with a provider broke");
    SendError::Cut
}

#[cfg(test)]
mod tests {
    use hyper_tls::MaybeHttpsStream;
    use hyper_util::rt::TokioIo;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::payload::Payload;

    #[tokio::test]
    async fn a_request_that_was_not_written_comes_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (other_end, _) = listener.accept().await.unwrap();
        drop(other_end);
        stream.readable().await.unwrap();
        let mut connection = Connection::over(Stream::Network(MaybeHttpsStream::Http(
            TokioIo::new(stream),
        )))
        .await
        .unwrap();

        let request = Request::new(Full::new(Payload::from("body").into_pieces()));
        let mut broken = connection.exchange(request).await.err().unwrap();

        assert!(broken.unsent().is_some());
        assert_eq!(broken.into_error(), SendError::Cut);
        assert!(!connection.is_at_rest(Waker::noop()));
    }
}
