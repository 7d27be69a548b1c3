//! The byte stream of a connection: plain, TLS or in memory.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_tls::MaybeHttpsStream;
#[cfg(feature = "in-memory")]
use hyper_util::rt::TokioIo;
#[cfg(feature = "in-memory")]
use tokio::io::DuplexStream;

use crate::tcp::{ReadMode, Tcp};

/// The byte stream of a connection.
///
/// Shutting it down does not wait: it sends the TLS closure alert if the socket has room for it,
/// but a peer that does not read cannot keep the socket open.
#[derive(Debug)]
pub(crate) enum Stream {
    Network(MaybeHttpsStream<Tcp>),
    #[cfg(feature = "in-memory")]
    InMemory(TokioIo<DuplexStream>),
}

/// Makes a call on the stream of whichever kind it is.
macro_rules! with_inner {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Network($inner) => $call,
            #[cfg(feature = "in-memory")]
            Stream::InMemory($inner) => $call,
        }
    };
}

impl Stream {
    /// Returns how the bytes of the network are read; `None` in memory.
    pub(crate) fn read_mode(&self) -> Option<Arc<ReadMode>> {
        match self {
            Self::Network(MaybeHttpsStream::Http(tcp)) => Some(tcp.mode()),
            Self::Network(MaybeHttpsStream::Https(tls)) => {
                let inner = tls.inner().get_ref().get_ref().get_ref();
                Some(inner.inner().mode())
            }
            #[cfg(feature = "in-memory")]
            Self::InMemory(_) => None,
        }
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        with_inner!(self.get_mut(), inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        with_inner!(self.get_mut(), inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_inner!(self.get_mut(), inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match with_inner!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(cx)) {
            Poll::Pending => Poll::Ready(Ok(())),
            shut_down => shut_down,
        }
    }

    fn is_write_vectored(&self) -> bool {
        with_inner!(self, inner => inner.is_write_vectored())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        with_inner!(self.get_mut(), inner => Pin::new(inner).poll_write_vectored(cx, bufs))
    }
}
