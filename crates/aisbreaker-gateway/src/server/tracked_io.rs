//! A socket that tells whether its client takes what it is sent.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};

use super::activity::Activity;

/// What a client has taken so far.
#[derive(Debug)]
pub(super) struct Progress {
    opened: Instant,
    writes: AtomicU64,
    /// Since when something is to be sent that the client does not take, in milliseconds after the
    /// connection was opened and one; 0: all is taken.
    blocked_millis: AtomicU64,
}

impl Progress {
    pub(super) fn new(opened: Instant) -> Self {
        Self {
            opened,
            writes: AtomicU64::new(0),
            blocked_millis: AtomicU64::new(0),
        }
    }

    /// How many writes the socket has taken; more of them means that the client reads.
    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Whether something is to be sent that the client does not take.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked_since().is_some()
    }

    /// Since when the client has taken nothing of what is to be sent.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        let millis = self.blocked_millis.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.opened + Duration::from_millis(millis))
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        if written.is_ready() {
            self.writes.fetch_add(1, Ordering::Relaxed);
            self.blocked_millis.store(0, Ordering::Relaxed);
        } else if !self.is_blocked() {
            let millis = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.blocked_millis
                .store(millis.saturating_add(1), Ordering::Relaxed);
        }
    }
}

/// A socket whose writes are noted.
pub(super) struct Watched {
    io: TokioIo<TcpStream>,
    activity: Arc<Activity>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self {
            io: TokioIo::new(stream),
            activity,
        }
    }
}

impl Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.activity.progress.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.activity.progress.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
