//! Servers that stall, cut their responses short or do not speak HTTP, and callers that cancel,
//! against real sockets on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test fails the test"
)]

mod support;

use std::time::Duration;

use aisbreaker_egress::{Body, Client, Outgoing, SendError, Stage, Timeouts, UrlSource};
use bytes::Bytes;
use http::{HeaderMap, Response, Uri};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use support::{GUARD, accept, client, listen};

const SHORT: Duration = Duration::from_millis(50);

async fn send(client: &Client, url: &Uri) -> Result<Response<Body>, SendError> {
    let outgoing = Outgoing::post(HeaderMap::new(), "hello");
    timeout(GUARD, client.send(url, UrlSource::Trusted, outgoing))
        .await
        .expect("the client hangs")
}

async fn collect(body: Body) -> Result<Bytes, SendError> {
    timeout(GUARD, body.collect())
        .await
        .expect("the body hangs")
        .map(http_body_util::Collected::to_bytes)
}

async fn next(body: &mut Body) -> Option<Result<Bytes, SendError>> {
    let frame = timeout(GUARD, body.frame())
        .await
        .expect("the body hangs")?;
    Some(frame.map(|frame| frame.into_data().unwrap()))
}

async fn read_request(stream: &mut TcpStream) {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\nhello") {
        assert_ne!(
            timeout(GUARD, stream.read_buf(&mut read))
                .await
                .unwrap()
                .unwrap(),
            0,
            "cut request"
        );
    }
}

async fn read_to_close(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A close with bytes unread arrives as a reset.
    let _closed = timeout(GUARD, stream.read_to_end(&mut rest))
        .await
        .expect("the client keeps the connection");
}

/// Accepts one connection, reads the request and writes as much of `answer` as the client reads.
/// Returns the open stream.
async fn answer_once(listener: &TcpListener, answer: &str) -> TcpStream {
    let mut stream = accept(listener).await;
    read_request(&mut stream).await;
    let _taken = stream.write_all(answer.as_bytes()).await;
    stream
}

/// Returns the result of an exchange in which the server writes `answer` and closes.
async fn exchange(answer: &str) -> Result<Bytes, SendError> {
    let (listener, url) = listen().await;
    let client = client(Timeouts::default());
    let server = async { drop(answer_once(&listener, answer).await) };
    let whole = async { collect(send(&client, &url).await?.into_body()).await };
    tokio::join!(whole, server).0
}

#[tokio::test]
async fn a_cut_or_malformed_response_is_an_error() {
    let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1_000_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(1000));
    let rows = [
        ("no response", ""),
        ("cut in the status line", "HTTP/1.1 2"),
        ("cut in the head", "HTTP/1.1 200 OK\r\ncontent-le"),
        ("not HTTP", "220 smtp.example ESMTP\r\n"),
        ("no status", "HTTP/1.1 \r\n\r\n"),
        ("head too long", &huge),
        ("too many headers", &many),
        (
            "lengths that differ",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        ),
        (
            "length that is not a number",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nabc",
        ),
        (
            "shorter than its length",
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc",
        ),
        (
            "shorter than its length, without a coding",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\ncontent-length: 4\r\n\r\nabc",
        ),
        (
            "no body at all",
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n",
        ),
        (
            "no last chunk",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ),
        (
            "cut in a chunk",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\na",
        ),
        (
            "cut in the last chunk",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        ),
        (
            "chunk size that is not a number",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nz\r\nabc\r\n0\r\n\r\n",
        ),
    ];
    for (name, answer) in rows {
        assert_eq!(exchange(answer).await, Err(SendError::Cut), "{name}");
    }
}

#[tokio::test]
async fn a_complete_response_is_returned_in_every_framing() {
    let rows = [
        ("length", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"),
        (
            "chunks",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
             1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n",
        ),
        ("close", "HTTP/1.1 200 OK\r\n\r\nabc"),
        ("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nabc"),
        (
            "interim response",
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        ),
        (
            "content coding is kept",
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
        ),
    ];
    for (name, answer) in rows {
        assert_eq!(
            exchange(answer).await,
            Ok(Bytes::from_static(b"abc")),
            "{name}"
        );
    }
}

/// Larger than any single read, and in chunks of many sizes.
#[tokio::test]
async fn a_large_response_is_returned_whole_in_every_framing() {
    let content: String = (0..400_000_u32)
        .map(|number| char::from(b'a' + (number.wrapping_mul(2_654_435_761) >> 28) as u8))
        .collect();
    let (mut chunks, mut rest) = (String::new(), content.as_str());
    for size in [1, 7, 100, 9_000, 70_000].into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        chunks += &format!("{:x}\r\n{chunk}\r\n", chunk.len());
        rest = after;
    }
    let rows = [
        ("length", format!("content-length: 400000\r\n\r\n{content}")),
        ("close", format!("\r\n{content}")),
        (
            "chunks",
            format!("transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
        ),
    ];
    for (name, answer) in rows {
        let received = exchange(&format!("HTTP/1.1 200 OK\r\n{answer}")).await;
        assert!(received.is_ok_and(|received| received == content), "{name}");
    }
}

#[tokio::test]
async fn a_connection_reset_is_reported_as_cut() {
    let (listener, url) = listen().await;
    let server = async {
        let mut stream = accept(&listener).await;
        read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc")
            .await
            .unwrap();
        stream.set_zero_linger().unwrap();
    };

    let client = client(Timeouts::default());
    let whole = async { collect(send(&client, &url).await?.into_body()).await };

    assert_eq!(tokio::join!(whole, server).0, Err(SendError::Cut));
}

#[tokio::test]
async fn a_stalled_head_is_a_response_timeout_and_closes_the_connection() {
    for sent in ["", "HTTP/1.1 200 OK\r\ncontent-"] {
        let (listener, url) = listen().await;
        let client = client(Timeouts::default().with_response(Duration::from_millis(300)));
        let server = async { read_to_close(&mut answer_once(&listener, sent).await).await };

        let (outcome, ()) = tokio::join!(send(&client, &url), server);

        assert_eq!(
            outcome.unwrap_err(),
            SendError::Timeout(Stage::Response),
            "{sent:?}"
        );
    }
}

#[tokio::test]
async fn a_stalled_body_is_an_idle_timeout_and_closes_the_connection() {
    let (listener, url) = listen().await;
    let client = client(Timeouts::default().with_idle(SHORT));
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";

    let (response, mut stream) = tokio::join!(send(&client, &url), answer_once(&listener, answer));
    let mut body = response.unwrap().into_body();
    let seen = [
        next(&mut body).await,
        next(&mut body).await,
        next(&mut body).await,
    ];

    assert_eq!(
        seen,
        [
            Some(Ok(Bytes::from_static(b"abc"))),
            Some(Err(SendError::Timeout(Stage::Idle))),
            None
        ]
    );
    read_to_close(&mut stream).await;
    drop(body);
}

#[tokio::test]
async fn a_slow_reader_does_not_time_out() {
    let idle = Duration::from_millis(500);
    let (listener, url) = listen().await;
    let client = client(Timeouts::default().with_idle(idle));
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
    let (response, mut stream) = tokio::join!(send(&client, &url), answer_once(&listener, head));
    let mut body = response.unwrap().into_body();

    for piece in ["a", "b"] {
        // Starts the wait for the piece, and the timer with it, which then fires during the
        // reader's pause.
        assert!(
            timeout(SHORT, body.frame()).await.is_err(),
            "nothing was sent yet"
        );
        stream.write_all(piece.as_bytes()).await.unwrap();
        assert_eq!(next(&mut body).await, Some(Ok(Bytes::from(piece))));
        tokio::time::sleep(idle).await;
    }

    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn cancelling_before_the_response_closes_the_connection() {
    let (listener, url) = listen().await;
    let client = client(Timeouts::default());
    let call = tokio::spawn(async move { send(&client, &url).await.map(drop) });
    let mut stream = accept(&listener).await;
    read_request(&mut stream).await;

    call.abort();

    read_to_close(&mut stream).await;
}

#[tokio::test]
async fn dropping_an_unfinished_body_closes_the_connection() {
    let (listener, url) = listen().await;
    let client = client(Timeouts::default());
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let (response, mut stream) = tokio::join!(send(&client, &url), answer_once(&listener, answer));
    let mut body = response.unwrap().into_body();
    assert_eq!(next(&mut body).await, Some(Ok(Bytes::from_static(b"abc"))));

    drop(body);

    read_to_close(&mut stream).await;
}

#[tokio::test]
async fn dropping_an_endless_body_closes_the_connection() {
    let (listener, url) = listen().await;
    let client = client(Timeouts::default());
    let server = async {
        let mut stream = answer_once(&listener, "HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    };
    let reader = async {
        let mut body = send(&client, &url).await.unwrap().into_body();
        assert!(matches!(next(&mut body).await, Some(Ok(_))));
    };

    timeout(GUARD, async { tokio::join!(reader, server) })
        .await
        .expect("the client keeps the connection");
}

#[tokio::test]
async fn frames_are_returned_as_they_arrive() {
    let (listener, url) = listen().await;
    let client = client(Timeouts::default());
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let (response, mut stream) = tokio::join!(send(&client, &url), answer_once(&listener, head));
    let mut body = response.unwrap().into_body();

    for piece in ["a", "b", "c"] {
        stream
            .write_all(format!("1\r\n{piece}\r\n").as_bytes())
            .await
            .unwrap();
        assert_eq!(next(&mut body).await, Some(Ok(Bytes::from(piece))));
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn a_second_call_reuses_the_connection() {
    let (listener, url) = listen().await;
    let client = client(Timeouts::default());
    // One connection is accepted; a second one would get no answer.
    let server = async {
        let mut stream = accept(&listener).await;
        for _ in 0..2 {
            read_request(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
        }
    };
    let calls = async {
        for _ in 0..2 {
            let body = send(&client, &url).await.unwrap().into_body();
            assert_eq!(collect(body).await, Ok(Bytes::from_static(b"ok")));
        }
    };

    tokio::join!(calls, server);
}

#[tokio::test]
async fn a_connection_closed_by_the_server_is_not_reused() {
    let (listener, url) = listen().await;
    let client = client(Timeouts::default());
    let done = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    for _ in 0..3 {
        let (response, mut stream) =
            tokio::join!(send(&client, &url), answer_once(&listener, done));
        assert!(response.unwrap().into_body().collect().await.is_ok());
        stream.shutdown().await.unwrap();
        read_to_close(&mut stream).await;
    }
}

/// The client closes it too, so that it takes no descriptor until the idle connections are swept.
#[tokio::test]
async fn an_idle_connection_that_the_server_closes_is_closed_at_once() {
    const LONG: Duration = Duration::from_secs(600);
    let (listener, url) = listen().await;
    let client = client(Timeouts::default().with_pool_idle(LONG));
    for body in ["content-length: 0\r\n\r\n", "content-length: 2\r\n\r\nok"] {
        let answer = format!("HTTP/1.1 200 OK\r\n{body}");
        let (response, mut stream) =
            tokio::join!(send(&client, &url), answer_once(&listener, &answer));
        assert!(collect(response.unwrap().into_body()).await.is_ok());
        stream.shutdown().await.unwrap();
        timeout(Duration::from_secs(5), read_to_close(&mut stream))
            .await
            .expect("the connection is still open");
    }
}

#[tokio::test]
async fn a_client_with_its_own_pool_shares_no_connection() {
    let (listener, url) = listen().await;
    let first = client(Timeouts::default());
    let second = first.with_own_pool();
    let done = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

    let (response, _open) = tokio::join!(send(&first, &url), answer_once(&listener, done));
    assert_eq!(response.unwrap().status(), 200);
    let (response, _open_too) = tokio::join!(send(&second, &url), answer_once(&listener, done));
    assert_eq!(response.unwrap().status(), 200);
}
