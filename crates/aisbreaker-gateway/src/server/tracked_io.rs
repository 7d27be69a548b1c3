//! A socket that records reads and writes, and closes without losing a response.

use std::{
    future::Future as _,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::activity::Activity;

/// How long, and for how many bytes, the rest of an unread request is read after the response.
const LINGER_TIME: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 64 << 20;
const LINGER_BUFFER_BYTES: usize = 8 << 10;
/// The first bytes of an HTTP/2 connection (RFC 9113 section 3.4).
const HTTP2_PREFACE_START: &[u8] = b"PRI * HTTP/2";

/// A socket that records reads and writes in the activity of its connection.
///
/// A socket that is closed with unread data is reset, and the client may lose the response. So if
/// the client may still be sending a request that nobody reads, only the write side is closed at
/// first; the rest of the request is read and dropped, within bounds (RFC 9112 section 9.6).
pub(super) struct TrackedIo {
    socket: TcpStream,
    activity: Arc<Activity>,
    protocol: Protocol,
    linger: Option<Linger>,
}

/// The protocol of a connection, as its first bytes show it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Protocol {
    Unknown,
    Http1,
    /// Ends each stream by itself, so the connection need not linger.
    Http2,
}

/// The last phase of a connection, after its write side was closed.
struct Linger {
    deadline: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl TrackedIo {
    pub(super) fn new(socket: TcpStream, activity: Arc<Activity>) -> Self {
        Self {
            socket,
            activity,
            protocol: Protocol::Unknown,
            linger: None,
        }
    }

    fn note_read(&mut self, bytes: &[u8]) {
        self.activity.note_received(bytes.len());
        if self.protocol == Protocol::Unknown {
            // The first read may be shorter than the preface.
            let compared = bytes.len().min(HTTP2_PREFACE_START.len());
            self.protocol = if bytes.get(..compared) == HTTP2_PREFACE_START.get(..compared) {
                Protocol::Http2
            } else {
                Protocol::Http1
            };
        }
    }

    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(_) => self.activity.writes.note_write(),
            Poll::Pending => self.activity.writes.note_blocked(),
        }
    }

    /// Reads and drops what the client sends until it closes its side, within bounds.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| Linger {
            deadline: Box::pin(sleep(LINGER_TIME)),
            bytes_left: LINGER_BYTES,
        });
        let mut buffer = [0; LINGER_BUFFER_BYTES];
        while linger.bytes_left > 0 && linger.deadline.as_mut().poll(cx).is_pending() {
            let mut read = ReadBuf::new(&mut buffer);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {
                    linger.bytes_left = linger.bytes_left.saturating_sub(read.filled().len());
                }
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for TrackedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        let received = buf.filled().get(before..).unwrap_or_default();
        if !received.is_empty() {
            self.note_read(received);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TrackedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.note_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            if self.protocol != Protocol::Http1 || !self.activity.has_unread_request() {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_linger(cx).map(Ok)
    }
}
