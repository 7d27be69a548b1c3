//! The client against real TLS servers on loopback.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
    thread::JoinHandle,
    time::Duration,
};

use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use native_tls::{Certificate, Identity, TlsAcceptor, TlsStream};

use super::*;
use crate::{Failure, resolve::ResolveFuture, url::parse_url};

/// Self-signed, for `127.0.0.1` and `secure.example`, valid from 2020 to 2120.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBeDCCAR6gAwIBAgIBATAKBggqhkjOPQQDAjAaMRgwFgYDVQQDDA9haXNicmVh
a2VyIHRlc3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBoxGDAW
BgNVBAMMD2Fpc2JyZWFrZXIgdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA
BP94SSjEaP88ih1FIx0+7CdIZypDvSKw/FQa8YjAjRu24Os7pBeBRodRvfNR0grx
Uu/0IW04rwHPuOwZAwk99dKjUzBRMA8GA1UdEwEB/wQFMAMBAf8wHwYDVR0RBBgw
FocEfwAAAYIOc2VjdXJlLmV4YW1wbGUwHQYDVR0OBBYEFFZmtwisGSRFshs1hq4M
h7KgN3jDMAoGCCqGSM49BAMCA0gAMEUCIDtPeYiLU22dRw5uvNBJ5N7veROQS4Ar
4OHGAzB/V0q1AiEAiBOZDMtyqc5u8MHugf8j4AXw8rJeOxiGf4Xamh6Mf9o=
-----END CERTIFICATE-----
";
/// Not a secret: only these tests trust its certificate.
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgUAk6UMmVo5h7sh6o
LvWWfIscMF8TyXlmig5QdNYFnRKhRANCAAT/eEkoxGj/PIodRSMdPuwnSGcqQ70i
sPxUGvGIwI0btuDrO6QXgUaHUb3zUdIK8VLv9CFtOK8Bz7jsGQMJPfXS
-----END PRIVATE KEY-----
";

type Stream = TlsStream<std::net::TcpStream>;

/// Resolves every name to 127.0.0.1.
struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, _host: &str) -> ResolveFuture {
        Box::pin(async { Ok(vec![std::net::Ipv4Addr::LOCALHOST.into()]) })
    }
}

fn client() -> Client {
    let policy = Policy::strict().allow("127.0.0.0/8").unwrap();
    Client::with_resolver(policy, Timeouts::default(), Arc::new(Loopback))
}

/// A client that trusts the test certificate.
fn trusting_client() -> Client {
    let tls = native_tls::TlsConnector::builder()
        .add_root_certificate(Certificate::from_pem(CERTIFICATE.as_bytes()).unwrap())
        .build()
        .unwrap();
    let mut client = client();
    Arc::make_mut(&mut client.0).connector.set_tls(tls);
    client.with_own_pool()
}

/// Serves one connection on a thread. The thread returns `None` if the handshake fails.
fn serve<T: Send + 'static>(
    talk: impl FnOnce(Stream) -> T + Send + 'static,
) -> (u16, JoinHandle<Option<T>>) {
    serve_at("127.0.0.1", talk)
}

fn serve_at<T: Send + 'static>(
    address: &str,
    talk: impl FnOnce(Stream) -> T + Send + 'static,
) -> (u16, JoinHandle<Option<T>>) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let identity = Identity::from_pkcs8(CERTIFICATE.as_bytes(), KEY.as_bytes()).unwrap();
    let acceptor = TlsAcceptor::new(identity).unwrap();
    let server = std::thread::spawn(move || {
        let (stream, _peer) = listener.accept().unwrap();
        acceptor.accept(stream).ok().map(talk)
    });
    (port, server)
}

/// Reads a request up to the end of its body, `hello`, and writes `answer`.
fn answer(stream: &mut Stream, answer: &str) {
    let mut read = Vec::new();
    let mut piece = [0; 1024];
    while !read.ends_with(b"\r\n\r\nhello") {
        let length = stream.read(&mut piece).unwrap();
        assert_ne!(length, 0, "cut request");
        read.extend_from_slice(&piece[..length]);
    }
    stream.write_all(answer.as_bytes()).unwrap();
}

async fn send(client: &Client, host: &str, port: u16) -> Result<Response<Body>, SendError> {
    let url = parse_url(&format!("https://{host}:{port}")).unwrap();
    client
        .send(
            &url,
            UrlSource::Trusted,
            Outgoing::post(HeaderMap::new(), "hello"),
        )
        .await
}

#[tokio::test]
async fn calls_a_server_whose_certificate_verifies() {
    for host in ["127.0.0.1", "secure.example"] {
        let (port, server) = serve(|mut stream| {
            answer(
                &mut stream,
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            )
        });

        let response = send(&trusting_client(), host, port).await.unwrap();

        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "ok",
            "{host}"
        );
        assert_eq!(server.join().unwrap(), Some(()));
    }
}

#[tokio::test]
async fn sends_nothing_to_a_server_whose_certificate_does_not_verify() {
    let rows = [
        ("unknown signer", client(), "secure.example"),
        ("unknown signer, by address", client(), "127.0.0.1"),
        (
            "certificate of another name",
            trusting_client(),
            "other.example",
        ),
        (
            "certificate of another address",
            trusting_client(),
            "127.0.0.2",
        ),
    ];
    for (name, client, host) in rows {
        let read_all = |mut stream: Stream| {
            let mut read = Vec::new();
            let _broken = stream.read_to_end(&mut read);
            read
        };
        let address = if host == "127.0.0.2" {
            host
        } else {
            "127.0.0.1"
        };
        let (port, server) = serve_at(address, read_all);

        let refused = send(&client, host, port).await.unwrap_err();

        assert_eq!(refused, SendError::Unreachable(Failure::Tls), "{name}");
        assert!(
            server.join().unwrap().is_none_or(|read| read.is_empty()),
            "{name}: something was sent"
        );
    }
}

#[tokio::test]
async fn dropping_a_body_closes_the_tls_connection() {
    let (port, server) = serve(|mut stream| {
        answer(
            &mut stream,
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        );
        let _closed = stream.read_to_end(&mut Vec::new());
    });
    let client = trusting_client();

    drop(send(&client, "127.0.0.1", port).await.unwrap());

    let closed = tokio::task::spawn_blocking(|| server.join().unwrap());
    let closed = tokio::time::timeout(Duration::from_secs(20), closed).await;
    assert_eq!(
        closed.expect("the client keeps the connection").unwrap(),
        Some(())
    );
}

/// The closure alert and the end arrive while the runtime does nothing else, so that only the
/// operating system knows of them when the next request is sent.
#[tokio::test]
async fn a_tls_connection_that_was_just_closed_is_not_used() {
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let identity = Identity::from_pkcs8(CERTIFICATE.as_bytes(), KEY.as_bytes()).unwrap();
    let acceptor = TlsAcceptor::new(identity).unwrap();
    let (closing, is_closing) = mpsc::channel();
    let (closed, is_closed) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let mut stream = acceptor.accept(listener.accept().unwrap().0).unwrap();
        answer(&mut stream, OK);
        is_closing.recv().unwrap();
        stream.shutdown().unwrap();
        drop(stream);
        closed.send(()).unwrap();
        let mut stream = acceptor.accept(listener.accept().unwrap().0).unwrap();
        answer(&mut stream, OK);
    });
    let client = trusting_client();
    let first = send(&client, "127.0.0.1", port).await.unwrap();
    first.into_body().collect().await.unwrap();

    // Blocks the only thread of the runtime.
    closing.send(()).unwrap();
    is_closed.recv().unwrap();
    let second = send(&client, "127.0.0.1", port).await;

    assert_eq!(second.unwrap().status(), StatusCode::OK);
    server.join().unwrap();
}
