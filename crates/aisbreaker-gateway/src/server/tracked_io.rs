//! A socket that records reads and writes, and closes without losing a response.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{activity::Activity, linger::Linger, socket::Socket};

/// The first bytes of an HTTP/2 connection (RFC 9113 section 3.4).
const HTTP2_PREFACE_START: &[u8] = b"PRI * HTTP/2";

/// A socket that records reads and writes in the activity of its connection.
///
/// It lingers if the client may still be sending a request that nobody reads.
pub(super) struct TrackedIo {
    socket: Socket,
    activity: Arc<Activity>,
    protocol: Protocol,
    linger: Option<Linger>,
}

/// The protocol of a connection, as its first bytes show it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Protocol {
    /// So many bytes are those of the preface of HTTP/2.
    Unknown {
        matched: usize,
    },
    Http1,
    /// Ends each stream by itself, so the connection need not linger.
    Http2,
}

impl TrackedIo {
    pub(super) fn new(socket: Socket, activity: Arc<Activity>) -> Self {
        Self {
            socket,
            activity,
            protocol: Protocol::Unknown { matched: 0 },
            linger: None,
        }
    }

    fn note_read(&mut self, bytes: &[u8]) {
        if let Protocol::Unknown { matched } = self.protocol {
            self.protocol = detect(matched, bytes);
            if self.protocol == Protocol::Http1 {
                self.activity.note_http1();
            }
        }
        self.activity.note_received(bytes.len());
    }

    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(_) => self.activity.writes.note_write(),
            Poll::Pending => self.activity.writes.note_blocked(),
        }
    }
}

/// Returns the protocol after these bytes, of which so many before them match the preface.
fn detect(matched: usize, bytes: &[u8]) -> Protocol {
    let rest = HTTP2_PREFACE_START.get(matched..).unwrap_or_default();
    let compared = bytes.len().min(rest.len());
    if bytes.get(..compared) != rest.get(..compared) {
        Protocol::Http1
    } else if compared == rest.len() {
        Protocol::Http2
    } else {
        Protocol::Unknown {
            matched: matched.saturating_add(compared),
        }
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
        let Self { socket, linger, .. } = &mut *self;
        let linger = linger.get_or_insert_with(Linger::new);
        // Below TLS, since what the client still sends is dropped.
        linger.poll(socket.tcp_mut(), cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_shows_however_its_first_bytes_are_split() {
        for (sent, expected) in [
            (&b"PRI * HTTP/2.0\r\n"[..], Protocol::Http2),
            (b"PRI * HTTP/1.1\r\n", Protocol::Http1),
            (b"POST / HTTP/1.1\r\n", Protocol::Http1),
        ] {
            for size in 1..=sent.len() {
                let mut protocol = Protocol::Unknown { matched: 0 };
                for bytes in sent.chunks(size) {
                    if let Protocol::Unknown { matched } = protocol {
                        protocol = detect(matched, bytes);
                    }
                }
                assert_eq!(protocol, expected, "in pieces of {size}");
            }
        }
    }
}
