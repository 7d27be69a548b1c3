//! The TCP stream of a connection, with what HTTP asks for and the runtime's stream does not do: it
//! delivers what a server sent before it stopped listening, and looks for a closed connection before
//! a request is written.

use std::{
    io::{self, IoSlice, Read as _},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use socket2::SockRef;
use tokio::net::TcpStream;

/// How many bytes are read at once that the runtime does not know of yet.
const PROBE_BYTES: usize = 8 * 1024;

/// A TCP stream that a server may close in the middle of a request.
#[derive(Debug)]
pub(crate) struct Tcp {
    inner: TokioIo<TcpStream>,
    /// Whether reads ask the operating system.
    is_probe: bool,
}

impl Tcp {
    pub(crate) fn new(inner: TokioIo<TcpStream>) -> Self {
        Self {
            inner,
            is_probe: false,
        }
    }

    /// Has reads ask the operating system until nothing is there to be read, even if the runtime was
    /// not notified yet of what is. TLS makes several reads for one.
    pub(crate) fn ask_system(&mut self) {
        self.is_probe = true;
    }

    /// Reads what the operating system has received, whether or not the runtime knows of it.
    fn probe(&self, buf: &mut ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let socket = SockRef::from(self.inner.inner());
        // As a rule there is nothing, for which no memory need be prepared.
        match socket.peek(&mut [MaybeUninit::uninit()]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Ok(_) | Err(_) => {}
        }
        let mut chunk = [0; PROBE_BYTES];
        let room = buf.remaining().min(chunk.len());
        match (&*socket).read(&mut chunk[..room]) {
            Ok(length) => {
                buf.put_slice(&chunk[..length]);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Read for Tcp {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_probe {
            if let ready @ Poll::Ready(_) = this.probe(&mut buf) {
                return ready;
            }
            this.is_probe = false;
        }
        Pin::new(&mut this.inner).poll_read(cx, buf)
    }
}

/// A server may answer before it has read the request, and close the connection (RFC 9112 section
/// 9.5). Then writing fails, and what it sent can still be read. So nothing is reported about the
/// failure: if there is no answer, reading ends.
fn ignore_failure<T>(written: Poll<io::Result<T>>, all: T) -> Poll<io::Result<T>> {
    match written {
        Poll::Ready(Err(error)) => {
            tracing::debug!(%error, "writing a request failed");
            Poll::Ready(Ok(all))
        }
        ok_or_pending @ (Poll::Ready(Ok(_)) | Poll::Pending) => ok_or_pending,
    }
}

impl Write for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.get_mut().inner).poll_write(cx, buf);
        ignore_failure(written, buf.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs);
        ignore_failure(written, bufs.iter().map(|buf| buf.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ignore_failure(Pin::new(&mut self.get_mut().inner).poll_flush(cx), ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

impl Connection for Tcp {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
