//! A short request body that nobody reads: it is drained after the response, and the connection is
//! kept.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body as _, Incoming};
use tokio::time::{Sleep, sleep};

/// How long the client may take to send the rest.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// The rest of a request body.
pub(super) struct UnreadBody {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
}

/// How draining ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Drained {
    Complete,
    /// The client was too slow, or the body is malformed: the connection must close.
    Incomplete,
}

impl UnreadBody {
    pub(super) fn new(body: Incoming) -> Self {
        Self {
            body,
            deadline: Box::pin(sleep(DRAIN_TIME)),
        }
    }

    /// Reads and drops what has arrived.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Drained> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(_dropped))) => {}
                Poll::Ready(Some(Err(_broken))) => return Poll::Ready(Drained::Incomplete),
                Poll::Ready(None) => return Poll::Ready(Drained::Complete),
                Poll::Pending => {
                    let deadline = self.deadline.as_mut().poll(cx);
                    return deadline.map(|()| Drained::Incomplete);
                }
            }
        }
    }
}
