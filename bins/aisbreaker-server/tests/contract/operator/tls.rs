//! TLS at the listener.

mod connections;
mod files;
mod reload;

use crate::support::{
    Connection, Server, run,
    tls::{Certificate, CertificateFiles, client, connect},
};

/// A server that speaks TLS, and its certificate.
pub(super) struct TlsServer {
    pub(super) server: Server,
    certificate: Certificate,
    files: CertificateFiles,
}

impl TlsServer {
    pub(super) fn start(environment: &[(&str, &str)]) -> Self {
        let certificate = Certificate::new();
        let files = CertificateFiles::new(&certificate);
        let (certificate_file, key_file) = (files.certificate(), files.key());
        let tls = [
            ("AISBREAKER_TLS_CERTIFICATE_FILE", &*certificate_file),
            ("AISBREAKER_TLS_KEY_FILE", &*key_file),
        ];
        Self {
            server: Server::with_loopback_egress(&[&tls, environment].concat()),
            certificate,
            files,
        }
    }

    /// Connects by HTTP/1.1, as a client that knows nothing of ALPN.
    pub(super) fn connect(&self) -> Connection {
        self.connect_trusting(&self.certificate)
            .expect("a handshake")
    }

    /// Connects as a client that trusts this certificate. `None`: the handshake failed.
    fn connect_trusting(&self, trusted: &Certificate) -> Option<Connection> {
        let stream = connect(client(trusted), self.server.address())?;
        Some(Connection::over_tls(stream))
    }
}

#[test]
fn health_is_asked_over_tls_whatever_the_name_in_the_certificate() {
    let tls = TlsServer::start(&[]);
    let address = tls.server.address().to_string();
    let listen = ("AISBREAKER_LISTEN", &*address);
    let (certificate, key) = (tls.files.certificate(), tls.files.key());
    let files = [
        ("AISBREAKER_TLS_CERTIFICATE_FILE", &*certificate),
        ("AISBREAKER_TLS_KEY_FILE", &*key),
    ];
    let checked = run(&["healthcheck"], &[&[listen], &files[..]].concat());
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert_eq!(checked.status.code(), Some(0), "{errors}");
    // A server that speaks the other protocol is not healthy.
    let without_tls = Server::start(&[]);
    let address = without_tls.address().to_string();
    let rows: [&[(&str, &str)]; 2] = [
        &[listen],
        &[("AISBREAKER_LISTEN", &address), files[0], files[1]],
    ];
    for environment in rows {
        let checked = run(&["healthcheck"], environment);
        assert_eq!(checked.status.code(), Some(1), "{environment:?}");
    }
}
