//! The files of the certificate and its key.

use std::{fs, os::unix::fs::PermissionsExt as _};

use openssl::{pkey::PKey, rsa::Rsa, symm::Cipher};

use crate::support::{
    Connection, Request, Server, refused_start,
    tls::{Certificate, CertificateFiles, client, connect},
};

const CERTIFICATE_FILE: &str = "AISBREAKER_TLS_CERTIFICATE_FILE";
const KEY_FILE: &str = "AISBREAKER_TLS_KEY_FILE";

#[test]
fn keys_of_every_common_format_are_read() {
    let curve = Certificate::new();
    let rsa = Certificate::with_key(PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(), 30);
    let rows = [
        ("PKCS #8", &curve, curve.key_to_pem()),
        (
            "SEC 1",
            &curve,
            curve.key.ec_key().unwrap().private_key_to_pem().unwrap(),
        ),
        (
            "PKCS #1",
            &rsa,
            rsa.key.rsa().unwrap().private_key_to_pem().unwrap(),
        ),
        // As some tools write them, one after the other in one file.
        ("both", &rsa, [rsa.to_pem(), rsa.key_to_pem()].concat()),
    ];
    for (format, certificate, key) in rows {
        let files = CertificateFiles::new(certificate);
        files.write_bytes(&certificate.to_pem(), &key);
        let (certificate_file, key_file) = (files.certificate(), files.key());
        let server = Server::start(&[(CERTIFICATE_FILE, &certificate_file), (KEY_FILE, &key_file)]);
        let stream = connect(client(certificate), server.address()).expect(format);
        let answer = Connection::over_tls(stream).send(&Request::get("/api/v1/ping"));
        assert_eq!(answer.status, 200, "{format}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named_at_start() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let files = CertificateFiles::new(&certificate);
    let (certificate_file, key_file) = (files.certificate(), files.key());
    let both = [
        (CERTIFICATE_FILE, &*certificate_file),
        (KEY_FILE, &*key_file),
    ];
    let secret = certificate
        .key
        .private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), b"phrase");
    let contents = [
        (
            certificate.to_pem(),
            b"not a key".to_vec(),
            "AISBREAKER_TLS_KEY_FILE must be a private key in PEM",
        ),
        (
            certificate.to_pem(),
            secret.unwrap(),
            "AISBREAKER_TLS_KEY_FILE must be a private key in PEM, without a passphrase",
        ),
        (
            certificate.to_pem(),
            other.key_to_pem(),
            "AISBREAKER_TLS_KEY_FILE is not the private key of the certificate",
        ),
        (
            b"not a certificate".to_vec(),
            other.key_to_pem(),
            "AISBREAKER_TLS_CERTIFICATE_FILE must be a certificate in PEM",
        ),
    ];
    for (certificate, key, expected) in contents {
        files.write_bytes(&certificate, &key);
        let fault = refused_start(&["--listen", "127.0.0.1:0"], &both);
        assert!(fault.contains(expected), "{fault}");
    }

    files.write(&certificate);
    let settings = [
        (
            vec![both[0]],
            "AISBREAKER_TLS_CERTIFICATE_FILE has no effect without AISBREAKER_TLS_KEY_FILE",
        ),
        (
            vec![both[1]],
            "AISBREAKER_TLS_KEY_FILE has no effect without AISBREAKER_TLS_CERTIFICATE_FILE",
        ),
        (
            vec![(CERTIFICATE_FILE, ""), both[1]],
            "AISBREAKER_TLS_CERTIFICATE_FILE cannot be read",
        ),
        (
            vec![both[0], (KEY_FILE, "/no/such/file")],
            "AISBREAKER_TLS_KEY_FILE cannot be read: No such file",
        ),
    ];
    for (environment, expected) in settings {
        let fault = refused_start(&["--listen", "127.0.0.1:0"], &environment);
        assert!(fault.contains(expected), "{fault}");
    }
}

#[test]
fn warns_of_a_readable_key_and_of_a_certificate_that_clients_refuse() {
    let key = Certificate::new().key;
    let expired = Certificate::with_key(key, 0);
    let files = CertificateFiles::new(&expired);
    fs::set_permissions(files.key(), fs::Permissions::from_mode(0o644)).unwrap();
    let (certificate_file, key_file) = (files.certificate(), files.key());

    let server = Server::start(&[(CERTIFICATE_FILE, &certificate_file), (KEY_FILE, &key_file)]);

    let warning = |line: &serde_json::Value, text: &str| {
        line["level"] == "WARN" && line["message"].as_str().unwrap_or_default().contains(text)
    };
    let mut both = (false, false);
    server.wait_for_log("both warnings", |line| {
        both.0 |= warning(
            line,
            "everybody on this machine can read this file of a secret",
        );
        both.1 |= warning(line, "the TLS certificate has expired or is not valid yet");
        both == (true, true)
    });
}
