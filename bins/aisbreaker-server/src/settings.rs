//! The settings of the server, as parsed types.
//!
//! Where to look: [`table`] has every setting, one row each, and says how to add one; [`sources`]
//! reads flags, environment and file; [`given`] parses single values; [`draft`] combines those that
//! depend on each other. All faults are reported at once, by name, without the values, which may be
//! secrets.

mod draft;
mod faults;
mod given;
mod key_files;
mod random_key;
mod restart_values;
mod services;
mod setting;
mod sources;
mod store;
pub(crate) mod table;

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use aisbreaker_egress::{Bounds, Policy, Timeouts};
use aisbreaker_gateway::{Config, Limits};
use aisbreaker_services::services::Options;
use aisbreaker_token::KeyRing;

use self::{draft::Draft, sources::Sources, table::SETTINGS};
pub(crate) use self::{
    faults::Faults,
    key_files::{KeyFiles, NEARLY_RAW_KEY},
    random_key::RandomKey,
    restart_values::RestartValues,
    setting::Setting,
    sources::Flags,
    store::StoreSettings,
};
use crate::logging::LogOptions;

/// All settings of a server.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    /// Where `GET /metrics` is served.
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) log: LogOptions,
    pub(crate) gateway: Config,
    pub(crate) limits: Limits,
    pub(crate) egress: Policy,
    pub(crate) timeouts: Timeouts,
    pub(crate) bounds: Bounds,
    pub(crate) services: Options,
    /// The quota store that several servers share.
    pub(crate) store: Option<StoreSettings>,
    /// Where revoked keys outlive the process.
    pub(crate) revoked_file: Option<PathBuf>,
    /// Where quota counters outlive the process.
    pub(crate) state: Option<StateSettings>,
    /// The files that server keys come from.
    pub(crate) key_files: KeyFiles,
    /// What only a restart can change.
    pub(crate) restart_values: RestartValues,
    /// Whether API keys are sealed with a random key, and so end with this process.
    pub(crate) has_random_key: bool,
    /// Whether anyone may have this server call what `egress.allow` opens.
    pub(crate) is_network_open: bool,
    /// Settings with a phrase that looks like a mistyped 32-byte key, by name.
    pub(crate) nearly_raw_keys: Vec<String>,
    /// Variables that look like settings but are none.
    pub(crate) unknown_variables: Vec<String>,
}

/// The state file, and the time between two writes of it.
#[derive(Debug)]
pub(crate) struct StateSettings {
    pub(crate) path: PathBuf,
    pub(crate) interval: Duration,
}

impl Settings {
    /// Creates the defaults, with a random key ring.
    fn new(keys: KeyRing) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)),
            metrics_listen: None,
            log: LogOptions::default(),
            gateway: Config::new(keys),
            limits: Limits::default(),
            egress: Policy::strict(),
            timeouts: Timeouts::default(),
            bounds: Bounds::default(),
            services: Options::default(),
            store: None,
            revoked_file: None,
            state: None,
            key_files: KeyFiles::default(),
            restart_values: RestartValues::default(),
            has_random_key: true,
            is_network_open: false,
            nearly_raw_keys: Vec::new(),
            unknown_variables: Vec::new(),
        }
    }
}

/// Reads all settings.
///
/// # Errors
/// [`Faults`] with everything that is wrong.
pub(crate) fn load(
    flags: Flags,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Settings, Faults> {
    load_with(flags, environment, &RandomKey::generate()?)
}

/// Reads all settings, with the random key that seals unless one is set. May take a second, since
/// phrases are slow to derive.
///
/// # Errors
/// [`Faults`] with everything that is wrong.
pub(crate) fn load_with(
    flags: Flags,
    environment: impl Iterator<Item = (OsString, OsString)>,
    random_key: &RandomKey,
) -> Result<Settings, Faults> {
    let mut faults = Faults::default();
    let mut sources = Sources::new(flags, environment);
    if let Some(path) = sources.outside_file(&table::CONFIG) {
        let path = PathBuf::from(path);
        sources.read_file(&path, &mut faults);
    }
    let mut draft = Draft::new(random_key.server_key()?);
    apply_table(&mut sources, &mut draft, &mut faults);
    draft.settings.services = services::read(&mut sources, &mut faults);
    draft.settings.unknown_variables = sources.unknown_variables();
    sources.refuse_unknown_keys(&mut faults);
    draft.finish(faults)
}

/// Applies every setting that was given.
fn apply_table(sources: &mut Sources, draft: &mut Draft, faults: &mut Faults) {
    let mut applied = Vec::new();
    for setting in SETTINGS {
        // Applied already; and its path need not be UTF-8.
        if setting.variable == table::CONFIG.variable {
            continue;
        }
        let given = sources.take(setting, faults);
        draft.settings.restart_values.note(setting, &given);
        for given in given {
            if let Err(problem) = (setting.apply)(draft, &given) {
                faults.add(&given.name, problem);
            }
            applied.push(setting);
        }
    }
    for setting in &applied {
        let Some(required) = setting.requires else {
            continue;
        };
        if !applied.iter().any(|other| other.variable == required) {
            faults.add(
                setting.variable,
                format_args!("has no effect without {required}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_piece_of_a_secret() {
        const SEALING: &str = "Xv4kRz8mTq2wNb7pJc9yHd5gLf3s";
        const OPENING: &str = "Gy6nWt3xKp9vZm2bQr8cJh4dSl7f";
        const RAW: &str = "QmV4Tz9rWk2LpXc7Nf5JhYb8DgSs3vUa6EoRtKi1Gqw";
        const DEFAULT: &str = "aisbreaker_Pz7tBk4xMv9qWn2rLc6yGh8jDf5s";
        let opening = format!("{OPENING} {RAW}");
        let good = vec![
            ("AUTH_ENCRYPTION_KEYPHRASE", SEALING),
            ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", &opening),
            ("DEFAULT_AISBREAKER_API_KEY", DEFAULT),
            ("AISBREAKER_NO_SETTING", SEALING),
        ];
        // Each where it cannot be, as it happens when lines of a file are mixed up.
        let names = SETTINGS.iter().map(|setting| setting.variable);
        let bad = names.map(|variable| (variable, SEALING)).collect();
        for (row, given) in [("good", good), ("bad", bad)] {
            let environment = given
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()));

            let loaded = load(Flags::new(), environment);

            assert_eq!(loaded.is_ok(), row == "good", "{loaded:?}");
            let faults = loaded.as_ref().err().map(ToString::to_string);
            let shown = format!("{loaded:?} {loaded:#?} {faults:?}");
            for secret in [SEALING, OPENING, RAW, DEFAULT] {
                let secret = secret.strip_prefix("aisbreaker_").unwrap_or(secret);
                for piece in secret.as_bytes().windows(12) {
                    let piece = str::from_utf8(piece).unwrap();
                    assert!(!shown.contains(piece), "{row}: {piece} in {shown}");
                }
            }
        }
    }
}
