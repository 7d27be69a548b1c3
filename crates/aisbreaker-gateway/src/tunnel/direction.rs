//! One direction of a tunnel: bytes are copied from one side to the other, no faster than it reads.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    close::{CloseCode, close_frame},
    frames::Frames,
};

/// The buffer of a direction in bytes. What the receiver does not read stays in it.
pub(super) const BUFFER_BYTES: usize = 16 << 10;
/// How often a direction reads and writes before other tasks get to run.
const MAX_STEPS: usize = 32;

/// How a direction ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DirectionEnd {
    /// The sender has closed its connection. All that it sent was written.
    SenderLeft,
    /// The connection of the sender is broken.
    SenderBroken,
    /// The connection of the receiver is broken.
    ReceiverBroken,
    /// The receiver was sent a close frame of this server.
    Closed,
}

/// One direction of a tunnel.
pub(super) struct Direction {
    buffer: Vec<u8>,
    /// What of the buffer is not written yet.
    unwritten: std::ops::Range<usize>,
    /// The frames of which the bytes are written.
    frames: Frames,
    written: u64,
    needs_flush: bool,
    /// A frame that ends the direction at the next boundary.
    close: Option<Vec<u8>>,
    /// Whether that frame is in the buffer.
    is_closing: bool,
    last_progress: Instant,
    /// Since when the receiver takes nothing of what is there.
    blocked: Option<Instant>,
}

impl Direction {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES],
            unwritten: 0..0,
            frames: Frames::default(),
            written: 0,
            needs_flush: false,
            close: None,
            is_closing: false,
            last_progress: Instant::now(),
            blocked: None,
        }
    }

    /// Returns the bytes that were written, without close frames of this server.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Returns the code of the close frame that the sender has sent.
    pub(super) fn closed(&self) -> Option<CloseCode> {
        self.frames.closed()
    }

    /// Returns when bytes were last read or written.
    pub(super) fn last_progress(&self) -> Instant {
        self.last_progress
    }

    /// Returns since when the receiver takes nothing of what is there.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        self.blocked
    }

    /// Has the direction end with a close frame as soon as the frame that is passing is complete.
    pub(super) fn close(&mut self, code: CloseCode, reason: &str, mask: Option<[u8; 4]>) {
        // One that the sender has sent is the last frame there may be.
        let frame = match self.closed() {
            Some(_) => Vec::new(),
            None => close_frame(code, reason, mask),
        };
        self.close = Some(frame);
    }

    /// Copies until the direction ends.
    pub(super) fn poll_copy<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
    ) -> Poll<DirectionEnd> {
        for _ in 0..MAX_STEPS {
            self.insert_close();
            if !self.unwritten.is_empty() {
                if ready!(self.poll_write(cx, to)).is_err() {
                    return Poll::Ready(DirectionEnd::ReceiverBroken);
                }
                continue;
            }
            if self.is_closing {
                return match ready!(Pin::new(&mut *to).poll_flush(cx)) {
                    Ok(()) => Poll::Ready(DirectionEnd::Closed),
                    Err(_) => Poll::Ready(DirectionEnd::ReceiverBroken),
                };
            }
            match self.poll_read(cx, from) {
                Poll::Ready(Ok(0)) => {
                    let _flushed = ready!(Pin::new(&mut *to).poll_flush(cx));
                    return Poll::Ready(DirectionEnd::SenderLeft);
                }
                Poll::Ready(Ok(read)) => self.unwritten = 0..read,
                Poll::Ready(Err(_)) => return Poll::Ready(DirectionEnd::SenderBroken),
                Poll::Pending => {
                    if self.needs_flush {
                        if ready!(Pin::new(&mut *to).poll_flush(cx)).is_err() {
                            return Poll::Ready(DirectionEnd::ReceiverBroken);
                        }
                        self.needs_flush = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Puts the close frame in place of what is not written yet, if it can follow what is.
    fn insert_close(&mut self) {
        if !self.frames.is_at_boundary() {
            return;
        }
        if let Some(frame) = self.close.take() {
            self.unwritten = 0..frame.len();
            if let Some(place) = self.buffer.get_mut(..frame.len()) {
                place.copy_from_slice(&frame);
            }
            self.is_closing = true;
        }
    }

    fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
    ) -> Poll<std::io::Result<usize>> {
        let mut buf = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(from).poll_read(cx, &mut buf))?;
        let read = buf.filled().len();
        self.last_progress = Instant::now();
        Poll::Ready(Ok(read))
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<std::io::Result<()>> {
        let unwritten = self.buffer.get(self.unwritten.clone()).unwrap_or_default();
        let writable = if self.close.is_some() {
            let end = self.frames.bytes_to_boundary(unwritten);
            unwritten.get(..end).unwrap_or_default()
        } else {
            unwritten
        };
        let Poll::Ready(written) = Pin::new(to).poll_write(cx, writable) else {
            self.blocked.get_or_insert_with(Instant::now);
            return Poll::Pending;
        };
        let written = written?;
        if written == 0 {
            return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
        }
        if !self.is_closing {
            self.frames
                .advance(writable.get(..written).unwrap_or_default());
            self.written += u64::try_from(written).unwrap_or_default();
        }
        self.unwritten.start += written;
        self.needs_flush = true;
        self.blocked = None;
        self.last_progress = Instant::now();
        Poll::Ready(Ok(()))
    }
}
