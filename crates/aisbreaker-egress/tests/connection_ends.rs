//! Servers that close a connection at an inconvenient moment, or never come to their answer, against
//! real sockets on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test fails the test"
)]

mod support;

use std::time::Duration;

use aisbreaker_egress::{Client, Outgoing, SendError, Timeouts, UrlSource};
use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use support::{GUARD, accept, client, listen};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Posts this body. Returns the status and the content of the response.
async fn post(
    client: &Client,
    url: &Uri,
    body: impl Into<Bytes>,
) -> Result<(u16, Bytes), SendError> {
    let outgoing = Outgoing::post(HeaderMap::new(), body.into());
    let exchange = async {
        let response = client.send(url, UrlSource::Trusted, outgoing).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    };
    timeout(GUARD, exchange).await.expect("the client hangs")
}

/// Reads the head of a request and perhaps the beginning of its body.
async fn read_head(stream: &mut TcpStream) {
    let mut read = Vec::new();
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "cut request");
    }
}

/// RFC 9112 section 9.5: the server answers, and closes the connection with most of the request
/// unread, which resets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_answer_is_received_although_the_request_is_cut() {
    const ROUNDS: usize = 60;
    let client = client(Timeouts::default());
    for (megabytes, status) in [(3, 413), (20, 401), (3, 429)] {
        let (listener, url) = listen().await;
        let server = tokio::spawn(async move {
            for _ in 0..ROUNDS {
                let mut stream = accept(&listener).await;
                read_head(&mut stream).await;
                let answer =
                    format!("HTTP/1.1 {status} Refused\r\ncontent-length: 7\r\n\r\nrefused");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let body = Bytes::from(vec![b'x'; megabytes << 20]);
        for round in 0..ROUNDS {
            assert_eq!(
                post(&client, &url, body.clone()).await,
                Ok((status, Bytes::from_static(b"refused"))),
                "{megabytes} MB, round {round}"
            );
        }
        server.await.unwrap();
    }
}

/// The server closes without a word after each answer. The client has not noticed when it sends the
/// next request.
#[tokio::test]
async fn closed_idle_connection_is_not_used() {
    const CALLS: usize = 200;
    for resets in [false, true] {
        let (listener, url) = listen().await;
        let client = client(Timeouts::default());
        for call in 0..CALLS {
            let server = async {
                let mut stream = accept(&listener).await;
                read_head(&mut stream).await;
                stream.write_all(OK.as_bytes()).await.unwrap();
                stream
            };
            let (response, stream) = tokio::join!(post(&client, &url, "hello"), server);
            assert_eq!(response.unwrap().0, 200, "call {call}");
            if resets {
                stream.set_zero_linger().unwrap();
            }
            drop(stream);
        }
    }
}

#[tokio::test]
async fn connection_is_reused_within_its_idle_time_only() {
    let timeouts = Timeouts::default();
    assert!(timeouts.pool_idle_http < Duration::from_secs(5));
    for (pool_idle, connections) in [(timeouts.pool_idle_http, 1), (Duration::ZERO, 2)] {
        let (listener, url) = listen().await;
        let client = client(timeouts.with_pool_idle(pool_idle));
        let server = tokio::spawn(async move {
            let mut accepted = 0;
            let mut open = Vec::new();
            let mut served = 0;
            while served < 2 {
                let mut stream = accept(&listener).await;
                accepted += 1;
                let mut request = [0; 4096];
                while served < 2 && stream.read(&mut request).await.unwrap() > 0 {
                    stream.write_all(OK.as_bytes()).await.unwrap();
                    served += 1;
                }
                open.push(stream);
            }
            accepted
        });
        for _ in 0..2 {
            assert_eq!(post(&client, &url, "").await.unwrap().0, 200);
        }
        assert_eq!(server.await.unwrap(), connections, "{pool_idle:?}");
    }
}

#[tokio::test]
async fn endless_interim_responses_are_cut() {
    const INTERIM: &[u8] = b"HTTP/1.1 102 Processing\r\nx: y\r\n\r\n";
    let (listener, url) = listen().await;
    let client = client(Timeouts::default());
    let server = async {
        let mut stream = accept(&listener).await;
        read_head(&mut stream).await;
        let mut written = 0;
        while stream.write_all(INTERIM).await.is_ok() {
            written += INTERIM.len();
            tokio::task::yield_now().await;
        }
        written
    };

    let (response, written) = tokio::join!(post(&client, &url, "hello"), server);

    assert_eq!(response, Err(SendError::Cut));
    // Besides what is read, the sockets buffer some.
    assert!(written < 16 << 20, "{written} bytes were taken");
}

#[tokio::test]
async fn interim_responses_that_trickle_are_cut() {
    let (listener, url) = listen().await;
    let client = client(Timeouts::default());
    let server = async {
        let mut stream = accept(&listener).await;
        stream.set_nodelay(true).unwrap();
        read_head(&mut stream).await;
        let mut written = 0;
        while stream.write_all(b"HTTP/1.1 100 -\r\n\r\n").await.is_ok() {
            written += 1;
            tokio::task::yield_now().await;
        }
        written
    };
    let (response, written) = tokio::join!(post(&client, &url, "hello"), server);
    assert_eq!(response, Err(SendError::Cut));
    assert!(written > 100);
}

#[tokio::test]
async fn unrequested_protocol_is_refused() {
    let (listener, url) = listen().await;
    let client = client(Timeouts::default());
    let server = async {
        let mut stream = accept(&listener).await;
        read_head(&mut stream).await;
        let answer =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        stream
    };
    let (response, _stream) = tokio::join!(post(&client, &url, "hello"), server);
    assert_eq!(response, Err(SendError::Cut));
}

/// The server reads each second request on a connection, and closes it without an answer.
#[tokio::test]
async fn only_safe_methods_are_sent_again_once_they_were_written() {
    for (method, expected) in [(Method::GET, Ok(200)), (Method::POST, Err(SendError::Cut))] {
        let (listener, url) = listen().await;
        let client = client(Timeouts::default());
        tokio::spawn(async move {
            loop {
                let mut stream = accept(&listener).await;
                read_head(&mut stream).await;
                stream.write_all(OK.as_bytes()).await.unwrap();
                read_head(&mut stream).await;
            }
        });
        let mut last = Ok(0);
        for _ in 0..2 {
            let mut outgoing = Outgoing::post(HeaderMap::new(), "");
            outgoing.method = method.clone();
            let response = timeout(GUARD, client.send(&url, UrlSource::Trusted, outgoing))
                .await
                .unwrap();
            last = match response {
                Ok(response) => {
                    let status = response.status().as_u16();
                    response.into_body().collect().await.unwrap();
                    Ok(status)
                }
                Err(error) => Err(error),
            };
        }
        assert_eq!(last, expected, "{method}");
    }
}

#[tokio::test]
async fn some_interim_responses_are_skipped() {
    let (listener, url) = listen().await;
    let client = client(Timeouts::default());
    let server = async {
        let mut stream = accept(&listener).await;
        read_head(&mut stream).await;
        for _ in 0..100 {
            let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
            stream.write_all(interim).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.write_all(OK.as_bytes()).await.unwrap();
        stream
    };
    let (response, _stream) = tokio::join!(post(&client, &url, "hello"), server);
    assert_eq!(response.unwrap().0, 200);
}

#[tokio::test]
async fn only_the_chunked_transfer_coding_is_accepted() {
    let body = "1\r\na\r\n0\r\n\r\n";
    let rows = [
        ("gzip, chunked", Err(SendError::TransferCoding)),
        (
            "gzip\r\ntransfer-encoding: chunked",
            Err(SendError::TransferCoding),
        ),
        ("x-unknown, Chunked", Err(SendError::TransferCoding)),
        ("gzip", Err(SendError::TransferCoding)),
        ("Chunked", Ok((200, Bytes::from_static(b"a")))),
        ("identity, chunked", Ok((200, Bytes::from_static(b"a")))),
        ("chunked, identity", Err(SendError::TransferCoding)),
        ("chunked, chunked", Err(SendError::TransferCoding)),
        ("identity", Ok((200, Bytes::from_static(body.as_bytes())))),
    ];
    for (codings, expected) in rows {
        let (listener, url) = listen().await;
        let client = client(Timeouts::default());
        let server = async {
            let mut stream = accept(&listener).await;
            read_head(&mut stream).await;
            let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {codings}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let (response, ()) = tokio::join!(post(&client, &url, "hello"), server);
        assert_eq!(response, expected, "{codings}");
    }
}
