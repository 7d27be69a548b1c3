//! What can be checked without the network: settings and files.

use std::{fs, io, path::Path};

use aisbreaker_gateway::{Clock as _, SavedCounters, SystemClock};
use rustix::fs::{Access, access};

use super::finding::Finding;
use crate::{
    files::{directory, resolve},
    revoked_file::RevokedFile,
    settings::{Settings, suggest_variable},
};

const SETTINGS: &str = "settings";
const FILES: &str = "files";

/// Checks what the settings mean together. Each of them can be used.
pub(super) fn check_settings(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![Finding::ok(SETTINGS, "all settings can be used")];
    for variable in &settings.unknown_variables {
        findings.push(Finding::warn(
            SETTINGS,
            format!("{variable} is not a setting{}", suggest_variable(variable)),
            "correct its name or unset it; --help lists all settings",
        ));
    }
    if settings.has_random_key {
        findings.push(Finding::warn(
            SETTINGS,
            "AUTH_ENCRYPTION_KEYPHRASE is not set: API keys end with the process",
            "make a lasting server key with 'aisbreaker-server keygen' and keep it",
        ));
    }
    if settings.gateway.keys.short_phrases() > 0 || !settings.nearly_raw_keys.is_empty() {
        findings.push(Finding::warn(
            SETTINGS,
            "a server key is a phrase that can be guessed, or a mistyped key",
            "use keys that 'aisbreaker-server keygen' makes",
        ));
    }
    if settings.gateway.public_hosts.is_empty() {
        findings.push(Finding::warn(
            SETTINGS,
            "AISBREAKER_PUBLIC_HOSTS is not set: the Host field of each request decides to which \
             host an API key is bound",
            "set it to the names of this server",
        ));
    }
    if settings.is_network_open {
        findings.push(Finding::warn(
            SETTINGS,
            "AISBREAKER_EGRESS_ALLOW_CALLERS is set and anyone may mint: any client reaches what \
             AISBREAKER_EGRESS_ALLOW opens",
            "unset it, or set AISBREAKER_MINT_SECRET",
        ));
    }
    findings
}

/// Checks the files that the settings name, and changes none of them.
pub(super) fn check_files(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in settings.exposed_files() {
        findings.push(Finding::warn(
            FILES,
            format!("everybody on this machine can read {}", file.display()),
            "it holds a secret: chmod 600",
        ));
    }
    if let Some(path) = &settings.revoked_file {
        let read = RevokedFile::read_only(path, SystemClock::new().wall());
        findings.push(finding_of("AISBREAKER_REVOKED_FILE", path, || {
            Ok(format!("{} revoked keys", read?.len()))
        }));
    }
    if let Some(state) = &settings.state {
        let max_counters = settings.gateway.max_counters;
        findings.push(finding_of("AISBREAKER_STATE_FILE", &state.path, || {
            let saved = read_counters(&state.path, max_counters)?;
            Ok(format!("{saved} quota counters"))
        }));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(FILES, "no file is at fault"));
    }
    findings
}

fn finding_of(
    variable: &str,
    path: &Path,
    read: impl FnOnce() -> Result<String, String>,
) -> Finding {
    match read().and_then(|content| check_writable(path).map(|()| content)) {
        Ok(content) => Finding::ok(FILES, format!("{variable} has {content}")),
        Err(problem) => Finding::fail(
            FILES,
            format!("{variable} {problem}"),
            "the server must be able to replace the file in its directory: correct the path or the \
             permissions",
        ),
    }
}

fn read_counters(path: &Path, max_counters: usize) -> Result<usize, String> {
    let shown = path.display();
    let bytes = match fs::read(resolve(path)?) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(format!("cannot be read: {shown}: {error}")),
    };
    SavedCounters::read(&bytes, max_counters, &SystemClock::new())
        .map(|saved| saved.count())
        .map_err(|reason| format!("would be set aside: {shown}: {reason}"))
}

/// Asks the system whether files can be created beside this one. Nothing is created: a server may be
/// writing there.
fn check_writable(path: &Path) -> Result<(), String> {
    let path = resolve(path)?;
    let directory = directory(&path);
    access(directory, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| format!("cannot be replaced in {}: {error}", directory.display()))
}
