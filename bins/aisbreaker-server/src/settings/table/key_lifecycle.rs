//! The rows about the life of a key: its end before it expires.

use super::super::setting::{PLAIN, Setting};

pub(super) const ADMIN_SECRET: Setting = Setting {
    key: Some("admin_secret"),
    variable: "AISBREAKER_ADMIN_SECRET",
    help: "The operator's secret (10 characters or more), to revoke API keys by their ids; if unset, \
           nobody can",
    ignores_empty: false,
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
    apply: |draft, value| {
        draft.settings.gateway.revoked_before = Some(value.time()?);
        Ok(())
    },
    ..PLAIN
};
