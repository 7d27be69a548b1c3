//! Certificates, and clients that speak TLS.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslStream},
    x509::{X509, X509NameBuilder, extension::SubjectAlternativeName},
};

use super::PATIENCE;

/// A certificate for `localhost` that is its own authority, and its key.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) x509: X509,
    pub(crate) key: PKey<Private>,
}

impl Certificate {
    /// Creates one with a new key on an elliptic curve.
    pub(crate) fn new() -> Self {
        let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap();
        Self::with_key(key, 30)
    }

    /// Creates one with this key that is valid for so many days from now on.
    pub(crate) fn with_key(key: PKey<Private>, days: u32) -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(1);
        let serial = BigNum::from_u32(SERIAL.fetch_add(1, Ordering::Relaxed)).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "localhost").unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder
            .set_serial_number(&serial.to_asn1_integer().unwrap())
            .unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder
            .set_not_before(&Asn1Time::days_from_now(0).unwrap())
            .unwrap();
        builder
            .set_not_after(&Asn1Time::days_from_now(days).unwrap())
            .unwrap();
        let names = SubjectAlternativeName::new()
            .dns("localhost")
            .build(&builder.x509v3_context(None, None))
            .unwrap();
        builder.append_extension(names).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self {
            x509: builder.build(),
            key,
        }
    }

    pub(crate) fn to_pem(&self) -> Vec<u8> {
        self.x509.to_pem().unwrap()
    }

    /// Returns the key as PKCS #8.
    pub(crate) fn key_to_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }
}

/// The files of a certificate and its key, in a directory that is removed on drop.
pub(crate) struct CertificateFiles(PathBuf);

impl CertificateFiles {
    pub(crate) fn new(certificate: &Certificate) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tls-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir(&path).unwrap();
        let files = Self(path);
        files.write(certificate);
        files
    }

    /// Replaces both files.
    pub(crate) fn write(&self, certificate: &Certificate) {
        self.write_bytes(&certificate.to_pem(), &certificate.key_to_pem());
    }

    pub(crate) fn write_bytes(&self, certificate: &[u8], key: &[u8]) {
        fs::write(self.certificate(), certificate).unwrap();
        fs::write(self.key(), key).unwrap();
        fs::set_permissions(self.key(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn certificate(&self) -> String {
        self.0.join("certificate.pem").to_str().unwrap().to_owned()
    }

    pub(crate) fn key(&self) -> String {
        self.0.join("key.pem").to_str().unwrap().to_owned()
    }
}

impl Drop for CertificateFiles {
    fn drop(&mut self) {
        let _removed = fs::remove_dir_all(&self.0);
    }
}

/// Returns a client that trusts this certificate alone.
pub(crate) fn client(trusted: &Certificate) -> SslConnectorBuilder {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    let store = builder.cert_store_mut();
    store.add_cert(trusted.x509.clone()).unwrap();
    builder
}

/// Connects to `localhost` at this address. `None`: the handshake failed.
pub(crate) fn connect(
    client: SslConnectorBuilder,
    address: SocketAddr,
) -> Option<SslStream<TcpStream>> {
    let stream = TcpStream::connect(address).expect("a connection to the server");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a read timeout");
    stream.set_nodelay(true).expect("no delay");
    client.build().connect("localhost", stream).ok()
}
