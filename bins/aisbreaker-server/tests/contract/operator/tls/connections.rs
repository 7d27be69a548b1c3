//! Handshakes, and what is served after them.

use http_body_util::BodyExt as _;
use hyper::{Request as HyperRequest, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use openssl::ssl::{SslConnectorBuilder, SslVersion};
use serde_json::json;

use super::TlsServer;
use crate::{
    shutdown::two_part_provider,
    support::{
        Connection, Request, Response, Server, call, current_thread_runtime, dummy_call,
        output_text, service_at, streamed,
        tls::{Certificate, client, connect},
    },
};

const PING: &str = "/api/v1/ping";
const PUBLIC_HOST: (&str, &str) = ("AISBREAKER_PUBLIC_HOSTS", "localhost");

/// Returns the version of TLS, the protocol by ALPN, and the cipher of a handshake, if it succeeds.
fn handshake(
    tls: &TlsServer,
    configure: impl FnOnce(&mut SslConnectorBuilder),
) -> Option<(String, Option<String>, String)> {
    let mut client = client(&tls.certificate);
    configure(&mut client);
    let stream = connect(client, tls.server.address())?;
    let ssl = stream.ssl();
    let protocol = ssl.selected_alpn_protocol();
    let cipher = ssl.current_cipher().unwrap().name();
    Some((
        ssl.version_str().to_owned(),
        protocol.map(|name| String::from_utf8(name.to_vec()).unwrap()),
        cipher.to_owned(),
    ))
}

#[test]
fn handshakes_are_of_tls_1_2_or_1_3_and_agree_on_a_protocol() {
    let tls = TlsServer::start(&[]);
    let versions = [
        (SslVersion::TLS1_2, "TLSv1.2"),
        (SslVersion::TLS1_3, "TLSv1.3"),
    ];
    let protocols: [(&[u8], _); 4] = [
        (b"\x02h2\x08http/1.1", Some("h2")),
        (b"\x08http/1.1\x02h2", Some("h2")),
        (b"\x08http/1.1", Some("http/1.1")),
        (b"", None),
    ];
    for (version, name) in versions {
        for (offered, selected) in protocols {
            let agreed = handshake(&tls, |client| {
                client.set_min_proto_version(Some(version)).unwrap();
                client.set_max_proto_version(Some(version)).unwrap();
                if !offered.is_empty() {
                    client.set_alpn_protos(offered).unwrap();
                }
            });
            let (agreed_version, protocol, _) = agreed.expect("a handshake");
            assert_eq!((&*agreed_version, protocol.as_deref()), (name, selected));
        }
    }

    let refused: [fn(&mut SslConnectorBuilder); 4] = [
        |client| client.set_alpn_protos(b"\x03irc").unwrap(),
        |client| {
            client
                .set_min_proto_version(Some(SslVersion::TLS1_1))
                .unwrap();
            client
                .set_max_proto_version(Some(SslVersion::TLS1_1))
                .unwrap();
            client.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
        },
        // Without forward secrecy, or without authenticated encryption.
        |client| {
            client
                .set_max_proto_version(Some(SslVersion::TLS1_2))
                .unwrap();
            client.set_cipher_list("kRSA").unwrap();
        },
        |client| {
            client
                .set_max_proto_version(Some(SslVersion::TLS1_2))
                .unwrap();
            client
                .set_cipher_list("ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA")
                .unwrap();
        },
    ];
    for (row, configure) in refused.into_iter().enumerate() {
        assert_eq!(handshake(&tls, configure), None, "{row}");
    }
    let (_, _, cipher) = handshake(&tls, |_| {}).expect("a handshake");
    assert!(cipher.starts_with("TLS_"), "{cipher}");
}

#[test]
fn keys_are_minted_and_used_by_http1() {
    let tls = TlsServer::start(&[PUBLIC_HOST]);
    let mut connection = tls.connect();

    let minted = connection.send(&Request::mint(&json!({"requestAuthAndQuotas": {}})));
    assert_eq!(minted.status, 200, "{minted:?}");
    let key = minted.json()["access_token"].as_str().unwrap().to_owned();
    let answered = connection.send(&Request::process(&dummy_call()).bearer(&key));
    assert_eq!(answered.status, 200, "{answered:?}");
}

#[test]
fn a_client_of_http2_is_served() {
    let tls = TlsServer::start(&[PUBLIC_HOST]);
    let mut client = client(&tls.certificate);
    client.set_alpn_protos(b"\x02h2\x08http/1.1").unwrap();
    let ssl = client
        .build()
        .configure()
        .unwrap()
        .into_ssl("localhost")
        .unwrap();

    let (first, second) = current_thread_runtime().block_on(async {
        let stream = tokio::net::TcpStream::connect(tls.server.address())
            .await
            .unwrap();
        let mut stream = tokio_openssl::SslStream::new(ssl, stream).unwrap();
        std::pin::Pin::new(&mut stream).connect().await.unwrap();
        let (mut client, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(driver);
        let ping = HyperRequest::get("https://localhost/api/v1/ping").body(String::new());
        let ping = client.send_request(ping.unwrap()).await.unwrap();
        let call = HyperRequest::post("https://localhost/api/v1/process")
            .header("content-type", "application/json")
            .body(dummy_call().to_string());
        let called = client.send_request(call.unwrap()).await.unwrap();
        let status = called.status();
        let body = called.into_body().collect().await.unwrap().to_bytes();
        (ping.status(), (status, body))
    });

    assert_eq!(first, 200);
    assert_eq!(second.0, 200, "{second:?}");
}

#[test]
fn events_of_a_stream_arrive_one_by_one() {
    let (provider, gate) = two_part_provider();
    let tls = TlsServer::start(&[]);
    let body = streamed(call(service_at("chat:openai.com", &provider.url()), "Hi"));
    let mut stream = tls.connect();
    stream.write(&Request::process(&body).bearer("sk-own").to_bytes());
    assert_eq!(stream.head().status, 200);

    // The provider sends the second one only after the first one was read.
    assert_eq!(output_text(&stream.event().unwrap().data), "one");
    gate.open();
    assert_eq!(output_text(&stream.event().unwrap().data), "two");
    assert_eq!(stream.event().unwrap().name, "final");
    assert_eq!(stream.event(), None);
}

/// Larger than what the sockets of both sides hold.
#[test]
fn a_response_that_comes_before_the_end_of_its_request_arrives() {
    let tls = TlsServer::start(&[]);
    let body = " ".repeat(20 << 20);
    for round in 0..3 {
        let mut connection = tls.connect();
        let request = Request::post("/api/v1/no-such-path", body.clone());
        // The server may close before all of it is written.
        let _written = connection.try_write(&request.to_bytes());
        let response = connection.response_to("POST");
        assert_eq!(response.status, 404, "{round}: {response:?}");
    }
}

#[test]
fn slow_handshakes_keep_nobody_out() {
    let tls = TlsServer::start(&[
        ("AISBREAKER_HEADER_TIMEOUT", "2s"),
        ("AISBREAKER_MAX_CONNECTIONS", "20"),
    ]);
    // The beginning of a ClientHello.
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
    let open = |i: usize| {
        let mut connection = Connection::open(tls.server.address());
        connection.write(&hello[..i % hello.len()]);
        connection
    };

    // More than there may be: each further one evicts one of them, and so does a real client.
    let mut slow: Vec<Connection> = (0..19).map(open).collect();
    assert_eq!(ping(&mut tls.connect()).status, 200, "with room");
    slow.extend((0..5).map(open));
    let served = std::iter::repeat_with(|| tls.connect_trusting(&tls.certificate))
        .flatten()
        .next()
        .map(|mut connection| ping(&mut connection).status);
    assert_eq!(served, Some(200));

    // None is kept for longer than a head may take.
    for mut connection in slow {
        connection.read_to_end();
    }
    assert_eq!(ping(&mut tls.connect()).status, 200);
}

#[test]
fn a_connection_without_tls_is_closed() {
    let mut tls = TlsServer::start(&[]);
    for request in [
        Request::get(PING).to_bytes(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        vec![0; 1 << 16],
        b"\x16\x03\x01\xff\xff".repeat(1 << 12),
    ] {
        let mut plain = tls.server.connect();
        plain.write(&request);
        let answer = plain.read_to_end();
        // At most a TLS alert.
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
        assert!(answer.len() < 16, "{answer:?}");
    }
    assert_eq!(ping(&mut tls.connect()).status, 200);
    tls.server.signal("TERM");
    let (status, log) = tls.server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("fault") && !log.contains("panic"), "{log}");
}

#[test]
fn a_drain_lets_a_stream_complete_and_waits_for_no_handshake() {
    let (provider, gate) = two_part_provider();
    let mut tls = TlsServer::start(&[("AISBREAKER_HEADER_TIMEOUT", "10m")]);
    let body = streamed(call(service_at("chat:openai.com", &provider.url()), "Hi"));
    let mut idle = tls.connect();
    assert_eq!(ping(&mut idle).status, 200);
    let mut silent = tls.server.connect();
    let mut stream = tls.connect();
    stream.write(&Request::process(&body).bearer("sk-own").to_bytes());
    assert_eq!(stream.head().status, 200);
    assert_eq!(output_text(&stream.event().unwrap().data), "one");

    tls.server.start_draining();

    assert_eq!(ping(&mut idle).status, 503);
    gate.open();
    assert_eq!(output_text(&stream.event().unwrap().data), "two");
    assert_eq!(stream.event().unwrap().name, "final");
    assert_eq!(stream.event(), None);
    assert!(silent.read_to_end().is_empty());
    let (status, log) = tls.server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("cut off"), "{log}");
}

/// A client that asked at another port would not take the issuer for the one it asked (RFC 8414
/// section 3.3).
#[test]
fn metadata_names_the_port_of_the_request_only_where_no_proxy_speaks_tls() {
    let path = "/.well-known/oauth-authorization-server";
    let request = Request::get(path).set("Host", "localhost:8443");
    let issuer = |response: Response| response.json()["issuer"].as_str().unwrap().to_owned();
    let tls = TlsServer::start(&[PUBLIC_HOST]);
    assert_eq!(
        issuer(tls.connect().send(&request)),
        "https://localhost:8443"
    );
    let usual = Request::get(path).set("Host", "localhost:443");
    assert_eq!(issuer(tls.connect().send(&usual)), "https://localhost");

    let plain = Server::start(&[PUBLIC_HOST]);
    assert_eq!(issuer(plain.send(&request)), "https://localhost");
}

fn ping(connection: &mut Connection) -> Response {
    connection.send(&Request::get(PING))
}

#[test]
fn a_client_that_does_not_trust_the_certificate_costs_nothing_else() {
    let tls = TlsServer::start(&[]);
    for _ in 0..3 {
        assert!(tls.connect_trusting(&Certificate::new()).is_none());
    }
    assert_eq!(ping(&mut tls.connect()).status, 200);
}
