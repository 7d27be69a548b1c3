//! The settings of the server, as parsed types.
//!
//! Where to look: [`table`] has every setting, one row each, and says how to add one; [`sources`]
//! reads flags, environment and file; [`given`] parses single values; [`draft`] combines those that
//! depend on each other. All faults are reported at once, by name, without values that may be
//! secrets.

mod config_file;
mod console;
mod draft;
mod effective;
mod example;
mod faults;
mod given;
mod key_files;
mod kubernetes;
mod nearest;
mod prices;
mod random_key;
mod restart_values;
mod secret_files;
mod services;
mod setting;
mod sources;
mod store;
pub(crate) mod table;
mod tls;

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use aisbreaker_egress::{Bounds, Policy, Timeouts};
use aisbreaker_gateway::{Config, Limits};
use aisbreaker_services::services::Options;
use aisbreaker_token::{Host, KeyRing};

pub(crate) use self::{
    console::{ConsoleMode, Listeners},
    effective::EffectiveValue,
    example::example_file,
    faults::Faults,
    given::Names,
    key_files::{KeyFiles, NEARLY_RAW_KEY},
    nearest::suggest_variable,
    random_key::RandomKey,
    restart_values::RestartValues,
    setting::Setting,
    sources::Flags,
    store::StoreSettings,
    tls::TlsSettings,
};
use self::{
    draft::Draft,
    effective::{Winner, effective_values},
    sources::Sources,
    table::SETTINGS,
};
use crate::{files, logging::LogOptions};

/// All settings of a server.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    /// `None`: the listener speaks plain HTTP.
    pub(crate) tls: Option<TlsSettings>,
    /// Where `GET /metrics` is served.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// What the names in the two were resolved to.
    pub(crate) resolved_names: Vec<ResolvedName>,
    /// The host names under which metrics may be read.
    pub(crate) metrics_hosts: Vec<Host>,
    /// Where the pages of the console are served.
    pub(crate) console: ConsoleMode,
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
    /// The memory of all bodies together.
    pub(crate) max_buffered_bytes: usize,
    /// Settings with a phrase that looks like a mistyped 32-byte key, by name.
    pub(crate) nearly_raw_keys: Vec<String>,
    /// Variables that look like settings but are none.
    pub(crate) unknown_variables: Vec<String>,
    /// Files of secrets, except those of server keys, that everybody on the machine can read.
    pub(crate) exposed_secret_files: Vec<PathBuf>,
    /// The value in effect of every setting.
    pub(crate) effective: Vec<EffectiveValue>,
}

/// Where a server with these settings listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) has_tls: bool,
}

/// A host name to listen on, and its address.
#[derive(Debug)]
pub(crate) struct ResolvedName {
    pub(crate) setting: &'static str,
    pub(crate) name: String,
    pub(crate) address: IpAddr,
}

/// The state file, and the time between two writes of it.
#[derive(Debug)]
pub(crate) struct StateSettings {
    pub(crate) path: PathBuf,
    pub(crate) interval: Duration,
    /// Whether a crash forgets nothing of what budgets in all have spent.
    pub(crate) has_ceilings: bool,
}

impl Settings {
    /// Creates the defaults, with a random key ring.
    fn new(keys: KeyRing) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)),
            tls: None,
            metrics_listen: None,
            resolved_names: Vec::new(),
            metrics_hosts: Vec::new(),
            console: ConsoleMode::default(),
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
            max_buffered_bytes: 0,
            nearly_raw_keys: Vec::new(),
            unknown_variables: Vec::new(),
            exposed_secret_files: Vec::new(),
            effective: Vec::new(),
        }
    }

    /// Returns the files of secrets that everybody on the machine can read.
    pub(crate) fn exposed_files(&self) -> impl Iterator<Item = &Path> {
        let of_keys = self.key_files.exposed_files().into_iter();
        of_keys.chain(self.exposed_secret_files.iter().map(PathBuf::as_path))
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
    load_with(flags, environment, &RandomKey::generate()?, Names::Resolve)
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
    names: Names,
) -> Result<Settings, Faults> {
    let mut faults = Faults::default();
    let mut sources = Sources::new(flags, environment);
    let mut winners = Vec::new();
    winners.extend(read_config_file(&mut sources, &mut faults));
    let mut draft = Draft::new(random_key.server_key()?, names);
    winners.extend(apply_table(&mut sources, &mut draft, &mut faults, |_| true));
    let (services, service_values) = services::read(&mut sources, &mut faults);
    let (prices, price_values) = prices::read(&mut sources, &services.providers, &mut faults);
    draft.settings.services = services;
    draft.settings.gateway.prices = prices;
    check_variables(&sources, &mut draft, &mut faults);
    sources.refuse_unknown_keys(&mut faults);
    sources.secret_files.retain(|file| files::is_exposed(file));
    draft.settings.exposed_secret_files = sources.secret_files;
    let mut settings = draft.finish(faults)?;
    settings.effective = effective_values(&settings, &winners);
    settings.effective.extend(service_values);
    settings.effective.extend(price_values);
    Ok(settings)
}

/// Reads only where the server listens. Does without what takes time, such as deriving
/// keys from phrases.
///
/// # Errors
/// [`Faults`] of the settings that it depends on.
pub(crate) fn load_listener(
    flags: Flags,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Listener, Faults> {
    let mut faults = Faults::default();
    let mut sources = Sources::new(flags, environment);
    read_config_file(&mut sources, &mut faults);
    let mut draft = Draft::new(RandomKey::generate()?.server_key()?, Names::Resolve);
    let is_needed = |setting: &Setting| match setting.key {
        Some(key) => key == "listen" || key.starts_with("tls."),
        None => setting.variable == "PORT",
    };
    apply_table(&mut sources, &mut draft, &mut faults, is_needed);
    if faults.is_empty() {
        Ok(Listener {
            address: draft.settings.listen,
            has_tls: draft.tls.certificate.is_some(),
        })
    } else {
        Err(faults)
    }
}

/// Reads the configuration file, if one is named.
fn read_config_file(sources: &mut Sources, faults: &mut Faults) -> Option<Winner> {
    let (source, path) = sources.outside_file(&table::CONFIG)?;
    let path = PathBuf::from(path);
    sources.read_file(&path, faults);
    let shown = path.display().to_string();
    Some(Winner::of_text(&table::CONFIG, source, shown))
}

/// Applies the settings of these rows that were given, and returns their values.
fn apply_table(
    sources: &mut Sources,
    draft: &mut Draft,
    faults: &mut Faults,
    is_needed: impl Fn(&Setting) -> bool,
) -> Vec<Winner> {
    let mut applied: Vec<Winner> = Vec::new();
    for setting in SETTINGS {
        // Applied already; and its path need not be UTF-8.
        if setting.variable == table::CONFIG.variable || !is_needed(setting) {
            continue;
        }
        let given = sources.take(setting, faults);
        draft.settings.restart_values.note(setting, &given);
        for given in given {
            if let Err(problem) = (setting.apply)(draft, &given) {
                faults.add(&given.name, problem);
            }
            applied.push(Winner::new(setting, &given));
        }
    }
    for winner in &applied {
        let Some(required) = winner.setting.requires else {
            continue;
        };
        if !applied
            .iter()
            .any(|other| other.setting.variable == required)
        {
            let is_it = |other: &&Setting| other.variable == required;
            let key = SETTINGS.iter().find(is_it).and_then(|other| other.key);
            faults.add(
                &winner.name,
                format_args!(
                    "has no effect without {required}, or {} in the configuration file",
                    key.unwrap_or(required)
                ),
            );
        }
    }
    applied
}

/// Collects the variables that look like settings but are none. They are faults if the settings say
/// so.
fn check_variables(sources: &Sources, draft: &mut Draft, faults: &mut Faults) {
    for variable in sources.unknown_variables() {
        if draft.is_strict {
            let suggestion = suggest_variable(&variable);
            faults.add(&variable, format_args!("is not a setting{suggestion}"));
        } else {
            draft.settings.unknown_variables.push(variable);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_to_listen_on_are_resolved_only_when_asked() {
        let load = |names| {
            let environment = [
                ("AISBREAKER_LISTEN", "no-such-host.invalid:3000"),
                ("AISBREAKER_METRICS_LISTEN", "no-such-host.invalid:3001"),
            ];
            let environment = environment.map(|(name, value)| (name.into(), value.into()));
            let random_key = RandomKey::generate().unwrap();
            load_with(Flags::new(), environment.into_iter(), &random_key, names)
        };
        let faults = load(Names::Resolve).unwrap_err().to_string();
        assert!(faults.contains("cannot be resolved"), "{faults}");
        let started = load(Names::Ignore).unwrap();
        let reloaded = load(Names::Ignore).unwrap();
        let changed = started.restart_values.changed(&reloaded.restart_values);
        assert_eq!(changed, [""; 0]);
    }

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
