//! The rows about the life of keys: their end before they expire, and the replacement of server keys.

use crate::settings::{
    key_files::KeyFile,
    setting::{OnReload, PLAIN, Setting},
};

pub(super) const ADMIN_SECRET: Setting = Setting {
    key: Some("admin_secret"),
    variable: "AISBREAKER_ADMIN_SECRET",
    help: "The operator's secret (10 characters or more), to revoke API keys by their ids and to \
           introspect any; if unset, nobody can",
    ignores_empty: false,
    on_reload: OnReload::Apply,
    example: r#""""#,
    is_secret: true,
    apply: |draft, value| {
        draft.settings.gateway.operator_secret = Some(value.mint_secret()?);
        Ok(())
    },
    ..PLAIN
};

pub(super) const REVOKED_FILE: Setting = Setting {
    key: Some("revoked_file"),
    variable: "AISBREAKER_REVOKED_FILE",
    help: "File in which revoked API keys outlive a restart; servers may share it; none if unset",
    example: r#""/var/lib/aisbreaker/revoked""#,
    apply: |draft, value| {
        draft.settings.revoked_file = Some(value.path()?);
        Ok(())
    },
    ..PLAIN
};

pub(super) const REVOKED_BEFORE: Setting = Setting {
    key: Some("revoked_before"),
    variable: "AISBREAKER_REVOKED_BEFORE",
    help: "Time before which all issued API keys are refused, such as 2026-11-29T12:00:00Z",
    ignores_empty: false,
    on_reload: OnReload::Apply,
    example: "2026-11-29T12:00:00Z",
    apply: |draft, value| {
        draft.settings.gateway.revoked_before = Some(value.time()?);
        Ok(())
    },
    ..PLAIN
};

pub(super) const SEALING_FILE: Setting = Setting {
    key: Some("keys.sealing_file"),
    variable: "AUTH_ENCRYPTION_KEYPHRASE_FILE",
    help: "File with the phrase or key that seals API keys, in place of it",
    ignores_empty: false,
    on_reload: OnReload::Apply,
    example: r#""/etc/aisbreaker/server-key""#,
    apply: |draft, value| {
        let file = KeyFile::Single(value.path()?);
        draft.set_sealing_file(&value.name, file)
    },
    ..PLAIN
};

pub(super) const OPENING_FILES: Setting = Setting {
    key: Some("keys.opening_files"),
    variable: "AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES_FILE",
    help: "Files with former phrases or keys that still open API keys, in place of them, separated by \
           commas",
    on_reload: OnReload::Apply,
    example: r#"["/etc/aisbreaker/former-key"]"#,
    apply: |draft, value| {
        let files = value.opening_files()?;
        draft.add_opening_files(&value.name, files)
    },
    ..PLAIN
};
