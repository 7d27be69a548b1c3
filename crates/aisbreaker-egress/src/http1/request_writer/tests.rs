use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::{Wake, Waker},
};

use http_body_util::StreamBody;
use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::Payload;

/// A stream that takes some bytes at a time, and then none once.
struct SlowStream {
    received: Vec<u8>,
    is_vectored: bool,
    step: usize,
    is_full: bool,
}

impl Write for SlowStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_full = !self.is_full;
        if self.is_full {
            return Poll::Pending;
        }
        let length = bytes.len().min(self.step);
        self.received.extend_from_slice(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.is_vectored
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        assert!(self.is_vectored);
        let joined: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.to_vec()).collect();
        self.poll_write(cx, &joined)
    }
}

fn request(method: Method, target: &'static str, payload: Payload) -> PreparedRequest {
    PreparedRequest {
        method,
        target: PathAndQuery::from_static(target),
        host: HeaderValue::from_static("a.example"),
        fields: HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("x"))]),
        content: payload.into_content(),
    }
}

/// Returns what arrives of a request, and how its writing ends.
fn write(
    writer: &mut RequestWriter,
    request: PreparedRequest,
    (is_vectored, step): (bool, usize),
) -> (String, io::Result<()>) {
    let mut stream = SlowStream {
        received: Vec::new(),
        is_vectored,
        step,
        is_full: false,
    };
    let (_method, fields) = writer.begin(request, &stream);
    assert!(fields.is_empty());
    let mut cx = Context::from_waker(Waker::noop());
    let end = loop {
        if let Poll::Ready(end) = writer.poll_write(Pin::new(&mut stream), &mut cx) {
            break end;
        }
        assert!(!writer.is_done());
    };
    (String::from_utf8(stream.received).unwrap(), end)
}

fn streamed(frames: Vec<Result<String, &'static str>>) -> Payload {
    let frames = frames.into_iter().map(|frame| match frame {
        Ok(text) => Ok(http_body::Frame::data(Bytes::from(text))),
        Err(error) => Err(io::Error::other(error)),
    });
    Payload::streamed(StreamBody::new(futures_util::stream::iter(frames)))
}

#[test]
fn the_head_says_where_the_content_ends() {
    let rows = [
        (Method::GET, Payload::default(), ""),
        (Method::DELETE, Payload::default(), ""),
        (Method::POST, Payload::default(), "content-length: 0\r\n"),
        (Method::GET, "ab".into(), "content-length: 2\r\n"),
        (
            Method::POST,
            streamed(vec![]),
            "transfer-encoding: chunked\r\n",
        ),
    ];
    for (method, payload, framing) in rows {
        let end = if framing.starts_with('t') {
            "0\r\n\r\n"
        } else {
            ""
        };
        let content = if method == Method::GET && !framing.is_empty() {
            "ab"
        } else {
            end
        };
        let expected = format!(
            "{method} /p?q HTTP/1.1\r\nhost: a.example\r\naccept: x\r\n{framing}\r\n{content}"
        );
        let request = request(method, "/p?q", payload);
        let (written, end) = write(&mut RequestWriter::default(), request, (true, 9));
        assert_eq!((written, end.is_ok()), (expected, true));
    }
}

/// A stream that buffers.
struct SlowFlush {
    flushes: usize,
}

impl Write for SlowFlush {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        match self.flushes {
            1 => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_request_is_done_once_it_is_flushed() {
    let (mut stream, mut writer) = (SlowFlush { flushes: 0 }, RequestWriter::default());
    let _begun = writer.begin(request(Method::POST, "/", "body".into()), &stream);
    let mut cx = Context::from_waker(Waker::noop());

    let polled = writer.poll_write(Pin::new(&mut stream), &mut cx);
    assert!(polled.is_pending() && !writer.is_done());
    let polled = writer.poll_write(Pin::new(&mut stream), &mut cx);
    assert!(polled.is_ready() && writer.is_done());
    assert_eq!(stream.flushes, 2);
}

/// Counts the wakes of a task.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_long_request_pauses_for_the_reader_and_wakes_its_task() {
    let wakes = Arc::<Wakes>::default();
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    // Its flushes are never pending.
    let (mut stream, mut writer) = (SlowFlush { flushes: 1 }, RequestWriter::default());
    let body = streamed(vec![Ok("x".to_owned()); MAX_STEPS_PER_POLL]);
    let _begun = writer.begin(request(Method::POST, "/", body), &stream);

    let mut polls = 1;
    while writer
        .poll_write(Pin::new(&mut stream), &mut cx)
        .is_pending()
    {
        assert_eq!(wakes.0.load(Ordering::Relaxed), polls);
        polls += 1;
    }
    assert!(polls > 1);
}

#[test]
fn a_target_without_a_path_gets_one() {
    for (url, expected) in [("http://a?q", "GET /?q HTTP"), ("http://a", "GET / HTTP")] {
        let url: http::Uri = url.parse().unwrap();
        let mut request = request(Method::GET, "/", Payload::default());
        request.target = url.path_and_query().unwrap().clone();
        let (written, _) = write(&mut RequestWriter::default(), request, (true, 99));
        assert!(written.starts_with(expected), "{written}");
    }
}

#[test]
fn a_body_that_fails_never_looks_complete() {
    let broken = streamed(vec![Ok("ab".into()), Err("broken")]);
    let request = request(Method::POST, "/", broken);
    let (written, end) = write(&mut RequestWriter::default(), request, (true, 99));
    assert!(end.is_err());
    assert!(written.ends_with("\r\n\r\n2\r\nab\r\n"), "{written}");
}

/// A body with a length that its frames may not have.
struct Announced(Vec<&'static str>, u64);

impl http_body::Body for Announced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        let frame = self.0.pop().map(Bytes::from);
        Poll::Ready(frame.map(|data| Ok(http_body::Frame::data(data))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.1)
    }
}

#[test]
fn a_body_of_another_length_than_announced_fails() {
    for (frames, is_ok) in [
        (vec!["b", "a"], true),
        (vec!["bc", "a"], false),
        (vec!["a"], false),
    ] {
        let payload = Payload::streamed(Announced(frames.clone(), 2));
        let request = request(Method::POST, "/", payload);
        let (written, end) = write(&mut RequestWriter::default(), request, (true, 99));
        assert!(written.contains("content-length: 2\r\n"));
        assert_eq!(end.is_ok(), is_ok, "{frames:?}");
        let content = written.split_once("\r\n\r\n").unwrap().1;
        assert!(content.len() <= 2, "more than announced: {content}");
    }
}

proptest! {
    #[test]
    fn what_arrives_does_not_depend_on_how_it_is_written(
        pieces in option::of(vec("[a-z]{0,20}", 3)),
        frames in vec("[a-z]{0,20}", 0..6),
        large in prop_oneof![Just(0), Just(3 * MAX_COPIED_BYTES)],
        is_vectored: bool,
        step in 1..5_000_usize,
    ) {
        let mut writer = RequestWriter::default();
        // The second request shows that nothing is left of the first.
        for _ in 0..2 {
            let large = "x".repeat(large);
            let (payload, expected) = match &pieces {
                Some(pieces) => {
                    let mut pieces = pieces.clone();
                    pieces[1].push_str(&large);
                    let expected = pieces.concat();
                    let pieces: Vec<Bytes> = pieces.into_iter().map(Bytes::from).collect();
                    (Payload::from_pieces(pieces.try_into().unwrap()), expected)
                }
                None => {
                    let mut frames = frames.clone();
                    frames.push(large);
                    let chunk = |text: &String| match text.len() {
                        0 => String::new(),
                        length => format!("{length:x}\r\n{text}\r\n"),
                    };
                    let coded: String = frames.iter().map(chunk).collect();
                    let frames = frames.into_iter().map(Ok).collect();
                    (streamed(frames), format!("{coded}0\r\n\r\n"))
                }
            };
            let request = request(Method::POST, "/", payload);
            let (written, end) = write(&mut writer, request, (is_vectored, step));
            prop_assert!(end.is_ok());
            let content = written.split_once("\r\n\r\n").unwrap().1;
            prop_assert_eq!(content, expected);
            prop_assert!(writer.is_done());
            prop_assert!(writer.buffer.capacity() <= MAX_KEPT_BYTES);
        }
    }
}
