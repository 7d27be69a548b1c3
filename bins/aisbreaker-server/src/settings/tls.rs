//! The listener's certificate and its files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aisbreaker_gateway::{InvalidCertificate, TlsCertificate};
use secrecy::zeroize::Zeroizing;

use super::{faults::Faults, given::Named};
use crate::files::unreadable;

/// The settings about TLS while they are read. Each needs the other.
#[derive(Default)]
pub(super) struct TlsDraft {
    pub(super) certificate: Option<Named<PathBuf>>,
    pub(super) key: Option<Named<PathBuf>>,
}

/// What the listener speaks TLS with.
#[derive(Debug)]
pub(crate) struct TlsSettings {
    pub(crate) certificate: TlsCertificate,
    pub(crate) certificate_file: PathBuf,
    pub(super) key_file: PathBuf,
}

impl TlsDraft {
    /// Reads both files, if they are set.
    pub(super) fn finish(self, faults: &mut Faults) -> Option<TlsSettings> {
        // One without the other is reported by the table.
        let (Some(certificate), Some(key)) = (self.certificate, self.key) else {
            return None;
        };
        let (chain, secret) = match (read(&certificate.value), read(&key.value)) {
            (Ok(chain), Ok(secret)) => (chain, secret),
            (chain, secret) => {
                for (name, read) in [(&certificate.name, chain), (&key.name, secret)] {
                    if let Err(problem) = read {
                        faults.add(name, problem);
                    }
                }
                return None;
            }
        };
        let invalid = match TlsCertificate::from_pem(&chain, &secret) {
            Ok(loaded) => {
                return Some(TlsSettings {
                    certificate: loaded,
                    certificate_file: certificate.value,
                    key_file: key.value,
                });
            }
            Err(invalid) => invalid,
        };
        let name = match invalid {
            InvalidCertificate::Certificate | InvalidCertificate::Unusable => &certificate.name,
            InvalidCertificate::Key | InvalidCertificate::Mismatch => &key.name,
        };
        faults.add(name, invalid);
        None
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    match fs::read(path) {
        Ok(bytes) => Ok(Zeroizing::new(bytes)),
        Err(error) => Err(unreadable(path, &error)),
    }
}
