//! TLS at the listener.

mod connections;
mod files;
mod reload;

use crate::support::{
    Connection, Server,
    tls::{Certificate, CertificateFiles, client, connect},
};

/// A server that speaks TLS, and its certificate.
struct TlsServer {
    server: Server,
    certificate: Certificate,
    files: CertificateFiles,
}

impl TlsServer {
    fn start(environment: &[(&str, &str)]) -> Self {
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
    fn connect(&self) -> Connection {
        self.connect_trusting(&self.certificate)
            .expect("a handshake")
    }

    /// Connects as a client that trusts this certificate. `None`: the handshake failed.
    fn connect_trusting(&self, trusted: &Certificate) -> Option<Connection> {
        let stream = connect(client(trusted), self.server.address())?;
        Some(Connection::over_tls(stream))
    }
}
