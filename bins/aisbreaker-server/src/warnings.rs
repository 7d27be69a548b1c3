//! What is logged about settings that can be used, but should not be as they are. Said at the start,
//! and again after each reload.

use std::{path::Path, time::SystemTime};

use aisbreaker_token::KeyRing;

use crate::settings::{NEARLY_RAW_KEY, Settings};

/// Warns of everything in the settings that is less safe than it seems.
pub(crate) fn warn_about_settings(settings: &Settings, now: SystemTime) {
    for setting in &settings.nearly_raw_keys {
        tracing::warn!(setting, "{NEARLY_RAW_KEY}");
    }
    if settings.is_network_open {
        tracing::warn!(
            "AISBREAKER_EGRESS_ALLOW_CALLERS is set and anyone may mint: ANY CLIENT \
             can send requests to everything that AISBREAKER_EGRESS_ALLOW opens; unset it, or set \
             AISBREAKER_MINT_SECRET"
        );
    }
    if let Some(before) = settings.gateway.revoked_before {
        let before = humantime::format_rfc3339(before);
        tracing::warn!(%before, "all API keys that were issued before AISBREAKER_REVOKED_BEFORE are refused");
    }
    warn_about_phrases(&settings.gateway.keys);
    warn_about_key_files(settings, now);
}

/// Warns of phrases so short that they can be guessed.
fn warn_about_phrases(ring: &KeyRing) {
    let phrases = ring.short_phrases();
    if phrases > 0 {
        tracing::warn!(
            phrases,
            "phrases under 10 characters open keys of the original server: anybody who guesses one can \
             forge such keys; white space separates phrases, so one that contains some needs a file of \
             its own (keys.opening_files)"
        );
    }
}

/// Warns of files that others can read, and of keys that nobody can need any more.
///
/// How long a key has only opened is known by its file alone: what was sealed after that was written,
/// another server has sealed.
fn warn_about_key_files(settings: &Settings, now: SystemTime) {
    let files = &settings.key_files;
    for file in files.exposed_files() {
        tracing::warn!(file = %file.display(), "everybody on this machine can read this file of a server key");
    }
    for file in files.stale_files(now, settings.gateway.max_expiration) {
        warn_about_stale_file(file);
    }
}

fn warn_about_stale_file(file: &Path) {
    tracing::warn!(
        file = %file.display(),
        "no API key that was sealed before this file was written can be alive: unless a server still \
         seals with a key in it, drop it"
    );
}
