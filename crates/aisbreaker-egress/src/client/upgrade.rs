//! Switches a connection to another protocol (RFC 9110 section 7.8), such as WebSocket.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderValue, Response, StatusCode, Uri, header, response};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout_at,
};

use super::{Client, INVALID_URL, observe, prepare, usable};
use crate::{
    body::Body,
    error::{SendError, Stage},
    observer::{ExchangeEnd, Observed},
    origin::Origin,
    outgoing::Outgoing,
    policy::UrlSource,
    pool::{Lease, PoolKey},
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
    io: TokioIo<Upgraded>,
    observed: Observed,
    _lease: Lease,
}

impl Client {
    /// Sends a request that asks the server to switch to `protocol`, such as `websocket`, and waits
    /// for the head of the response.
    ///
    /// The request goes where [`Client::send`] would send it, under the same policy. The client adds
    /// `Connection` and `Upgrade`; what else the protocol needs must be in the headers. It does not
    /// check what the server made of those.
    ///
    /// # Errors
    /// As [`Client::send`].
    ///
    /// # Cancel safety
    /// As [`Client::send`].
    pub async fn upgrade(
        &self,
        url: &Uri,
        source: UrlSource,
        protocol: HeaderValue,
        mut outgoing: Outgoing,
    ) -> Result<Upgrade, SendError> {
        let origin = Origin::of(url).ok_or(INVALID_URL)?;
        let budget = outgoing.budget.clone();
        let deadline = self.deadline_of(&outgoing);
        let mut observed = observe(&origin, &mut outgoing);
        let mut request =
            prepare(url, &origin, outgoing).map_err(|error| observed.end_with(error))?;
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol);
        let source = self.policy().effective_source(source);
        let key = PoolKey { origin, source };
        let Some(lease) = self.pool.lease(&key, self.bounds.max_calls_per_origin) else {
            return Err(observed.end_with(SendError::Busy));
        };
        let exchange = async {
            let (mut response, mut lease) = self.exchange(request, lease).await?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                let (response, lease) = usable((response, lease))?;
                return Ok((response, lease, None));
            }
            let connection = lease.connection.take().ok_or(SendError::Cut)?;
            let upgraded = connection.into_upgraded(&mut response).await?;
            Ok((response, lease, Some(upgraded)))
        };
        let (response, lease, upgraded) = timeout_at(deadline, exchange)
            .await
            .unwrap_or(Err(SendError::Timeout(Stage::Response)))
            .map_err(|error| observed.end_with(error))?;
        observed.head(response.status());
        let Some(upgraded) = upgraded else {
            let (idle, max_bytes) = (self.timeouts.idle, self.bounds.max_collected_bytes);
            let refused =
                response.map(|body| Body::new(body, idle, lease, max_bytes, budget, observed));
            return Ok(Upgrade::Refused(refused));
        };
        let (parts, _no_content) = response.into_parts();
        let stream = UpgradedStream {
            io: TokioIo::new(upgraded),
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
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
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
