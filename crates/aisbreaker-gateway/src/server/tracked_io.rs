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
const HTTP2_PREFACE: &[u8; PREFACE_LEN] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PREFACE_LEN: usize = 24;

/// A socket that records reads and writes in the activity of its connection.
///
/// It lingers if the client may still be sending a request that nobody reads.
pub(super) struct TrackedIo {
    socket: Socket,
    activity: Arc<Activity>,
    protocol: Protocol,
    first: FirstBytes,
    linger: Option<Linger>,
}

/// The bytes that were read to learn the protocol, until they are read again.
#[derive(Default)]
struct FirstBytes {
    bytes: [u8; PREFACE_LEN],
    len: usize,
}

/// The protocol of a connection, as its first bytes show it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    /// They are so far those of the preface of HTTP/2.
    Unknown,
    Http1,
    /// Ends each stream by itself, so the connection need not linger.
    Http2,
}

impl TrackedIo {
    pub(super) fn new(socket: Socket, activity: Arc<Activity>) -> Self {
        Self {
            socket,
            activity,
            protocol: Protocol::Unknown,
            first: FirstBytes::default(),
            linger: None,
        }
    }

    /// Reads the first bytes, until they show the protocol or the client sends no more. They are read
    /// again with those that follow.
    pub(super) fn poll_protocol(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Protocol>> {
        let FirstBytes { bytes, len } = &mut self.first;
        while self.protocol == Protocol::Unknown {
            let mut buf = ReadBuf::new(bytes);
            buf.set_filled(*len);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf))?;
            let first = buf.filled();
            let received = first.len().saturating_sub(*len);
            if received == 0 {
                break;
            }
            *len = first.len();
            self.protocol = detect(first);
            if self.protocol == Protocol::Http1 {
                self.activity.note_http1();
            }
            self.activity.note_received(received);
        }
        Poll::Ready(Ok(self.protocol))
    }

    fn poll_read_socket(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        let received = buf.filled().len().saturating_sub(before);
        if received > 0 {
            self.activity.note_received(received);
        }
        Poll::Ready(Ok(()))
    }

    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(_) => self.activity.writes.note_write(),
            Poll::Pending => self.activity.writes.note_blocked(),
        }
    }
}

/// Returns the protocol of a connection that begins with these bytes.
fn detect(first: &[u8]) -> Protocol {
    if !HTTP2_PREFACE.starts_with(first) {
        Protocol::Http1
    } else if first.len() < PREFACE_LEN {
        Protocol::Unknown
    } else {
        Protocol::Http2
    }
}

impl AsyncRead for TrackedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.len == 0 {
            return self.poll_read_socket(cx, buf);
        }
        self.first.move_to(buf);
        if buf.remaining() > 0 {
            // What follows is read at once: a reader may make room for as much again before it reads
            // once more. If there is nothing yet, or an end, the next read finds that. After a failure
            // it finds an end, which ends the connection just as well.
            let _found_later = self.poll_read_socket(cx, buf);
        }
        Poll::Ready(Ok(()))
    }
}

impl FirstBytes {
    /// Moves as many bytes as fit.
    fn move_to(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.len.min(buf.remaining());
        buf.put_slice(self.bytes.get(..count).unwrap_or_default());
        self.bytes.copy_within(count..self.len, 0);
        self.len = self.len.saturating_sub(count);
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
pub(super) mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt as _;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// A connection, and its client.
    pub(in crate::server) async fn connected() -> (TrackedIo, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let socket = Socket::Plain(accepted.unwrap().0);
        let io = TrackedIo::new(socket, Arc::new(Activity::new()));
        (io, client.unwrap())
    }

    async fn protocol_of(io: &mut TrackedIo) -> Protocol {
        poll_fn(|cx| io.poll_protocol(cx)).await.unwrap()
    }

    /// Otherwise hyper would double its buffer.
    #[tokio::test]
    async fn what_follows_the_first_bytes_is_read_with_them() {
        for (sent, expected) in [
            (
                &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes"[..],
                Protocol::Http2,
            ),
            (b"POST / HTTP/1.1\r\nHost: localhost\r\n", Protocol::Http1),
        ] {
            let (mut io, mut client) = connected().await;
            client.write_all(sent).await.unwrap();
            assert_eq!(protocol_of(&mut io).await, expected);
            let mut buf = [0; 64];
            let len = io.read(&mut buf).await.unwrap();
            assert_eq!(buf.get(..len), Some(sent));
        }
    }

    #[tokio::test]
    async fn small_reads_get_every_byte_once() {
        const SENT: &[u8] = b"PRI * HTTP/1.1 and more";
        for size in 1..SENT.len() {
            let (mut io, mut client) = connected().await;
            client.write_all(SENT).await.unwrap();
            drop(client);
            assert_eq!(protocol_of(&mut io).await, Protocol::Http1);
            let (mut all, mut buf) = (Vec::new(), vec![0; size]);
            while let len @ 1.. = io.read(&mut buf).await.unwrap() {
                all.extend_from_slice(&buf[..len]);
            }
            assert_eq!(all, SENT, "{size} at a time");
        }
    }

    #[tokio::test]
    async fn a_client_that_stops_amid_the_preface_shows_no_protocol() {
        let (mut io, mut client) = connected().await;
        let mut pending = Box::pin(protocol_of(&mut io));
        for piece in [&b"PRI "[..], b"* HT"] {
            client.write_all(piece).await.unwrap();
            assert_eq!((&mut pending).now_or_never(), None);
        }
        drop(client);
        assert_eq!(pending.await, Protocol::Unknown);
        let mut all = Vec::new();
        io.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"PRI * HT");
    }

    #[test]
    fn the_whole_preface_or_the_first_other_byte_shows_the_protocol() {
        for (sent, other_byte) in [
            (&HTTP2_PREFACE[..], None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\n\n", Some(22)),
            (b"PRI * HTTP/1.1\r\n", Some(11)),
            (b"POST / HTTP/1.1\r\n", Some(1)),
            (b"GET / HTTP/1.1\r\n", Some(0)),
        ] {
            for len in 0..=sent.len() {
                let expected = match other_byte {
                    Some(other) if len > other => Protocol::Http1,
                    None if len == PREFACE_LEN => Protocol::Http2,
                    Some(_) | None => Protocol::Unknown,
                };
                assert_eq!(detect(&sent[..len]), expected, "{len} of {sent:?}");
            }
        }
    }
}
