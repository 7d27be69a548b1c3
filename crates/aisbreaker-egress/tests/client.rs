//! The client against real sockets on loopback.
//!
//! `Trap` listens where nothing must connect. A connection to it is found without waiting.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test fails the test"
)]

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use aisbreaker_egress::{
    Body, Client, Failure, Outgoing, Policy, Refusal, Resolve, ResolveFuture, SendError, Stage,
    Timeouts, UrlSource, parse_url,
};
use http::{HeaderMap, HeaderValue, Method, Response, Uri};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

const SHORT: Duration = Duration::from_millis(50);
/// Longer than anything here takes, so that a test fails instead of hanging.
const GUARD: Duration = Duration::from_secs(20);

type Outcome = Result<Response<Body>, SendError>;

fn url(text: &str) -> Uri {
    parse_url(&format!("{text}/v1")).unwrap()
}

fn loopback() -> Policy {
    Policy::strict()
        .allow("127.0.0.0/8")
        .unwrap()
        .allow("::1/128")
        .unwrap()
}

fn client() -> Client {
    Client::new(loopback(), Timeouts::default())
}

async fn send(client: &Client, base: &str) -> Outcome {
    send_outgoing(client, base, Outgoing::post(HeaderMap::new(), "hello")).await
}

async fn send_outgoing(client: &Client, base: &str, outgoing: Outgoing) -> Outcome {
    timeout(GUARD, client.send(&url(base), UrlSource::Trusted, outgoing))
        .await
        .expect("the client hangs")
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    timeout(GUARD, listener.accept())
        .await
        .expect("no connection")
        .unwrap()
        .0
}

/// Reads a request up to the end of its body, `hello`.
async fn read_request(stream: &mut TcpStream) -> String {
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
    String::from_utf8(read).unwrap()
}

async fn read_to_close(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A close with bytes unread arrives as a reset.
    let _closed = timeout(GUARD, stream.read_to_end(&mut rest))
        .await
        .expect("the client keeps the connection");
}

/// Accepts one connection, reads the request and writes `answer`. Returns the open stream.
async fn answer_once(listener: &TcpListener, answer: &str) -> TcpStream {
    let mut stream = accept(listener).await;
    read_request(&mut stream).await;
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream
}

/// A listener where nothing must connect.
struct Trap(std::net::TcpListener);

impl Trap {
    fn at(address: impl Into<SocketAddr>) -> Self {
        let listener = std::net::TcpListener::bind(address.into()).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn assert_untouched(&self, name: &str) {
        let found = self.0.accept().map_err(|error| error.kind());
        assert!(
            matches!(found, Err(io::ErrorKind::WouldBlock)),
            "{name}: there is a connection"
        );
    }
}

/// A resolver that returns the next of its answers for each lookup, and fails when there are none
/// left.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<VecDeque<Vec<IpAddr>>>>);

impl Script {
    fn new(answers: &[&[&str]]) -> Self {
        let parse = |answer: &&[&str]| {
            answer
                .iter()
                .map(|address| address.parse().unwrap())
                .collect()
        };
        Self(Arc::new(Mutex::new(answers.iter().map(parse).collect())))
    }

    fn answers_left(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn client(&self, policy: Policy) -> Client {
        Client::with_resolver(policy, Timeouts::default(), Arc::new(self.clone()))
    }
}

impl Resolve for Script {
    fn resolve(&self, _host: &str) -> ResolveFuture {
        let answer = self
            .0
            .lock()
            .unwrap()
            .pop_front()
            .ok_or_else(|| io::Error::other("no such host"));
        Box::pin(async move { answer })
    }
}

#[tokio::test]
async fn headers_do_not_change_where_a_request_goes() {
    let (listener, base) = listen().await;
    let rows = [
        ("host", "evil.example"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("transfer-encoding", "chunked"),
        ("content-length", "99"),
        ("accept-encoding", "gzip"),
        ("expect", "100-continue"),
        ("upgrade", "h2c"),
        ("authorization", "Bearer sk"),
    ];
    let headers = rows
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect();
    let server = async {
        let mut stream = accept(&listener).await;
        let request = read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .unwrap();
        request
    };

    let client = client();
    let outgoing = Outgoing::new(Method::PUT, headers, "hello");
    let (response, request) = tokio::join!(send_outgoing(&client, &base, outgoing), server);

    assert_eq!(response.unwrap().status(), 204);
    let (head, _body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    lines[1..].sort_unstable();
    let host = format!("host: {}", base.strip_prefix("http://").unwrap());
    let expected = [
        "PUT /v1 HTTP/1.1",
        "accept-encoding: identity",
        "authorization: Bearer sk",
        "content-length: 5",
        &host,
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn only_methods_with_content_state_a_length_of_zero() {
    let rows = [
        (Method::POST, "", Some("0")),
        (Method::PUT, "", Some("0")),
        (Method::PATCH, "", Some("0")),
        (Method::POST, "hello", Some("5")),
        (Method::GET, "", None),
        (Method::DELETE, "", None),
    ];
    for (method, body, expected) in rows {
        let (listener, base) = listen().await;
        let server = tokio::spawn(async move {
            let mut stream = accept(&listener).await;
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") && !read.ends_with(b"hello") {
                assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
            }
            let response = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(response).await.unwrap();
            String::from_utf8(read).unwrap().to_lowercase()
        });

        let outgoing = Outgoing::new(method.clone(), HeaderMap::new(), body);
        send_outgoing(&client(), &base, outgoing).await.unwrap();

        let head = server.await.unwrap();
        let lengths: Vec<&str> = head
            .lines()
            .filter_map(|line| line.strip_prefix("content-length: "))
            .collect();
        assert_eq!(lengths, expected.as_slice(), "{method} {body:?}");
        assert!(!head.contains("transfer-encoding"), "{method}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let (listener, base) = listen().await;
        let trap = Trap::at(([127, 0, 0, 1], 0));
        let target = trap.port();
        let redirect = format!(
            "HTTP/1.1 {status} X\r\nlocation: http://127.0.0.1:{target}/\r\n\
             refresh: 0; url=http://127.0.0.1:{target}/\r\ncontent-length: 0\r\n\r\n"
        );

        let client = client();
        let (response, _stream) =
            tokio::join!(send(&client, &base), answer_once(&listener, &redirect));

        let response = response.unwrap();
        assert_eq!(response.status(), status);
        assert!(
            response
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .is_empty()
        );
        trap.assert_untouched("redirect");
    }
}

#[tokio::test]
async fn no_spelling_of_a_private_address_is_dialled() {
    let trap = Trap::at(([127, 0, 0, 1], 0));
    let port = trap.port();
    let hosts = "
        127.0.0.1 127.1 2130706433 0x7f.1 0177.0.0.1 0x7f000001 127.0.0.1. 0.0.0.0 0 [::1] [::]
        [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [64:ff9b::127.0.0.1] [2002:7f00:1::]
        [64:ff9b:1::7f00:1] [fe80::1] [fd00:ec2::254] 169.254.169.254 １２７.0.0.1 ①②⑦.0.0.1
        localhost LOCALHOST localhost.
    ";
    let client = Client::new(Policy::strict(), Timeouts::default());
    for host in hosts.split_whitespace() {
        let refused = send(&client, &format!("https://{host}:{port}"))
            .await
            .unwrap_err();
        // A resolver may not know `localhost.`. What matters is that nothing is dialled.
        let unknown = |refused: &SendError| {
            host == "localhost."
                && matches!(refused, SendError::Unreachable(Failure::Resolution { .. }))
        };
        let is_expected = refused == SendError::Forbidden(Refusal::Address) || unknown(&refused);
        assert!(is_expected, "{host}: {refused:?}");

        let plain = send(&client, &format!("http://{host}:{port}"))
            .await
            .unwrap_err();
        let is_expected = plain == SendError::Forbidden(Refusal::Scheme) || unknown(&plain);
        assert!(is_expected, "{host}: {plain:?}");
        trap.assert_untouched(host);
    }
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_not_dialled() {
    let trap = Trap::at(([127, 0, 0, 1], 0));
    let base = format!("https://rebind.example:{}", trap.port());
    for address in [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "64:ff9b::7f00:1",
    ] {
        let client = Script::new(&[&[address]]).client(Policy::strict());

        let refused = send(&client, &base).await.unwrap_err();

        assert_eq!(refused, SendError::Forbidden(Refusal::Address), "{address}");
        trap.assert_untouched(address);
    }
}

/// Here 127.0.0.2 represents a public address, and 127.0.0.1 a private one.
#[tokio::test]
async fn every_new_connection_is_judged_by_the_address_it_dials() {
    let trap = Trap::at(([127, 0, 0, 1], 0));
    let public = TcpListener::bind(("127.0.0.2", trap.port())).await.unwrap();
    let base = format!("http://rebind.example:{}", trap.port());
    let resolver = Script::new(&[&["127.0.0.2"], &["127.0.0.1"], &["127.0.0.1", "127.0.0.2"]]);
    let client = resolver.client(Policy::strict().allow("127.0.0.2/32").unwrap());
    let done = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

    let (first, _stream) = tokio::join!(send(&client, &base), answer_once(&public, done));
    assert_eq!(first.unwrap().status(), 200);
    assert_eq!(resolver.answers_left(), 2, "one lookup per connection");

    let second = send(&client, &base).await.unwrap_err();
    assert!(matches!(second, SendError::Forbidden(_)), "{second:?}");

    let (mixed, _stream) = tokio::join!(send(&client, &base), answer_once(&public, done));
    assert_eq!(mixed.unwrap().status(), 200);
    assert_eq!(resolver.answers_left(), 0);
    trap.assert_untouched("the private address");
}

#[tokio::test]
async fn an_allowed_origin_is_dialled_at_its_own_port_only() {
    let (listener, base) = listen().await;
    let trap = Trap::at(([127, 0, 0, 1], 0));
    let named = base.replace("127.0.0.1", "localhost");
    let client = Client::new(Policy::strict().allow(&named).unwrap(), Timeouts::default());

    let done = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (response, _stream) = tokio::join!(send(&client, &named), answer_once(&listener, done));
    assert_eq!(response.unwrap().status(), 200);

    let other = send(&client, &format!("http://localhost:{}", trap.port()))
        .await
        .unwrap_err();
    assert_eq!(other, SendError::Forbidden(Refusal::Scheme));
    trap.assert_untouched("another port");
}

#[tokio::test]
async fn an_ipv4_mapped_address_is_judged_and_dialled_as_ipv4() {
    let (listener, base) = listen().await;
    let named = base.replace("127.0.0.1", "mapped.example");
    let client = Script::new(&[&["::ffff:127.0.0.1"]])
        .client(Policy::strict().allow("127.0.0.0/8").unwrap());

    let done = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (response, _stream) = tokio::join!(send(&client, &named), answer_once(&listener, done));

    assert_eq!(response.unwrap().status(), 200);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_unreachable() {
    let client = Script::default().client(Policy::strict());

    let unknown = send(&client, "https://no-such-host.example")
        .await
        .unwrap_err();

    let host = "no-such-host.example".to_owned();
    assert_eq!(
        unknown,
        SendError::Unreachable(Failure::Resolution { host })
    );
}

#[tokio::test]
async fn a_name_without_addresses_is_unreachable() {
    let unknown = send(
        &Script::new(&[&[]]).client(Policy::strict()),
        "https://a.example",
    )
    .await
    .unwrap_err();
    assert_eq!(
        unknown,
        SendError::Unreachable(Failure::Resolution {
            host: "a.example".to_owned()
        })
    );
}

#[tokio::test]
async fn a_port_without_listener_is_refused() {
    // Bound, so that no other process takes the port, but not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();

    let refused = send(
        &client(),
        &format!("http://{}", socket.local_addr().unwrap()),
    )
    .await
    .unwrap_err();

    assert_eq!(refused, SendError::Unreachable(Failure::Refused));
}

#[tokio::test]
async fn a_resolver_that_never_answers_is_a_connect_timeout() {
    struct Silent;
    impl Resolve for Silent {
        fn resolve(&self, _host: &str) -> ResolveFuture {
            Box::pin(std::future::pending())
        }
    }
    let timeouts = Timeouts::default().with_connect(SHORT);
    let client = Client::with_resolver(Policy::strict(), timeouts, Arc::new(Silent));

    assert_eq!(
        send(&client, "https://a.example").await.unwrap_err(),
        SendError::Timeout(Stage::Connect)
    );
}

#[tokio::test]
async fn a_tls_handshake_that_never_ends_is_a_connect_timeout() {
    let (listener, base) = listen().await;
    let secure = base.replace("http:", "https:");
    let client = Client::new(
        loopback(),
        Timeouts::default().with_connect(Duration::from_millis(500)),
    );
    client.load_certificates().await.unwrap();

    let (outcome, _stream) = tokio::join!(send(&client, &secure), accept(&listener));

    assert_eq!(outcome.unwrap_err(), SendError::Timeout(Stage::Connect));
}

#[tokio::test]
async fn a_server_without_tls_is_unreachable_by_https() {
    let (listener, base) = listen().await;
    let secure = base.replace("http:", "https:");
    let server = async {
        let mut stream = accept(&listener).await;
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        read_to_close(&mut stream).await;
    };

    let client = client();
    let (outcome, ()) = tokio::join!(send(&client, &secure), server);

    assert_eq!(outcome.unwrap_err(), SendError::Unreachable(Failure::Tls));
}

#[tokio::test]
async fn debug_of_a_request_shows_no_values() {
    let headers = [("authorization", "Bearer hush"), ("x-custom", "hush")];
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect();
    let text = format!("{:?} {:?}", Outgoing::post(headers, "hush"), client());
    assert!(!text.contains("hush"), "{text}");
}
