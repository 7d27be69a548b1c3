//! One direction of a tunnel: bytes are copied from one side to the other, no faster than it reads.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{close::CloseCode, frames::Frames};

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

/// The frames that this server ends a direction with.
struct LastFrames {
    /// A message, which is left out in the middle of another one.
    message: Vec<u8>,
    close: Vec<u8>,
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
    /// The frames that end the direction at the next boundary.
    close: Option<LastFrames>,
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

    /// Has the direction end with a close frame as soon as the frame that is passing is complete, after
    /// this message, if that can be inserted.
    pub(super) fn close(&mut self, message: Vec<u8>, close: Vec<u8>) {
        self.close = Some(LastFrames { message, close });
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
        let Some(LastFrames { mut message, close }) = self.close.take() else {
            return;
        };
        if !self.frames.is_between_messages() {
            message.clear();
        }
        message.extend(close);
        // A close frame of the sender is the last frame there may be.
        if self.closed().is_some() {
            message.clear();
        }
        self.unwritten = 0..message.len();
        self.buffer.resize(self.buffer.len().max(message.len()), 0);
        if let Some(place) = self.buffer.get_mut(..message.len()) {
            place.copy_from_slice(&message);
        }
        self.is_closing = true;
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
