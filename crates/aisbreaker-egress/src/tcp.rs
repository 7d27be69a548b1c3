//! The TCP stream of a connection, with what HTTP asks for and the runtime's stream does not do: it
//! delivers what a server sent before it stopped listening, bounds what precedes a response, and
//! looks for a closed connection before a request is written.

use std::{
    io::{self, IoSlice, Read as _},
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use socket2::SockRef;
use tokio::net::TcpStream;

/// The most bytes of a response up to its head: more than the largest head, so that it is only
/// reached by interim responses (RFC 9110 section 15.2) without end.
const MAX_HEAD_BYTES: usize = 256 * 1024;
/// The most reads up to the head of a response, which interim responses reach that come one by one.
const MAX_HEAD_READS: usize = 1000;
/// Largest single read in bytes while the head of a response is awaited.
const HEAD_READ_BYTES: usize = 8 * 1024;

/// A TCP stream that a server may close in the middle of a request.
#[derive(Debug)]
pub(crate) struct Tcp {
    inner: TokioIo<TcpStream>,
    mode: Arc<ReadMode>,
}

/// How the next bytes of a stream are read. The connection sets it, since HTTP knows where in an
/// exchange it is. Only one task uses it at a time.
#[derive(Debug, Default)]
pub(crate) struct ReadMode {
    /// Whether the next read asks the operating system, even if the runtime has not yet been
    /// notified of what is there to be read.
    is_probe: AtomicBool,
    /// Whether the next write is the first of a request.
    is_unsent: AtomicBool,
    is_head_awaited: AtomicBool,
    head_bytes: AtomicUsize,
    head_reads: AtomicUsize,
}

impl ReadMode {
    /// Bounds what is read once a request is written, until [`end_head`](Self::end_head). On a
    /// connection that `is_used` the next read shows whether the server has closed it: the runtime
    /// hears of that only later.
    pub(crate) fn begin_exchange(&self, is_used: bool) {
        self.head_bytes.store(0, Ordering::Relaxed);
        self.head_reads.store(0, Ordering::Relaxed);
        self.is_probe.store(is_used, Ordering::Relaxed);
        self.is_unsent.store(true, Ordering::Relaxed);
    }

    /// Returns whether anything was read since the request was written.
    pub(crate) fn has_read(&self) -> bool {
        self.head_bytes.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn end_head(&self) {
        self.is_head_awaited.store(false, Ordering::Relaxed);
    }

    fn begin_write(&self) {
        if self.is_unsent.load(Ordering::Relaxed) {
            self.is_unsent.store(false, Ordering::Relaxed);
            self.is_head_awaited.store(true, Ordering::Relaxed);
        }
    }

    fn take_probe(&self) -> bool {
        let is_probe = self.is_probe.load(Ordering::Relaxed);
        if is_probe {
            self.is_probe.store(false, Ordering::Relaxed);
        }
        is_probe
    }
}

impl Tcp {
    pub(crate) fn new(inner: TokioIo<TcpStream>) -> Self {
        Self {
            inner,
            mode: Arc::default(),
        }
    }

    pub(crate) fn mode(&self) -> Arc<ReadMode> {
        Arc::clone(&self.mode)
    }

    /// Reads what the operating system has received, whether or not the runtime knows of it.
    fn probe(&self, buf: &mut ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let socket = SockRef::from(self.inner.inner());
        // As a rule there is nothing, for which no memory need be prepared.
        match socket.peek(&mut [MaybeUninit::uninit()]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Ok(_) | Err(_) => {}
        }
        let mut chunk = [0; HEAD_READ_BYTES];
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

    /// Reads up to the head of a response, within its bound.
    fn poll_read_head(
        &mut self,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut memory = [MaybeUninit::uninit(); HEAD_READ_BYTES];
        let room = buf.remaining().min(memory.len());
        let mut chunk = ReadBuf::uninit(&mut memory[..room]);
        ready!(Pin::new(&mut self.inner).poll_read(cx, chunk.unfilled()))?;
        let length = chunk.filled().len();
        let before = self.mode.head_bytes.fetch_add(length, Ordering::Relaxed);
        let reads = self.mode.head_reads.fetch_add(1, Ordering::Relaxed);
        if before + length > MAX_HEAD_BYTES || reads >= MAX_HEAD_READS {
            let text = "the head of the response is too long, or interim responses do not end";
            return Poll::Ready(Err(io::Error::other(text)));
        }
        buf.put_slice(chunk.filled());
        Poll::Ready(Ok(()))
    }
}

impl Read for Tcp {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.mode.take_probe()
            && let ready @ Poll::Ready(_) = this.probe(&mut buf)
        {
            return ready;
        }
        if this.mode.is_head_awaited.load(Ordering::Relaxed) {
            return this.poll_read_head(cx, buf);
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
        let this = self.get_mut();
        this.mode.begin_write();
        let written = Pin::new(&mut this.inner).poll_write(cx, buf);
        ignore_failure(written, buf.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.mode.begin_write();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    async fn read_byte(tcp: &mut Tcp) -> u8 {
        let mut memory = [0];
        let mut buf = ReadBuf::new(&mut memory);
        poll_fn(|cx| Pin::new(&mut *tcp).poll_read(cx, buf.unfilled()))
            .await
            .unwrap();
        buf.filled()[0]
    }

    /// What precedes the request, such as a message of TLS, is no part of its response.
    #[tokio::test]
    async fn only_what_follows_the_request_counts_as_its_response() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut tcp = Tcp::new(TokioIo::new(stream));
        let mode = tcp.mode();

        for is_used in [false, true] {
            mode.begin_exchange(is_used);
            server.write_all(b"12").await.unwrap();
            assert_eq!(read_byte(&mut tcp).await, b'1');
            assert!(!mode.has_read());
            poll_fn(|cx| Pin::new(&mut tcp).poll_write(cx, b"request"))
                .await
                .unwrap();
            assert_eq!(read_byte(&mut tcp).await, b'2');
            assert!(mode.has_read());
            mode.end_head();
        }
    }
}
