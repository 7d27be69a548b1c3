//! The exceptions of a policy are for trusted URLs: an untrusted one gets nothing by them, neither
//! a new connection nor one that a trusted call has left open.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test fails the test"
)]

mod support;

use std::{net::IpAddr, sync::Arc};

use aisbreaker_egress::{
    Client, Outgoing, Policy, Refusal, Resolve, ResolveFuture, SendError, Timeouts, UrlSource,
    parse_url,
};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};

use support::{GUARD, accept, client, listen};

/// Every name is loopback.
struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, _host: &str) -> ResolveFuture {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

fn client_with(exception: &str) -> Client {
    let policy = Policy::strict().allow(exception).unwrap();
    Client::with_resolver(policy, Timeouts::default(), Arc::new(Loopback))
}

/// Sends a request and returns the text of the response.
async fn text(client: &Client, url: &str, source: UrlSource) -> Result<String, SendError> {
    let url = parse_url(url).unwrap();
    let sending = client.send(&url, source, Outgoing::get(HeaderMap::new()));
    let response = timeout(GUARD, sending).await.expect("the client hangs")?;
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

/// Answers every request with the number of connections so far.
fn serve(listener: TcpListener) {
    tokio::spawn(async move {
        for count in 1.. {
            let mut stream = accept(&listener).await;
            tokio::spawn(async move {
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{count}");
                let mut request = Vec::new();
                while stream.read_buf(&mut request).await.unwrap() > 0 {
                    if request.ends_with(b"\r\n\r\n") {
                        request.clear();
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
}

#[tokio::test]
async fn exceptions_do_not_apply_to_untrusted_urls() {
    let (listener, url) = listen().await;
    let port = url.port_u16().unwrap();
    let by_address = format!("http://127.0.0.1:{port}");
    let by_name = format!("http://internal.example:{port}");
    let rows = [
        ("127.0.0.0/8", by_address.clone(), Refusal::Scheme),
        ("127.0.0.0/8", by_name.clone(), Refusal::Scheme),
        (
            "127.0.0.1",
            format!("https://127.0.0.1:{port}"),
            Refusal::Address,
        ),
        (
            "127.0.0.1",
            format!("https://internal.example:{port}"),
            Refusal::Address,
        ),
        (&*by_address, by_address.clone(), Refusal::Scheme),
        (&*by_name, by_name.clone(), Refusal::Scheme),
    ];

    for (exception, url, refusal) in rows {
        let refused = text(&client_with(exception), &url, UrlSource::Untrusted).await;
        assert_eq!(refused, Err(SendError::Forbidden(refusal)), "{url}");
    }

    // The first connection is that of the trusted call.
    serve(listener);
    let trusted = text(
        &client(Timeouts::default()),
        &by_address,
        UrlSource::Trusted,
    )
    .await;
    assert_eq!(trusted.as_deref(), Ok("1"));
}

#[tokio::test]
async fn a_connection_of_trusted_calls_serves_no_untrusted_one() {
    for base in ["http://127.0.0.1", "http://internal.example"] {
        let (listener, url) = listen().await;
        let url = format!("{base}:{}", url.port_u16().unwrap());
        serve(listener);
        let client = client_with("127.0.0.1");

        for _ in 0..3 {
            let trusted = text(&client, &url, UrlSource::Trusted).await;
            assert_eq!(trusted.as_deref(), Ok("1"), "{url}");
            let untrusted = text(&client, &url, UrlSource::Untrusted).await;
            let refused = SendError::Forbidden(Refusal::Scheme);
            assert_eq!(untrusted, Err(refused), "{url}");
        }
    }
}

#[tokio::test]
async fn extended_exceptions_apply_to_both_on_one_connection() {
    let (listener, url) = listen().await;
    let url = url.to_string();
    serve(listener);
    let policy = Policy::strict().allow("127.0.0.1").unwrap();
    let client = Client::new(policy.extend_to_untrusted(), Timeouts::default());

    for source in [UrlSource::Untrusted, UrlSource::Trusted] {
        let answered = text(&client, &url, source).await;
        assert_eq!(answered.as_deref(), Ok("1"), "{source:?}");
    }
}
