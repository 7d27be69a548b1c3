//! The rows about TLS at the listener.

use crate::settings::setting::{PLAIN, Setting};

pub(super) const CERTIFICATE_FILE: Setting = Setting {
    key: Some("tls.certificate_file"),
    variable: "AISBREAKER_TLS_CERTIFICATE_FILE",
    help: "File with the certificate of the listener and its chain (PEM), read again on SIGHUP; \
           without it, the listener speaks plain HTTP",
    example: r#""/etc/aisbreaker/tls/certificate.pem""#,
    requires: Some("AISBREAKER_TLS_KEY_FILE"),
    ignores_empty: false,
    apply: |draft, value| {
        draft.tls.certificate = Some(value.named_path()?);
        Ok(())
    },
    ..PLAIN
};

pub(super) const KEY_FILE: Setting = Setting {
    key: Some("tls.key_file"),
    variable: "AISBREAKER_TLS_KEY_FILE",
    help: "File with the private key of that certificate (PEM, without a passphrase), read anew on \
           SIGHUP",
    example: r#""/etc/aisbreaker/tls/key.pem""#,
    requires: Some("AISBREAKER_TLS_CERTIFICATE_FILE"),
    ignores_empty: false,
    apply: |draft, value| {
        draft.tls.key = Some(value.named_path()?);
        Ok(())
    },
    ..PLAIN
};
