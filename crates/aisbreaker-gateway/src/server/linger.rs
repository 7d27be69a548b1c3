//! The last phase of a connection whose client may still be sending (RFC 9112 section 9.6).
//!
//! A socket that is closed with unread data is reset, and the client may lose the response. So only
//! the write side is closed at first; what the client sends is read and dropped, within bounds.

use std::{
    future::Future as _,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

/// The longest time and the most bytes for which a client is read.
const LINGER_TIME: Duration = Duration::from_secs(30);
const LINGER_BYTES: usize = 64 << 20;
/// In this time, a client must send at least so many bytes, or it is not waited for.
const LINGER_PAUSE: Duration = Duration::from_secs(3);
const USEFUL_BYTES: usize = 16 << 10;
const BUFFER_BYTES: usize = 8 << 10;

/// Reads and drops what a client still sends.
pub(super) struct Linger {
    /// The end of the longest pause.
    pause: Pin<Box<Sleep>>,
    /// The bytes since the pause began.
    useful: usize,
    end: Instant,
    bytes_left: usize,
}

impl Linger {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            pause: Box::pin(sleep_until(now + LINGER_PAUSE)),
            useful: 0,
            end: now + LINGER_TIME,
            bytes_left: LINGER_BYTES,
        }
    }

    /// Completes when the client has closed its side, or at a bound.
    pub(super) fn poll(&mut self, socket: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        let mut buffer = [0; BUFFER_BYTES];
        while self.bytes_left > 0 && self.pause.as_mut().poll(cx).is_pending() {
            let mut read = ReadBuf::new(&mut buffer);
            match ready!(Pin::new(&mut *socket).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {
                    self.note_bytes(read.filled().len());
                }
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }

    fn note_bytes(&mut self, bytes: usize) {
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.useful = self.useful.saturating_add(bytes);
        if self.useful >= USEFUL_BYTES {
            self.useful = 0;
            let pause = (Instant::now() + LINGER_PAUSE).min(self.end);
            self.pause.as_mut().reset(pause);
        }
    }
}

/// A socket that always lingers when it is shut down.
pub(crate) struct LingeringIo {
    socket: TcpStream,
    linger: Option<Linger>,
}

impl LingeringIo {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            linger: None,
        }
    }
}

impl AsyncRead for LingeringIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for LingeringIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, linger } = &mut *self;
        if linger.is_none() {
            ready!(Pin::new(&mut *socket).poll_shutdown(cx))?;
        }
        let linger = linger.get_or_insert_with(Linger::new);
        linger.poll(socket, cx).map(Ok)
    }
}
