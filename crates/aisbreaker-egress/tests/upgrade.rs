//! A connection that is switched to another protocol.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test fails the test"
)]

mod support;

use aisbreaker_egress::{
    Bounds, Client, Outgoing, Policy, Refusal, SendError, Timeouts, Upgrade, UrlSource,
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use support::{GUARD, accept, client, listen};

async fn upgrade(client: &Client, url: &Uri) -> Result<Upgrade, SendError> {
    let protocol = HeaderValue::from_static("websocket");
    let outgoing = Outgoing::get(HeaderMap::new());
    let upgraded = client.upgrade(url, UrlSource::Trusted, protocol, outgoing);
    timeout(GUARD, upgraded).await.expect("the client hangs")
}

/// Reads the head of a request.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

#[tokio::test]
async fn bytes_pass_both_ways_from_the_head_of_the_response_on() {
    let client = client(Timeouts::default());
    let (listener, url) = listen().await;
    let server = async {
        let mut stream = accept(&listener).await;
        let head = read_head(&mut stream).await;
        assert!(head.contains("connection: upgrade\r\n"), "{head}");
        assert!(head.contains("upgrade: websocket\r\n"), "{head}");
        // The first bytes of the protocol come with the head.
        let answer = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut sent = [0; 4];
        stream.read_exact(&mut sent).await.unwrap();
        assert_eq!(&sent, b"sent");
    };
    let caller = async {
        let Upgrade::Switched(parts, mut stream) = upgrade(&client, &url).await.unwrap() else {
            panic!("not switched");
        };
        assert_eq!(parts.status, StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(parts.headers["upgrade"], "websocket");
        let mut first = [0; 5];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"first");
        stream.write_all(b"sent").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(stream.read(&mut first).await.unwrap(), 0, "the end");
        assert_eq!(format!("{stream:?}"), "UpgradedStream(..)");
    };
    tokio::join!(server, caller);
}

#[tokio::test]
async fn a_server_that_stays_with_http_answers_as_usual() {
    let client = client(Timeouts::default());
    let (listener, url) = listen().await;
    let server = async {
        let mut stream = accept(&listener).await;
        for _ in 0..2 {
            read_head(&mut stream).await;
            let answer = "HTTP/1.1 429 X\r\nContent-Length: 4\r\n\r\nbusy";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let caller = async {
        // The second one goes over the same connection.
        for _ in 0..2 {
            let Upgrade::Refused(response) = upgrade(&client, &url).await.unwrap() else {
                panic!("switched");
            };
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "busy");
        }
    };
    tokio::join!(server, caller);
}

#[tokio::test]
async fn the_policy_and_the_bounds_hold() {
    let (listener, url) = listen().await;
    let strict = Client::new(Policy::strict(), Timeouts::default());
    let refused = upgrade(&strict, &url).await.unwrap_err();
    assert_eq!(refused, SendError::Forbidden(Refusal::Scheme));

    let mut bounds = Bounds::default();
    bounds.max_calls_per_origin = 1;
    let client = client(Timeouts::default()).with_bounds(bounds);
    let server = async {
        let mut stream = accept(&listener).await;
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream
    };
    let (_stream, open) = tokio::join!(server, upgrade(&client, &url));
    assert_eq!(
        upgrade(&client, &url).await.unwrap_err(),
        SendError::Busy,
        "as long as it is open"
    );
    drop(open);
}

/// What is left of it would be taken for the other protocol.
#[tokio::test]
async fn a_switch_before_the_whole_request_was_sent_is_refused() {
    let client = client(Timeouts::default());
    let (listener, url) = listen().await;
    let server = async {
        let mut stream = accept(&listener).await;
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream
    };
    let protocol = HeaderValue::from_static("websocket");
    // More than sockets buffer.
    let outgoing = Outgoing::post(HeaderMap::new(), vec![b'x'; 32 << 20]);
    let upgraded = client.upgrade(&url, UrlSource::Trusted, protocol, outgoing);
    let (_stream, refused) = tokio::join!(server, timeout(GUARD, upgraded));
    assert_eq!(refused.unwrap().unwrap_err(), SendError::Cut);
}
