//! The byte stream of a connection: plain, TLS or in memory.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_tls::MaybeHttpsStream;
#[cfg(feature = "in-memory")]
use hyper_util::rt::TokioIo;
#[cfg(feature = "in-memory")]
use tokio::io::DuplexStream;

use crate::tcp::Tcp;

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
    /// Has reads from the network ask the operating system until nothing is there to be read, even if
    /// the runtime was not notified yet of what is.
    pub(crate) fn ask_system(&mut self) {
        match self {
            Self::Network(MaybeHttpsStream::Http(tcp)) => tcp.ask_system(),
            Self::Network(MaybeHttpsStream::Https(tls)) => {
                let tcp = tls.inner_mut().get_mut().get_mut().get_mut();
                tcp.inner_mut().ask_system();
            }
            #[cfg(feature = "in-memory")]
            Self::InMemory(_) => {}
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
