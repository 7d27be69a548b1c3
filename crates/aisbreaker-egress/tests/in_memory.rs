//! Servers in the same process, without sockets (feature `in-memory`).
#![cfg(feature = "in-memory")]
#![expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

use aisbreaker_egress::{
    Client, Failure, Outgoing, Policy, Refusal, SendError, Timeouts, UrlSource, parse_url,
};
use http::{HeaderMap, Uri};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

const ALLOWED: &str = "http://127.0.0.1:1";

fn client() -> (Client, UnboundedReceiver<DuplexStream>) {
    let (servers, connections) = unbounded_channel();
    let policy = Policy::strict().allow(ALLOWED).unwrap();
    (
        Client::new(policy, Timeouts::default()).with_in_memory_servers(servers),
        connections,
    )
}

fn outgoing() -> Outgoing {
    Outgoing::post(HeaderMap::new(), "hello")
}

fn url(base: &str) -> Uri {
    parse_url(&format!("{base}/v1")).unwrap()
}

#[tokio::test]
async fn two_calls_reuse_an_in_memory_connection() {
    let (client, mut connections) = client();
    let server = tokio::spawn(async move {
        let mut connection = connections.recv().await.unwrap();
        for _ in 0..2 {
            let mut request = Vec::new();
            while !request.ends_with(b"hello") {
                assert_ne!(connection.read_buf(&mut request).await.unwrap(), 0);
            }
            assert!(request.starts_with(b"POST /v1 HTTP/1.1\r\n"));
            connection
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
        }
    });

    for _ in 0..2 {
        let response = client
            .send(&url(ALLOWED), UrlSource::Trusted, outgoing())
            .await
            .unwrap();
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "ok"
        );
    }

    server.await.unwrap();
}

#[tokio::test]
async fn the_policy_applies_to_in_memory_connections() {
    let (client, mut connections) = client();

    let refused = client
        .send(&url("http://127.0.0.1:2"), UrlSource::Trusted, outgoing())
        .await;

    assert_eq!(refused.err(), Some(SendError::Forbidden(Refusal::Scheme)));
    assert!(connections.try_recv().is_err());
}

#[tokio::test]
async fn a_connection_without_a_server_is_refused() {
    let (client, connections) = client();
    drop(connections);

    let refused = client
        .send(&url(ALLOWED), UrlSource::Trusted, outgoing())
        .await;

    assert_eq!(
        refused.err(),
        Some(SendError::Unreachable(Failure::Refused))
    );
}
