//! Request bodies that are sent as they arrive.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test fails the test"
)]

mod support;

use std::{
    io::{self, Read as _, Write as _},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use aisbreaker_egress::{Client, Outgoing, Payload, SendError, Stage, Timeouts, UrlSource};
use bytes::Bytes;
use http::{HeaderMap, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use support::{GUARD, client, listen};

const PIECE: &[u8] = &[b'x'; 16 << 10];

/// A body of this many pieces, after which it fails or ends.
struct Pieces {
    left: usize,
    fails: bool,
    is_announced: bool,
    polled: Arc<AtomicUsize>,
}

impl Pieces {
    fn new(left: usize) -> Self {
        Self {
            left,
            fails: false,
            is_announced: false,
            polled: Arc::default(),
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            let failure = self.fails.then(|| Err(io::Error::other("a broken source")));
            return Poll::Ready(failure);
        }
        self.left -= 1;
        self.polled.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))))
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_announced {
            SizeHint::with_exact((self.left * PIECE.len()) as u64)
        } else {
            SizeHint::default()
        }
    }
}

async fn post(client: &Client, url: &Uri, body: Payload) -> Result<u16, SendError> {
    let outgoing = Outgoing::post(HeaderMap::new(), body);
    let response = client.send(url, UrlSource::Trusted, outgoing).await?;
    Ok(response.status().as_u16())
}

/// Reads what a client sends until this text ends it, or the connection ends.
async fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut received = Vec::new();
    while !received.ends_with(end) {
        if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
            break;
        }
    }
    received
}

#[tokio::test]
async fn body_is_framed_by_its_length_or_in_chunks() {
    let (listener, url) = listen().await;
    let client = client(Timeouts::default());
    for is_announced in [true, false] {
        let body = Pieces {
            is_announced,
            ..Pieces::new(40)
        };
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let end: &[u8] = if is_announced { b"xend" } else { b"0\r\n\r\n" };
            let mut received = Vec::new();
            while !received.ends_with(end) {
                stream.read_buf(&mut received).await.unwrap();
                let count = received.iter().filter(|byte| **byte == b'x').count();
                if is_announced && count >= 40 * PIECE.len() {
                    break;
                }
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
            String::from_utf8(received).unwrap()
        };
        let exchange = async { tokio::join!(post(&client, &url, Payload::streamed(body)), serve) };
        let (sent, received) = timeout(GUARD, exchange).await.expect("the client hangs");
        assert_eq!(sent, Ok(200));
        let head = received.split_once("\r\n\r\n").unwrap().0.to_lowercase();
        let length = format!("content-length: {}", 40 * PIECE.len());
        assert_eq!(head.contains(&length), is_announced, "{head}");
        assert_eq!(
            head.contains("transfer-encoding: chunked"),
            !is_announced,
            "{head}"
        );
    }
}

#[tokio::test]
async fn broken_body_never_looks_complete() {
    let (listener, url) = listen().await;
    let body = Pieces {
        fails: true,
        ..Pieces::new(3)
    };
    let client = client(Timeouts::default());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, b"0\r\n\r\n").await
    };
    let (sent, received) = tokio::join!(post(&client, &url, Payload::streamed(body)), serve);
    assert_eq!(sent, Err(SendError::Cut));
    assert!(!received.ends_with(b"0\r\n\r\n"));
}

#[tokio::test]
async fn body_is_sent_once() {
    let (listener, url) = listen().await;
    let payload = Payload::streamed(Pieces::new(3));
    let client = client(Timeouts::default());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, b"0\r\n\r\n").await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
    };
    let (sent, ()) = tokio::join!(post(&client, &url, payload.clone()), serve);
    assert_eq!(sent, Ok(200));
    assert_eq!(post(&client, &url, payload).await, Err(SendError::Cut));
}

#[tokio::test]
async fn slow_server_holds_the_body_back_and_is_given_up() {
    let (listener, url) = listen().await;
    let body = Pieces::new(100_000);
    let polled = Arc::clone(&body.polled);
    let client = client(Timeouts::default().with_idle(Duration::from_millis(300)));

    let sent = post(&client, &url, Payload::streamed(body)).await;

    assert_eq!(sent, Err(SendError::Timeout(Stage::Response)));
    let bytes = polled.load(Ordering::Relaxed) * PIECE.len();
    assert!(bytes < 64 << 20, "{bytes} bytes were read ahead");
    drop(listener);
}

#[tokio::test]
async fn error_before_the_end_drops_the_rest() {
    let (listener, url) = listen().await;
    let body = Pieces::new(100_000);
    let alive = Arc::downgrade(&body.polled);
    let client = client(Timeouts::default());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")
            .await
            .unwrap();
        stream
    };
    let outgoing = Outgoing::post(HeaderMap::new(), Payload::streamed(body));
    let sending = client.send(&url, UrlSource::Trusted, outgoing);
    let (response, _stream) = tokio::join!(sending, serve);
    let response = response.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(alive.strong_count(), 0, "the rest is still held");
    let (content, _) = response.into_body().collect_bounded().await.unwrap();
    assert_eq!(content, "{}");
}

/// A body that never ends, and always has the next frame.
struct Endless(&'static [u8]);

impl Body for Endless {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.0)))))
    }
}

/// On a thread of its own, since the client may keep the runtime busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_end_is_noticed_however_fast_the_body_comes() {
    const ANSWER: &str = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}";
    for (answer, drains) in [(ANSWER, true), (ANSWER, false), ("", false)] {
        for frame in [&PIECE[..1], PIECE] {
            let (listener, url) = listen().await;
            let listener = listener.into_std().unwrap();
            listener.set_nonblocking(false).unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut read = [0; 4096];
                assert_ne!(stream.read(&mut read).unwrap(), 0);
                stream.write_all(answer.as_bytes()).unwrap();
                while drains && stream.read(&mut read).is_ok_and(|length| length > 0) {}
            });
            let client = client(Timeouts::default());

            let body = Payload::streamed(Endless(frame));
            let sent = timeout(GUARD, post(&client, &url, body)).await;

            let expected = if answer.is_empty() {
                Err(SendError::Cut)
            } else {
                Ok(413)
            };
            assert_eq!(sent, Ok(expected), "{answer} {drains} {}", frame.len());
            server.join().unwrap();
        }
    }
}

/// A body that has one frame, and fails once it shall.
struct Failing {
    is_begun: bool,
    fails: Arc<AtomicBool>,
}

impl Body for Failing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.is_begun {
            self.is_begun = true;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))));
        }
        if self.fails.load(Ordering::Relaxed) {
            return Poll::Ready(Some(Err(io::Error::other("a broken source"))));
        }
        Poll::Pending
    }
}

#[tokio::test]
async fn a_complete_response_stays_complete_if_the_body_fails_afterwards() {
    let (listener, url) = listen().await;
    let client = client(Timeouts::default());
    let fails = Arc::<AtomicBool>::default();
    let body = Failing {
        is_begun: false,
        fails: Arc::clone(&fails),
    };
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await
            .unwrap();
        stream
    };
    let outgoing = Outgoing::post(HeaderMap::new(), Payload::streamed(body));
    let sending = client.send(&url, UrlSource::Trusted, outgoing);
    let (response, _stream) = tokio::join!(sending, serve);
    let mut body = response.unwrap().into_body();
    let content = body.frame().await.unwrap().unwrap();
    assert_eq!(content.into_data().unwrap(), "ok");

    fails.store(true, Ordering::Relaxed);

    assert!(body.frame().await.is_none());
}
