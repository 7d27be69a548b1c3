//! Switches a connection to another protocol (RFC 9110 section 7.8), such as WebSocket.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, response};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout_at,
};

use super::prepared_url::{PreparedUrl, check_usable};
use crate::{
    body::Body,
    error::{SendError, Stage},
    observer::{ExchangeEnd, Observed},
    outgoing::Outgoing,
    pool::Lease,
    stream::Stream,
};

/// What a server made of a request to switch protocols.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle both")]
pub enum Upgrade {
    /// It switched, as the head of its response says.
    Switched(response::Parts, UpgradedStream),
    /// It stays with HTTP, and this is its response.
    Refused(Response<Body>),
}

/// The bytes of a connection after it was switched to another protocol. Dropping it closes the
/// connection.
///
/// The call counts against [`Bounds::max_calls_per_origin`](crate::Bounds) as long as this exists.
/// The client's timeouts do not apply any more.
pub struct UpgradedStream {
    io: TokioIo<Stream>,
    /// What came together with the head of the response.
    buffered: Bytes,
    observed: Observed,
    _lease: Lease,
}

impl PreparedUrl {
    /// Asks the server to switch to `protocol`, as [`Client::upgrade`] does.
    ///
    /// # Errors
    /// As [`Client::send`].
    ///
    /// # Cancel safety
    /// As [`Client::send`].
    ///
    /// [`Client::send`]: crate::Client::send
    /// [`Client::upgrade`]: crate::Client::upgrade
    pub async fn upgrade(
        &self,
        protocol: HeaderValue,
        mut outgoing: Outgoing,
    ) -> Result<Upgrade, SendError> {
        let budget = outgoing.budget.take().unwrap_or_default();
        let (now, deadline) = self.now_and_deadline(&outgoing);
        let mut observed = self.observe(&mut outgoing);
        let mut request = self
            .request(outgoing)
            .map_err(|error| observed.end_with(error))?;
        let fields = &mut request.fields;
        fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(header::UPGRADE, protocol);
        let Some(mut lease) = self.lease(now) else {
            return Err(observed.end_with(SendError::Busy));
        };
        let exchange = async {
            let response = self.exchange(request, &mut lease).await?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                check_usable(&response)?;
                return Ok((response, None));
            }
            let connection = lease.connection.take().ok_or(SendError::Cut)?;
            let switched = connection.into_switched().ok_or(SendError::Cut)?;
            Ok((response, Some(switched)))
        };
        let (response, switched) = timeout_at(deadline, exchange)
            .await
            .unwrap_or(Err(SendError::Timeout(Stage::Response)))
            .map_err(|error| observed.end_with(error))?;
        observed.head(response.status());
        let Some((stream, buffered)) = switched else {
            let response = response.map(|()| self.body(lease, budget, observed, None));
            return Ok(Upgrade::Refused(response));
        };
        let (parts, _no_content) = response.into_parts();
        let stream = UpgradedStream {
            io: TokioIo::new(stream),
            buffered,
            observed,
            _lease: lease,
        };
        Ok(Upgrade::Switched(parts, stream))
    }
}

impl UpgradedStream {
    /// Reports to the observer that the conversation came to its end. Otherwise the observer learns
    /// that it was dropped.
    pub fn complete(&mut self) {
        self.observed.end(ExchangeEnd::Complete);
    }
}

impl AsyncRead for UpgradedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.buffered.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        let length = this.buffered.len().min(buf.remaining());
        buf.put_slice(&this.buffered.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for UpgradedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

impl fmt::Debug for UpgradedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpgradedStream(..)")
    }
}
