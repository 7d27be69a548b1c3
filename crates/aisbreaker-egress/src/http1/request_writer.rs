//! Writes a request (RFC 9112 section 3), with its body as fast as the server takes it.

#[cfg(test)]
mod tests;

use std::{
    io::{self, IoSlice, Write as _},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, uri::PathAndQuery};
use hyper::rt::Write;
use zeroize::Zeroize as _;

use super::invalid;
use crate::{
    payload::{Content, OtherContent},
    streamed_body::StreamedBody,
};

/// The most bytes of content that are copied behind what precedes it where each write would be a TLS
/// record of its own.
const MAX_COPIED_BYTES: usize = 8 * 1024;
/// How often one poll writes, or takes the next frame of a body, at most.
const MAX_STEPS_PER_POLL: usize = 32;
/// The length in bytes that most heads do not exceed.
const USUAL_HEAD_BYTES: usize = 1024;
/// The most bytes of a head besides the method, the target and the fields of the request.
const MAX_GENERATED_BYTES: usize = 80;
/// The largest buffer in bytes that is kept for the next request.
const MAX_KEPT_BYTES: usize = 4 * 1024;

/// A request whose fields are final, except those that frame its content (RFC 9112 section 6).
pub(crate) struct PreparedRequest {
    pub(crate) method: Method,
    pub(crate) target: PathAndQuery,
    /// The value of `Host`.
    pub(crate) host: HeaderValue,
    /// All fields but `Host` and those that say how long the body is.
    pub(crate) fields: HeaderMap,
    pub(crate) content: Content,
}

/// Writes one request after the other to a stream.
#[derive(Default)]
pub(crate) struct RequestWriter {
    /// The head, the framing of chunks, and short content that is copied behind them. It is written
    /// before the pieces, and overwritten then, since the head has the secret.
    buffer: Vec<u8>,
    /// How much of the buffer is written.
    written: usize,
    /// Content that is not copied.
    pieces: [Bytes; 3],
    /// The rest of a body that is streamed.
    rest: Option<Rest>,
    /// Whether the stream may still buffer what was written.
    needs_flush: bool,
}

struct Rest {
    body: Arc<StreamedBody>,
    framing: Framing,
}

/// How the server learns where the body ends.
#[derive(Clone, Copy)]
enum Framing {
    /// By its length, of which this is left.
    Length(u64),
    Chunked,
}

impl RequestWriter {
    /// Begins a request. Nothing is written yet. Returns its method, and its fields emptied.
    pub(crate) fn begin(
        &mut self,
        request: PreparedRequest,
        stream: &impl Write,
    ) -> (Method, HeaderMap) {
        let is_vectored = stream.is_write_vectored();
        self.reserve(&request, is_vectored);
        let capacity = self.buffer.capacity();
        let PreparedRequest {
            method,
            target,
            host,
            mut fields,
            content,
        } = request;
        self.push_request_line(&method, &target);
        self.push_field(&header::HOST, &host);
        for (name, value) in &fields {
            self.push_field(name, value);
        }
        fields.clear();
        let length = content.len();
        self.push_framing(&method, length);
        self.buffer.extend_from_slice(b"\r\n");
        match content {
            Content::Whole(bytes) => {
                self.push_pieces([bytes, Bytes::new(), Bytes::new()], is_vectored)
            }
            Content::Other(other) => match *other {
                OtherContent::Pieces(pieces) => self.push_pieces(pieces, is_vectored),
                OtherContent::Streamed(body) => {
                    let framing = length.map_or(Framing::Chunked, Framing::Length);
                    self.rest = Some(Rest { body, framing });
                }
            },
        }
        debug_assert_eq!(self.buffer.capacity(), capacity, "the buffer has grown");
        (method, fields)
    }

    /// Whether the stream has taken the whole request, of which it may still buffer some.
    pub(crate) fn is_written(&self) -> bool {
        !self.has_queued() && self.rest.is_none()
    }

    /// Whether the whole request is sent.
    pub(crate) fn is_done(&self) -> bool {
        self.is_written() && !self.needs_flush
    }

    /// Writes as much as the stream takes, until the whole request is sent. After
    /// [`MAX_STEPS_PER_POLL`] steps it wakes the task and is pending, so that the response is read
    /// meanwhile: the server may send it before it has received the request.
    ///
    /// # Errors
    /// The stream is broken, or the body failed or does not have the length that it announced.
    pub(crate) fn poll_write(
        &mut self,
        mut stream: Pin<&mut (impl Write + Unpin)>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_done() {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..MAX_STEPS_PER_POLL {
            if self.has_queued() {
                let written = ready!(self.poll_write_queued(stream.as_mut(), cx))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.needs_flush = true;
                self.advance(written);
                continue;
            }
            if self.needs_flush {
                ready!(stream.as_mut().poll_flush(cx))?;
                self.needs_flush = false;
            }
            if self.rest.is_none() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_queue_next(stream.is_write_vectored(), cx))?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Makes room for the head and what is copied behind it: growing would leave a copy of the secret.
    fn reserve(&mut self, request: &PreparedRequest, is_vectored: bool) {
        let field_bytes = |(name, value): (&HeaderName, &HeaderValue)| {
            name.as_str().len() + value.len() + ": \r\n".len()
        };
        let PreparedRequest {
            method,
            target,
            host,
            fields,
            content,
        } = request;
        let head_bytes = method.as_str().len()
            + target.as_str().len()
            + host.len()
            + fields.iter().map(field_bytes).sum::<usize>()
            + MAX_GENERATED_BYTES;
        let content_bytes = match content.len() {
            Some(length) if !is_vectored => usize::try_from(length).unwrap_or(usize::MAX),
            _ => 0,
        };
        let bytes = head_bytes + content_bytes.min(MAX_COPIED_BYTES);
        self.buffer.reserve(bytes.max(USUAL_HEAD_BYTES));
    }

    fn push_request_line(&mut self, method: &Method, target: &PathAndQuery) {
        self.buffer.extend_from_slice(method.as_str().as_bytes());
        self.buffer.push(b' ');
        let target = target.as_str();
        if !target.starts_with('/') {
            self.buffer.push(b'/');
        }
        self.buffer.extend_from_slice(target.as_bytes());
        self.buffer.extend_from_slice(b" HTTP/1.1\r\n");
    }

    fn push_field(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.buffer.extend_from_slice(name.as_str().as_bytes());
        self.buffer.extend_from_slice(b": ");
        self.buffer.extend_from_slice(value.as_bytes());
        self.buffer.extend_from_slice(b"\r\n");
    }

    fn push_framing(&mut self, method: &Method, length: Option<u64>) {
        match length {
            Some(0) if !expects_content(method) => {}
            Some(length) => {
                self.buffer.extend_from_slice(b"content-length: ");
                let mut digits = itoa::Buffer::new();
                self.buffer
                    .extend_from_slice(digits.format(length).as_bytes());
                self.buffer.extend_from_slice(b"\r\n");
            }
            None => self
                .buffer
                .extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
    }

    /// Queues content behind the buffer. `is_vectored` says whether the stream writes several buffers
    /// at once.
    fn push_pieces(&mut self, mut pieces: [Bytes; 3], is_vectored: bool) {
        if !is_vectored {
            for piece in &mut pieces {
                let room = self.buffer.capacity() - self.buffer.len();
                if piece.len() > room.min(MAX_COPIED_BYTES) {
                    break;
                }
                self.buffer.extend_from_slice(piece);
                *piece = Bytes::new();
            }
        }
        self.pieces = pieces;
    }

    /// Queues the next part of a body that is streamed, or its end.
    fn poll_queue_next(&mut self, is_vectored: bool, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(Rest { body, framing }) = &mut self.rest else {
            return Poll::Ready(Ok(()));
        };
        if matches!(framing, Framing::Length(0)) {
            self.rest = None;
            return Poll::Ready(Ok(()));
        }
        let data = ready!(body.poll_data(cx)).transpose();
        match (framing, data.map_err(io::Error::other)?) {
            (Framing::Length(left), Some(data)) => {
                let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                let Some(after) = left.checked_sub(length) else {
                    return Poll::Ready(Err(invalid("the body is longer than announced")));
                };
                *left = after;
                self.push_pieces([data, Bytes::new(), Bytes::new()], is_vectored);
            }
            (Framing::Length(_), None) => {
                return Poll::Ready(Err(invalid("the body is shorter than announced")));
            }
            // A chunk of no bytes would be the end.
            (Framing::Chunked, Some(data)) if data.is_empty() => {}
            (Framing::Chunked, Some(data)) => {
                self.buffer.reserve(USUAL_HEAD_BYTES);
                write!(self.buffer, "{:x}\r\n", data.len())?;
                let line_end = Bytes::from_static(b"\r\n");
                self.push_pieces([data, line_end, Bytes::new()], is_vectored);
            }
            (Framing::Chunked, None) => {
                self.buffer.extend_from_slice(b"0\r\n\r\n");
                self.rest = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn has_queued(&self) -> bool {
        !self.buffer.is_empty() || self.pieces.iter().any(|piece| !piece.is_empty())
    }

    fn poll_write_queued(
        &mut self,
        stream: Pin<&mut impl Write>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let buffered = &self.buffer[self.written..];
        let [first, second, third] = &self.pieces;
        let queued: [&[u8]; 4] = [buffered, first, second, third];
        if stream.is_write_vectored() {
            return stream.poll_write_vectored(cx, &queued.map(IoSlice::new));
        }
        let next = queued.into_iter().find(|bytes| !bytes.is_empty());
        stream.poll_write(cx, next.unwrap_or_default())
    }

    /// Overwrites what was written, and frees a large buffer.
    fn clear_buffer(&mut self) {
        self.buffer[..].zeroize();
        self.buffer.clear();
        self.written = 0;
        if self.buffer.capacity() > MAX_KEPT_BYTES {
            self.buffer = Vec::new();
        }
    }

    /// Drops what was written.
    fn advance(&mut self, mut written: usize) {
        let buffered = written.min(self.buffer.len() - self.written);
        self.written += buffered;
        written -= buffered;
        if self.written == self.buffer.len() {
            self.clear_buffer();
        }
        for piece in &mut self.pieces {
            let length = written.min(piece.len());
            written -= length;
            if length == piece.len() {
                *piece = Bytes::new();
            } else {
                piece.advance(length);
            }
        }
    }
}

/// The rest of a request that breaks off may have its secret.
impl Drop for RequestWriter {
    fn drop(&mut self) {
        self.clear_buffer();
    }
}

/// Whether requests of this method usually have content, so that one without says so: some servers
/// answer 411 otherwise (RFC 9110 section 8.6).
fn expects_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}
