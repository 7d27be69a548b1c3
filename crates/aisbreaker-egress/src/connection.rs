//! A connection that carries one exchange of HTTP/1.1 after the other.
//!
//! The task that waits for a response moves the bytes of its connection itself. Neither a task nor a
//! channel is in between, so it is woken by the network alone.

use std::{
    future::poll_fn,
    io,
    mem::{self, MaybeUninit},
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Response};
use http_body::SizeHint;
use hyper::rt::{Read as _, ReadBuf, Write as _};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncReadExt as _, task::coop::unconstrained};

use crate::{
    http1::{BodyDecoder, Decoded, MAX_HEAD_BYTES, PreparedRequest, RequestWriter, ResponseHead},
    stream::Stream,
};

/// The most bytes up to the end of a head: more than the longest head, so that it is only reached by
/// interim responses (RFC 9110 section 15.2) without end.
const MAX_BYTES_TO_HEAD: usize = 4 * MAX_HEAD_BYTES;
/// The most reads up to the end of a head, which interim responses reach that come one by one.
const MAX_READS_TO_HEAD: usize = 1000;
/// How many bytes a read takes at first. Its buffer is on the stack, so that a connection that waits
/// holds none.
const SMALL_READ_BYTES: usize = 8 * 1024;
/// The size of the largest read in bytes.
const MAX_READ_BYTES: usize = 64 * 1024;

/// A connection that carries one exchange after the other. Dropping it closes it.
pub(crate) struct Connection {
    stream: Stream,
    phase: Phase,
    request: RequestWriter,
    /// Bytes that were read and are not parsed yet.
    buffered: Bytes,
    /// The size of the next read of a body in bytes.
    read_bytes: usize,
    /// Whether a request was sent before.
    is_used: bool,
    /// Whether any byte came since the last request began.
    has_received: bool,
}

/// How far the exchange is.
enum Phase {
    /// None has begun, or the last one is over.
    Idle,
    /// The head of the response is awaited.
    Head,
    /// The body of the response is read.
    Body {
        decoder: BodyDecoder,
        is_persistent: bool,
    },
    /// The connection cannot be used any more.
    Broken,
}

/// Why an exchange failed.
pub(crate) enum ExchangeError {
    /// Nothing of this request was written: the server had closed the connection, or sent bytes that
    /// nobody asked for.
    Unsent(Box<PreparedRequest>),
    /// The server may have received the request.
    Broken,
}

impl Connection {
    /// Begins HTTP on a stream. Nothing is sent yet.
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            phase: Phase::Idle,
            request: RequestWriter::default(),
            buffered: Bytes::new(),
            read_bytes: SMALL_READ_BYTES,
            is_used: false,
            has_received: false,
        }
    }

    /// Whether another request can be sent: the last exchange is over, and the server has not
    /// closed the connection, as far as the runtime knows. Wakes `waker` when that may have changed.
    /// Closes a connection whose last exchange rules it out.
    pub(crate) fn is_reusable(&mut self, waker: &Waker) -> bool {
        if let Phase::Body {
            decoder,
            is_persistent,
        } = &self.phase
            && decoder.is_ended()
        {
            let is_over = *is_persistent && self.buffered.is_empty() && self.request.is_done();
            self.phase = if is_over { Phase::Idle } else { Phase::Broken };
            if !is_over {
                // Sends the closure alert of TLS, which dropping alone would not.
                let mut noop = Context::from_waker(Waker::noop());
                let _sent = Pin::new(&mut self.stream).poll_shutdown(&mut noop);
            }
        }
        matches!(self.phase, Phase::Idle) && self.is_silent(&mut Context::from_waker(waker))
    }

    /// Whether nothing comes, neither bytes nor the end, as it must be between two exchanges.
    fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        let mut memory = [MaybeUninit::uninit(); 1];
        let mut unrequested = ReadBuf::uninit(&mut memory);
        let read = poll_fn(|cx| Pin::new(&mut self.stream).poll_read(cx, unrequested.unfilled()));
        // A task that has done much would be refused, and the waker would not be registered.
        let polled = pin!(unconstrained(read)).poll(cx);
        if polled.is_ready() {
            self.phase = Phase::Broken;
        }
        polled.is_pending()
    }

    /// Sends a request and waits for the head of the response. The rest of the request may still have
    /// to be written then.
    ///
    /// # Cancel safety
    /// The connection cannot be used again.
    pub(crate) async fn exchange(
        &mut self,
        request: PreparedRequest,
    ) -> Result<Response<()>, ExchangeError> {
        if self.is_used {
            // The runtime learns only later that the server has closed the connection.
            self.stream.ask_system();
            if !self.is_silent(&mut Context::from_waker(Waker::noop())) {
                return Err(ExchangeError::Unsent(Box::new(request)));
            }
        }
        self.is_used = true;
        self.has_received = false;
        self.phase = Phase::Head;
        let (method, fields) = self.request.begin(request, &self.stream);
        let mut awaited = AwaitedHead {
            method,
            fields,
            bytes: 0,
            reads: 0,
        };
        let received = poll_fn(|cx| self.poll_exchange(&mut awaited, cx)).await;
        received.map_err(|error| {
            tracing::debug!(%error, "exchange broke off");
            self.phase = Phase::Broken;
            ExchangeError::Broken
        })
    }

    fn poll_exchange(
        &mut self,
        awaited: &mut AwaitedHead,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Response<()>>> {
        self.write(cx)?;
        loop {
            let AwaitedHead { method, fields, .. } = awaited;
            if let Some(head) = ResponseHead::take_final(&mut self.buffered, method, fields)? {
                return Poll::Ready(Ok(self.begin_body(head, mem::take(fields))));
            }
            let length = ready!(self.poll_read_head(cx))?;
            self.has_received = true;
            awaited.count_read(length)?;
        }
    }

    /// Writes what the server takes of the request now. If some is left, the task of `cx` is woken when
    /// that can be written.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.request.poll_write(Pin::new(&mut self.stream), cx) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Reads on in the head of a response. Returns how many bytes came.
    fn poll_read_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut memory = [MaybeUninit::uninit(); SMALL_READ_BYTES];
        let mut received = ReadBuf::uninit(&mut memory);
        ready!(Pin::new(&mut self.stream).poll_read(cx, received.unfilled()))?;
        let received = received.filled();
        if received.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.buffered = if self.buffered.is_empty() {
            Bytes::copy_from_slice(received)
        } else {
            [&self.buffered, received].concat().into()
        };
        Poll::Ready(Ok(received.len()))
    }

    fn begin_body(&mut self, head: ResponseHead, fields: HeaderMap) -> Response<()> {
        self.read_bytes = SMALL_READ_BYTES;
        self.phase = Phase::Body {
            decoder: head.body,
            is_persistent: head.is_persistent,
        };
        let mut response = Response::new(());
        *response.status_mut() = head.status;
        *response.version_mut() = head.version;
        *response.headers_mut() = fields;
        response
    }

    /// Returns whether any byte of the response to the last request came.
    pub(crate) fn has_received(&self) -> bool {
        self.has_received
    }

    /// Takes the stream of a connection on which the server has switched to another protocol, and what
    /// came after the head of the response. Returns `None` if the server did so before the whole
    /// request was written.
    pub(crate) fn into_switched(self) -> Option<(Stream, Bytes)> {
        let is_written = self.request.is_written();
        is_written.then_some((self.stream, self.buffered))
    }

    /// Returns whether nothing is left of the body of the response.
    pub(crate) fn is_body_ended(&self) -> bool {
        match &self.phase {
            Phase::Body { decoder, .. } => decoder.is_ended(),
            Phase::Idle | Phase::Head | Phase::Broken => true,
        }
    }

    /// Returns how much is left of the body of the response.
    pub(crate) fn body_size_hint(&self) -> SizeHint {
        match &self.phase {
            Phase::Body { decoder, .. } => decoder.size_hint(),
            Phase::Idle | Phase::Head | Phase::Broken => SizeHint::with_exact(0),
        }
    }

    /// Polls for the next content of the response; `None` at its end.
    pub(crate) fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let polled = self.try_poll_content(cx);
        if let Poll::Ready(Err(_)) = &polled {
            self.phase = Phase::Broken;
        }
        polled.map(Result::transpose)
    }

    fn try_poll_content(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if self.is_body_ended() {
            return Poll::Ready(Ok(None));
        }
        self.write(cx)?;
        let Phase::Body {
            decoder,
            is_persistent,
        } = &mut self.phase
        else {
            return Poll::Ready(Ok(None));
        };
        while !decoder.is_ended() {
            decoder.check()?;
            let decoded = if self.buffered.is_empty() {
                ready!(poll_read_body(
                    &mut self.stream,
                    decoder,
                    &mut self.read_bytes,
                    cx
                ))?
            } else {
                decoder.decode(&mem::take(&mut self.buffered))
            };
            // What follows was not asked for.
            *is_persistent &= !decoded.is_followed;
            if decoded.content.is_some() {
                return Poll::Ready(Ok(decoded.content));
            }
        }
        Poll::Ready(Ok(None))
    }
}

/// Reads on in a body. Returns the content that came, and whether anything follows the body.
fn poll_read_body(
    stream: &mut Stream,
    decoder: &mut BodyDecoder,
    read_bytes: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Decoded>> {
    if *read_bytes > SMALL_READ_BYTES {
        return poll_read_much(stream, decoder, read_bytes, cx);
    }
    let mut memory = [MaybeUninit::uninit(); SMALL_READ_BYTES];
    let mut received = ReadBuf::uninit(&mut memory);
    ready!(Pin::new(stream).poll_read(cx, received.unfilled()))?;
    let received = received.filled();
    if received.is_empty() {
        decoder.close()?;
    }
    if received.len() == SMALL_READ_BYTES {
        *read_bytes *= 2;
    }
    Poll::Ready(Ok(decoder.decode(received)))
}

/// Reads on in a body of which much comes at once: into the heap, so that it is not copied.
fn poll_read_much(
    stream: &mut Stream,
    decoder: &mut BodyDecoder,
    read_bytes: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Decoded>> {
    let mut received = BytesMut::with_capacity(*read_bytes);
    let mut stream = TokioIo::new(stream);
    let Poll::Ready(length) = pin!(stream.read_buf(&mut received)).poll(cx) else {
        *read_bytes = SMALL_READ_BYTES;
        return Poll::Pending;
    };
    let length = length?;
    if length == 0 {
        decoder.close()?;
    }
    if length == *read_bytes {
        *read_bytes = MAX_READ_BYTES.min(length * 2);
    } else if length < *read_bytes / 2 {
        *read_bytes /= 2;
        // Copied, so that little content does not hold a large buffer.
        return Poll::Ready(Ok(decoder.decode(&received[..])));
    }
    Poll::Ready(Ok(decoder.decode(&received.freeze())))
}

/// The head of a response that is awaited.
struct AwaitedHead {
    /// The method of the request.
    method: Method,
    /// Where the fields of the response go.
    fields: HeaderMap,
    bytes: usize,
    reads: usize,
}

impl AwaitedHead {
    fn count_read(&mut self, length: usize) -> io::Result<()> {
        self.bytes += length;
        self.reads += 1;
        if self.bytes > MAX_BYTES_TO_HEAD || self.reads > MAX_READS_TO_HEAD {
            return Err(io::Error::other("interim responses do not end"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        task::Wake,
        time::Duration,
    };

    use hyper_tls::MaybeHttpsStream;
    use tokio::{
        io::AsyncWriteExt as _,
        net::{TcpListener, TcpStream},
        task::coop,
    };

    use super::*;
    use crate::{payload::Payload, tcp::Tcp};

    /// A connection and the server's end of it.
    async fn connect() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let stream = MaybeHttpsStream::Http(Tcp::new(TokioIo::new(stream)));
        (Connection::new(Stream::Network(stream)), server)
    }

    fn request() -> PreparedRequest {
        PreparedRequest {
            method: Method::POST,
            target: http::uri::PathAndQuery::from_static("/"),
            host: http::HeaderValue::from_static("a.example"),
            fields: HeaderMap::new(),
            content: Payload::from("body").into_content(),
        }
    }

    /// Answers the first request, after which nothing follows.
    async fn exchange_once(connection: &mut Connection, server: &mut TcpStream) {
        let answer = server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let (answered, response) = tokio::join!(answer, connection.exchange(request()));
        answered.unwrap();
        assert!(response.is_ok());
        assert!(connection.is_body_ended());
    }

    #[tokio::test]
    async fn a_request_for_a_closed_connection_is_returned() {
        let (mut connection, mut server) = connect().await;
        exchange_once(&mut connection, &mut server).await;
        assert!(connection.is_reusable(Waker::noop()));
        drop(server);

        let outcome = connection.exchange(request()).await;

        let Err(ExchangeError::Unsent(unsent)) = outcome else {
            panic!("it was written");
        };
        assert!(!unsent.content.is_empty());
        assert!(!connection.is_reusable(Waker::noop()));
    }

    /// Such as a 408 (Request Timeout), which would otherwise be taken for the next response.
    #[tokio::test]
    async fn a_connection_with_unrequested_bytes_is_not_used() {
        let (mut connection, mut server) = connect().await;
        exchange_once(&mut connection, &mut server).await;
        server.write_all(b"HTTP/1.1 408 X\r\n\r\n").await.unwrap();

        let outcome = connection.exchange(request()).await;

        assert!(matches!(outcome, Err(ExchangeError::Unsent(_))));
    }

    /// The sweeper may look at hundreds of connections at once.
    #[tokio::test]
    async fn the_end_of_an_idle_connection_is_noticed_by_a_task_that_has_done_much() {
        struct Woken(AtomicBool);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::SeqCst);
            }
        }

        let (mut connection, mut server) = connect().await;
        exchange_once(&mut connection, &mut server).await;
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        while coop::has_budget_remaining() {
            coop::consume_budget().await;
        }

        assert!(connection.is_reusable(&waker));
        tokio::task::yield_now().await;
        assert!(!woken.0.load(Ordering::SeqCst), "nothing has happened");
        drop(server);
        let noticed = async {
            while !woken.0.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
        };
        let noticed = tokio::time::timeout(Duration::from_secs(20), noticed).await;
        assert!(noticed.is_ok());
        assert!(!connection.is_reusable(&waker));
    }

    #[tokio::test]
    async fn a_connection_whose_exchange_is_not_over_is_not_reusable() {
        let rows = [
            ("unread body", "content-length: 2\r\n\r\nok"),
            ("more than the body", "content-length: 0\r\n\r\nok"),
            ("close", "connection: close\r\ncontent-length: 0\r\n\r\n"),
        ];
        for (name, rest) in rows {
            let (mut connection, mut server) = connect().await;
            let answer = format!("HTTP/1.1 200 OK\r\n{rest}");
            server.write_all(answer.as_bytes()).await.unwrap();
            assert!(connection.exchange(request()).await.is_ok(), "{name}");
            assert!(!connection.is_reusable(Waker::noop()), "{name}");
        }
    }
}
