//! A connection in the version of HTTP that its client begins with.

use std::{
    error::Error,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::Body;
use hyper::{
    body::Incoming,
    rt::bounds::Http2ServerConnExec,
    server::conn::{http1, http2},
    service::HttpService,
};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::tracked_io::{Protocol, TrackedIo};

/// How a connection is served in either version.
pub(super) struct HttpBuilders {
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<TokioExecutor>,
}

/// A connection that is served.
///
/// The one of `hyper_util` replays the first bytes in a read of their own, so that hyper doubles its
/// buffer for the rest of the head, and keeps it for as long as the connection is open.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all connections are HTTP/1.1, and soon past their beginning"
)]
pub(super) enum HttpConnection<'a, S: HttpService<Incoming>> {
    /// The version is not known yet.
    Beginning {
        io: TrackedIo,
        service: S,
        builders: &'a HttpBuilders,
    },
    Http1(http1::UpgradeableConnection<TokioIo<TrackedIo>, S>),
    /// Boxed, so that connections of HTTP/1.1 are not as large.
    Http2(Pin<Box<http2::Connection<TokioIo<TrackedIo>, S, TokioExecutor>>>),
    Ended,
}

impl<'a, S, B> HttpConnection<'a, S>
where
    S: HttpService<Incoming, ResBody = B> + Unpin,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    TokioExecutor: Http2ServerConnExec<S::Future, B>,
{
    pub(super) fn new(io: TrackedIo, service: S, builders: &'a HttpBuilders) -> Self {
        Self::Beginning {
            io,
            service,
            builders,
        }
    }

    /// Moves bytes and calls the service, until the connection has ended. Its socket may then have
    /// been handed over to another protocol.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Beginning { io, .. } = self {
            match ready!(io.poll_protocol(cx)) {
                Ok(protocol) => self.begin(protocol),
                Err(_) => *self = Self::Ended,
            }
        }
        // Errors are caused by the client; the access log has the requests cut off.
        match self {
            Self::Http1(connection) => Pin::new(connection).poll(cx).map(drop),
            Self::Http2(connection) => connection.as_mut().poll(cx).map(drop),
            Self::Beginning { .. } | Self::Ended => Poll::Ready(()),
        }
    }

    /// Ends the connection as soon as the requests in flight are over.
    pub(super) fn graceful_shutdown(&mut self) {
        match self {
            Self::Beginning { .. } => *self = Self::Ended,
            Self::Http1(connection) => Pin::new(connection).graceful_shutdown(),
            Self::Http2(connection) => connection.as_mut().graceful_shutdown(),
            Self::Ended => {}
        }
    }

    fn begin(&mut self, protocol: Protocol) {
        if let Self::Beginning {
            io,
            service,
            builders,
        } = mem::replace(self, Self::Ended)
        {
            let io = TokioIo::new(io);
            *self = if protocol == Protocol::Http2 {
                Self::Http2(Box::pin(builders.http2.serve_connection(io, service)))
            } else {
                let connection = builders.http1.serve_connection(io, service);
                Self::Http1(connection.with_upgrades())
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::poll_fn};

    use bytes::Bytes;
    use futures_util::FutureExt as _;
    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::service::service_fn;

    use super::*;
    use crate::server::tracked_io::tests::connected;

    #[tokio::test]
    async fn a_drain_ends_a_connection_whose_version_is_unknown() {
        let builders = HttpBuilders {
            http1: http1::Builder::new(),
            http2: http2::Builder::new(TokioExecutor::new()),
        };
        let service = service_fn(|_request: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        let (io, _client) = connected().await;
        let mut connection = HttpConnection::new(io, service, &builders);
        assert_eq!(poll_fn(|cx| connection.poll(cx)).now_or_never(), None);

        connection.graceful_shutdown();

        assert_eq!(poll_fn(|cx| connection.poll(cx)).now_or_never(), Some(()));
    }
}
