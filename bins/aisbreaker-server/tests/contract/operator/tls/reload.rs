//! The certificate is replaced while the server runs.

use openssl::{pkey::PKey, rsa::Rsa};

use super::TlsServer;
use crate::{
    shutdown::two_part_provider,
    support::{Request, call, output_text, service_at, streamed, tls::Certificate},
};

const READ: &str = "SIGHUP: the settings are reloaded";
const NOT_READ: &str = "SIGHUP: nothing is reloaded";

/// Sends the signal, and waits until this was logged for the `count`th time.
fn hang_up(tls: &TlsServer, message: &str, count: usize) -> serde_json::Value {
    tls.server.signal("HUP");
    let mut found = 0;
    tls.server.wait_for_log(message, |line| {
        let text = line["message"].as_str().unwrap_or_default();
        found += usize::from(text.contains(message));
        found == count
    })
}

#[test]
fn new_connections_get_the_new_certificate_and_old_ones_go_on() {
    let (provider, gate) = two_part_provider();
    let tls = TlsServer::start(&[]);
    let body = streamed(call(service_at("chat:openai.com", &provider.url()), "Hi"));
    let mut idle = tls.connect();
    assert_eq!(idle.send(&Request::get("/api/v1/ping")).status, 200);
    let mut stream = tls.connect();
    stream.write(&Request::process(&body).bearer("sk-own").to_bytes());
    assert_eq!(stream.head().status, 200);
    assert_eq!(output_text(&stream.event().unwrap().data), "one");
    let renewed = Certificate::with_key(PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(), 30);
    assert!(
        tls.connect_trusting(&renewed).is_none(),
        "before the reload"
    );

    tls.files.write(&renewed);
    hang_up(&tls, READ, 1);

    assert!(tls.connect_trusting(&tls.certificate).is_none());
    let mut new = tls.connect_trusting(&renewed).expect("a handshake");
    for connection in [&mut new, &mut idle] {
        assert_eq!(connection.send(&Request::get("/api/v1/ping")).status, 200);
    }
    gate.open();
    assert_eq!(output_text(&stream.event().unwrap().data), "two");
    assert_eq!(stream.event().unwrap().name, "final");
}

#[test]
fn files_that_cannot_be_used_change_nothing() {
    let tls = TlsServer::start(&[]);
    let (old, other) = (&tls.certificate, Certificate::new());
    let canary =
        b"-----BEGIN PRIVATE KEY-----\nWHY0a1J6OG1UcTJ3TmI3cEpjOXk=\n-----END PRIVATE KEY-----\n";
    let rows: [(&str, &[u8], &[u8]); 5] = [
        ("is not the private key", &other.to_pem(), &old.key_to_pem()),
        ("is not the private key", &old.to_pem(), &other.key_to_pem()),
        (
            "AISBREAKER_TLS_CERTIFICATE_FILE must be",
            b"",
            &other.key_to_pem(),
        ),
        ("AISBREAKER_TLS_KEY_FILE must be", &other.to_pem(), b""),
        ("AISBREAKER_TLS_KEY_FILE must be", &other.to_pem(), canary),
    ];
    for (count, (problem, certificate, key)) in (1..).zip(rows) {
        tls.files.write_bytes(certificate, key);
        let line = hang_up(&tls, NOT_READ, count);
        assert_eq!(line["level"], "ERROR");
        let text = line["cause"].as_str().unwrap();
        assert!(text.contains(problem), "{text}");
        assert!(tls.connect_trusting(&other).is_none(), "{problem}");
        assert_eq!(
            tls.connect().send(&Request::get("/api/v1/ping")).status,
            200
        );
    }
    std::fs::remove_file(tls.files.key()).unwrap();
    hang_up(&tls, NOT_READ, rows.len() + 1);
    assert_eq!(
        tls.connect().send(&Request::get("/api/v1/ping")).status,
        200
    );
    assert!(!tls.server.log().contains("WHY0a1J6OG1U"));

    tls.files.write(&other);
    hang_up(&tls, READ, 1);
    assert!(tls.connect_trusting(&other).is_some());
}
