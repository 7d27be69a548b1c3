//! A connection to a provider, plain or TLS.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_tls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
#[cfg(feature = "in-memory")]
use tokio::io::DuplexStream;
use tokio::net::TcpStream;

/// A connection to a provider.
///
/// It closes without waiting: the end of TLS is announced if there is room for it, but a peer that
/// reads nothing does not keep the socket open.
#[derive(Debug)]
pub(crate) enum Stream {
    Network(MaybeHttpsStream<TokioIo<TcpStream>>),
    #[cfg(feature = "in-memory")]
    InMemory(TokioIo<DuplexStream>),
}

/// The same call of what a stream is made of.
macro_rules! inner {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Network($inner) => $call,
            #[cfg(feature = "in-memory")]
            Stream::InMemory($inner) => $call,
        }
    };
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        inner!(self.get_mut(), inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        inner!(self.get_mut(), inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self.get_mut(), inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shutdown = inner!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(cx));
        if shutdown.is_pending() {
            Poll::Ready(Ok(()))
        } else {
            shutdown
        }
    }

    fn is_write_vectored(&self) -> bool {
        inner!(self, inner => inner.is_write_vectored())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        inner!(self.get_mut(), inner => Pin::new(inner).poll_write_vectored(cx, bufs))
    }
}
