//! TLS at the listener: the certificate, and the handshake.
//!
//! TLS 1.2 and 1.3 with forward secrecy, by Mozilla's intermediate recommendation. The protocol above
//! is agreed on by ALPN (RFC 7301): `h2` or `http/1.1`.

use std::{fmt, pin::Pin, sync::Arc};

use arc_swap::ArcSwap;
use openssl::{
    asn1::{Asn1Time, Asn1TimeRef},
    error::ErrorStack,
    pkey::{PKey, Private},
    ssl::{
        AlpnError, Ssl, SslAcceptor, SslMethod, SslOptions, SslSessionCacheMode, select_next_proto,
    },
    x509::X509,
};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// The protocols above TLS, the preferred one first, each after its length.
const ALPN_PROTOCOLS: &[u8] = b"\x02h2\x08http/1.1";

/// The certificate of a listener and its private key. Clones share it, so that it can be replaced
/// while the listener serves.
#[derive(Clone)]
pub struct TlsCertificate(Arc<ArcSwap<Loaded>>);

struct Loaded {
    acceptor: SslAcceptor,
    expires: String,
    is_valid_now: bool,
}

/// Why a certificate and a key cannot be used. The texts continue the name of the file at fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "callers name the file of every variant, so a new one must not compile"
)]
pub enum InvalidCertificate {
    /// There is no certificate, or one that cannot be read.
    #[error(
        "must be a certificate in PEM, followed by those of the authorities between it and the root"
    )]
    Certificate,
    /// There is no private key, or it has a passphrase or another format.
    #[error("must be a private key in PEM, without a passphrase")]
    Key,
    /// The key is of another certificate.
    #[error("is not the private key of the certificate")]
    Mismatch,
    /// The TLS library refuses them, for example for a key that is too short.
    #[error("cannot be used by the TLS library: its algorithm or its length is not secure")]
    Unusable,
}

impl TlsCertificate {
    /// Reads a certificate with its chain, and its private key: PKCS #8, or the older formats of RSA
    /// and elliptic curves. Both are in PEM.
    ///
    /// # Errors
    /// [`InvalidCertificate`], which repeats nothing of either.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, InvalidCertificate> {
        let loaded = Loaded::from_pem(chain, key)?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(loaded))))
    }

    /// Has new connections get the certificate of `other`. Open ones go on.
    pub fn replace(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    /// Returns the time after which clients refuse the certificate, as text.
    #[must_use]
    pub fn expires(&self) -> String {
        self.0.load().expires.clone()
    }

    /// Returns whether clients accepted the certificate at the time when it was read.
    #[must_use]
    pub fn is_valid_now(&self) -> bool {
        self.0.load().is_valid_now
    }

    /// Shakes hands with a client. Waits as long as it does.
    pub(super) async fn accept(&self, stream: TcpStream) -> Result<SslStream<TcpStream>, TlsError> {
        let ssl = Ssl::new(self.0.load().acceptor.context())?;
        let mut stream = SslStream::new(ssl, stream)?;
        Pin::new(&mut stream).accept().await?;
        Ok(stream)
    }
}

impl fmt::Debug for TlsCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsCertificate")
            .field("expires", &self.0.load().expires)
            .finish_non_exhaustive()
    }
}

impl Loaded {
    fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, InvalidCertificate> {
        let chain =
            X509::stack_from_pem(chain).map_err(|_unreadable| InvalidCertificate::Certificate)?;
        let Some((leaf, authorities)) = chain.split_first() else {
            return Err(InvalidCertificate::Certificate);
        };
        // With a passphrase given, the library does not ask for one on the terminal.
        let key = PKey::private_key_from_pem_passphrase(key, b"")
            .map_err(|_unreadable| InvalidCertificate::Key)?;
        match leaf.public_key() {
            Ok(public) if public.public_eq(&key) => {}
            Ok(_) => return Err(InvalidCertificate::Mismatch),
            Err(_unsupported) => return Err(InvalidCertificate::Unusable),
        }
        let acceptor =
            acceptor(leaf, authorities, &key).map_err(|_refused| InvalidCertificate::Unusable)?;
        Ok(Self {
            acceptor,
            expires: leaf.not_after().to_string(),
            is_valid_now: is_valid_now(leaf.not_before(), leaf.not_after()),
        })
    }
}

fn acceptor(
    leaf: &X509,
    authorities: &[X509],
    key: &PKey<Private>,
) -> Result<SslAcceptor, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_certificate(leaf)?;
    for authority in authorities {
        builder.add_extra_chain_cert(authority.clone())?;
    }
    builder.set_private_key(key)?;
    builder.check_private_key()?;
    builder.set_options(SslOptions::NO_RENEGOTIATION);
    // Clients keep their sessions themselves, in tickets.
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_alpn_select_callback(|_ssl, offered| {
        select_next_proto(ALPN_PROTOCOLS, offered).ok_or(AlpnError::ALERT_FATAL)
    });
    Ok(builder.build())
}

fn is_valid_now(from: &Asn1TimeRef, to: &Asn1TimeRef) -> bool {
    match Asn1Time::days_from_now(0) {
        Ok(now) => *from <= now && *to > now,
        Err(_no_clock) => true,
    }
}

/// Why a handshake failed. It is the client's doing, or that of the network.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error(transparent)]
    Handshake(#[from] openssl::ssl::Error),
    #[error(transparent)]
    Setup(#[from] ErrorStack),
}
