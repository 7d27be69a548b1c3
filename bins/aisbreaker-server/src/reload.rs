//! Reloads the settings on SIGHUP: the configuration file, and the files that it and the environment
//! name.
//!
//! All or nothing: a fault, or another value of a setting that needs a restart, changes nothing.

use std::{fmt, io, sync::Arc};

use aisbreaker_egress as egress;
use aisbreaker_gateway::{Clock as _, Gateway, SystemClock, TlsCertificate};
use tokio::signal::unix::Signal;

use crate::{
    logging::LogFilter,
    notify::ServiceManager,
    revoked_file::RevokedFile,
    settings::{self, Faults, Flags, Listeners, Names, RandomKey, RestartValues, Settings},
    warnings::{self, Warning},
};

/// Reloads the settings whenever the process gets SIGHUP.
pub(crate) struct Reload {
    hangup: Signal,
    sources: Arc<SettingSources>,
    /// What only a restart can change, as the server began with it.
    restart_values: RestartValues,
    /// Whether the sealing key is still the random one.
    has_random_key: bool,
    /// Where the server listens: names to listen on are not resolved again.
    listeners: Listeners,
    client: egress::Client,
    /// `None`: the listener speaks plain HTTP.
    certificate: Option<TlsCertificate>,
    log_filter: LogFilter,
}

/// What stays the same from the start on, of all that settings are read from.
pub(crate) struct SettingSources {
    pub(crate) flags: Flags,
    pub(crate) random_key: RandomKey,
}

/// Why nothing was reloaded, in one line.
enum NotReloaded {
    Faults(Faults),
    NeedRestart(Vec<&'static str>),
    RevokedFile(io::Error),
    Panicked,
}

impl SettingSources {
    /// Reads all settings. May take a second.
    pub(crate) fn load(&self, names: Names) -> Result<Settings, Faults> {
        let flags = self.flags.clone();
        settings::load_with(flags, std::env::vars_os(), &self.random_key, names)
    }
}

impl Reload {
    /// Creates it with the signal, which is caught already, and with what the server began with.
    pub(crate) fn new(
        hangup: Signal,
        sources: SettingSources,
        (restart_values, has_random_key, listeners): (RestartValues, bool, Listeners),
        (client, certificate): (egress::Client, Option<TlsCertificate>),
        log_filter: LogFilter,
    ) -> Self {
        Self {
            hangup,
            sources: Arc::new(sources),
            restart_values,
            has_random_key,
            listeners,
            client,
            certificate,
            log_filter,
        }
    }

    /// Reloads everything or nothing at each signal, for as long as it is polled.
    pub(crate) async fn run(
        &mut self,
        gateway: &Gateway,
        revoked: Option<&RevokedFile>,
        manager: &mut ServiceManager,
    ) {
        while self.hangup.recv().await.is_some() {
            manager.reloading();
            match self.prepare(gateway, revoked).await {
                Ok(settings) => self.apply(settings, gateway),
                Err(cause) => {
                    gateway.count_refused_configuration();
                    tracing::error!(%cause, "SIGHUP: nothing is reloaded: the server goes on as before");
                }
            }
            manager.ready();
        }
        // No further signal can come.
        std::future::pending().await
    }

    /// Reads and checks all that is reloaded.
    async fn prepare(
        &self,
        gateway: &Gateway,
        revoked: Option<&RevokedFile>,
    ) -> Result<Settings, NotReloaded> {
        let sources = Arc::clone(&self.sources);
        // Reads files, and phrases take a fifth of a second each.
        let loaded = tokio::task::spawn_blocking(move || sources.load(Names::Ignore)).await;
        let settings = match loaded {
            Ok(Ok(settings)) => settings,
            Ok(Err(faults)) => return Err(NotReloaded::Faults(faults)),
            Err(_panicked) => return Err(NotReloaded::Panicked),
        };
        let mut changed = self.restart_values.changed(&settings.restart_values);
        if settings.has_random_key && !self.has_random_key {
            // All API keys would end with the process, or already had.
            changed.push("keys.sealing");
        }
        if !changed.is_empty() {
            return Err(NotReloaded::NeedRestart(changed));
        }
        if let Some(file) = revoked {
            file.read(gateway).await.map_err(NotReloaded::RevokedFile)?;
        }
        Ok(settings)
    }

    /// Puts the settings into effect.
    fn apply(&mut self, settings: Settings, gateway: &Gateway) {
        let kid = settings.gateway.keys.sealing_key_id();
        warnings::of_reloadable(&settings, SystemClock::new().wall())
            .iter()
            .for_each(Warning::log);
        let Settings {
            gateway: mut config,
            tls,
            log,
            egress,
            timeouts,
            bounds,
            services,
            has_random_key,
            console,
            ..
        } = settings;
        console.apply(self.listeners, &mut config);
        if *self.client.policy() != egress {
            // With a pool of its own: no connection outlives the policy that allowed it, except
            // for calls in progress.
            self.client = egress::Client::new(egress, timeouts).with_bounds(bounds);
        }
        let registry = config.connect(self.client.clone(), services).build();
        gateway.reconfigure(config, registry);
        if let (Some(certificate), Some(tls)) = (&self.certificate, tls) {
            certificate.replace(&tls.certificate);
        }
        self.log_filter.replace(log.filter);
        self.has_random_key = has_random_key;
        tracing::info!(%kid, "SIGHUP: the settings are reloaded");
    }
}

impl fmt::Display for NotReloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faults(faults) => f.write_str(&faults.in_one_line()),
            Self::NeedRestart(names) => {
                write!(f, "only a restart can change {}", names.join(", "))
            }
            Self::RevokedFile(error) => write!(f, "revoked_file cannot be read: {error}"),
            Self::Panicked => f.write_str("reading the settings failed: this server has a fault"),
        }
    }
}
