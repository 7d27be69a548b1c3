//! Runs the server: from its settings to its orderly shutdown.

use std::{error::Error, future, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use aisbreaker_egress as egress;
use aisbreaker_gateway::{
    Clock as _, Config, Gateway, Limits, Revocation, SystemClock, TlsCertificate,
};
use aisbreaker_services::prices::Prices;
use aisbreaker_token::{Host, ServerKeyId};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

#[cfg(feature = "otel")]
use crate::traces;
use crate::{
    ceiling_file::CeilingFile,
    commands::Outcome,
    logging::{self, RateLimit},
    notify::ServiceManager,
    open_files,
    reload::{Reload, SettingSources},
    revoked_file::RevokedFile,
    settings::{Flags, Listeners, Names, RandomKey, ResolvedName, Settings, StateSettings},
    signals::Signals,
    state_file::StateFile,
    warnings,
};

/// Serves until a signal ends the process.
///
/// # Errors
/// Settings that cannot be used, and addresses that cannot be listened on.
pub(crate) fn serve(flags: Flags) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    // First of all: until then, the signal ends the process, and phrases take their time.
    let hangup = {
        let _context = runtime.enter();
        signal(SignalKind::hangup())?
    };
    let sources = SettingSources {
        flags,
        random_key: RandomKey::generate()?,
    };
    let settings = sources.load(Names::Resolve)?;
    serve_with(settings, sources, runtime, hangup)
}

fn serve_with(
    mut settings: Settings,
    sources: SettingSources,
    runtime: Runtime,
    hangup: Signal,
) -> Outcome {
    let log = logging::start(std::mem::take(&mut settings.log));
    open_files::raise_limit(&settings.limits, &settings.bounds);
    let warnings = warnings::of_unchanging(&settings).into_iter();
    let now = SystemClock::new().wall();
    warnings
        .chain(warnings::of_reloadable(&settings, now))
        .chain(warnings::of_program(now))
        .for_each(|warning| warning.log());
    log_resolved_names(&settings.resolved_names);
    let Settings {
        listen,
        tls,
        metrics_listen,
        metrics_hosts,
        mut gateway,
        limits,
        egress,
        timeouts,
        bounds,
        services,
        store,
        revoked_file,
        state,
        restart_values,
        has_random_key,
        console,
        ..
    } = settings;
    let listeners = Listeners {
        clients: listen,
        metrics: metrics_listen,
    };
    console.apply(listeners, &mut gateway);
    gateway.access_log_sink = Some(log.access_lines);
    let in_effect = InEffect::of(&gateway);

    let client = egress::Client::new(egress, timeouts).with_bounds(bounds);
    let registry = gateway.connect(client.clone(), services).build();
    let has_store = store.is_some();
    let revoked = open_revoked_file(revoked_file.as_deref(), has_store, &mut gateway)?;
    let state = match state {
        Some(state) => Some(open_state_file(&state, has_store, &mut gateway)?),
        None => None,
    };

    let unchanging = (restart_values, has_random_key, listeners);
    let certificate = tls.map(|tls| tls.certificate);
    let replaceable = (client, certificate.clone());
    let reload = Reload::new(hangup, sources, unchanging, replaceable, log.filter);
    #[cfg(feature = "otel")]
    let traces = traces::start(runtime.handle(), std::env::vars_os());
    #[cfg(feature = "otel")]
    if let Some(traces) = &traces {
        gateway.span_sink = Some(traces.sink());
    }
    let parts = Parts {
        listen,
        certificate,
        metrics_listen,
        metrics_hosts,
        limits,
        log_limit: log.limit,
        state,
        in_effect,
    };
    let outcome = runtime.block_on(async {
        if let Some(store) = store {
            gateway.shared_quotas = Some(store.start()?);
        }
        let gateway = Gateway::new(gateway, registry, SystemClock::new());
        let revoked = revoked.map(|(file, keys)| {
            gateway.restore_revoked(keys);
            file
        });
        parts.run(&gateway, revoked.as_ref(), reload).await
    });
    #[cfg(feature = "otel")]
    if let Some(traces) = traces {
        traces.finish();
    }
    // What is left are connections that had their time to drain; they must not delay the end.
    runtime.shutdown_background();
    logging::finish(log.guard);
    outcome
}

/// What a running server consists of, besides its gateway.
struct Parts {
    listen: SocketAddr,
    /// `None`: the listener speaks plain HTTP.
    certificate: Option<TlsCertificate>,
    metrics_listen: Option<SocketAddr>,
    metrics_hosts: Vec<Host>,
    limits: Limits,
    log_limit: RateLimit<SystemClock>,
    state: Option<(StateFile, Duration)>,
    in_effect: InEffect,
}

/// The settings that are logged once, besides the addresses.
struct InEffect {
    sealing_kid: ServerKeyId,
    opening_kids: Vec<String>,
    is_minting_open: bool,
    is_key_required: bool,
    has_console: bool,
}

impl InEffect {
    fn of(gateway: &Config) -> Self {
        let opening = gateway.keys.opening_key_ids();
        Self {
            sealing_kid: gateway.keys.sealing_key_id(),
            opening_kids: opening.iter().map(ToString::to_string).collect(),
            is_minting_open: gateway.minting.secret.is_none(),
            is_key_required: gateway.require_key,
            has_console: gateway.console,
        }
    }

    fn log(&self, listen: SocketAddr, metrics_listen: Option<SocketAddr>) {
        let minting = if self.is_minting_open {
            "open to anyone"
        } else {
            "with the minting secret only"
        };
        tracing::info!(
            %listen,
            metrics_listen = metrics_listen.map(tracing::field::display),
            kid = %self.sealing_kid,
            opening_kids = self.opening_kids.join(","),
            minting,
            key_required = self.is_key_required,
            console = self.has_console,
            prices = Prices::date(),
            "settings in effect"
        );
    }
}

impl Parts {
    async fn run(
        self,
        gateway: &Gateway,
        revoked: Option<&RevokedFile>,
        reload: Reload,
    ) -> Outcome {
        let served = self.serve(gateway, revoked, reload);
        let outcome = tokio::select! {
            outcome = served => outcome,
            () = self.log_limit.report(gateway) => Ok(()),
            () = write_state(self.state.as_ref(), gateway) => Ok(()),
            () = follow_revoked(revoked, gateway) => Ok(()),
        };
        if let Some((file, _)) = &self.state {
            file.write_last(gateway).await;
        }
        outcome
    }

    /// Listens and serves. The first signal starts the end, the second one is the end.
    async fn serve(
        &self,
        gateway: &Gateway,
        revoked: Option<&RevokedFile>,
        mut reload: Reload,
    ) -> Outcome {
        let mut signals = Signals::new()?;
        let listener = self.listen(gateway).await?;
        let mut manager = ServiceManager::from_environment();
        manager.ready();

        let (shut_down, shutdown) = oneshot::channel::<()>();
        let shutdown = async {
            // An error means that the sender is gone, which ends the server as well.
            let _started_or_gone = shutdown.await;
        };
        let served = async {
            let gateway = gateway.clone();
            match self.certificate.clone() {
                None => aisbreaker_gateway::serve(listener, gateway, self.limits, shutdown).await,
                Some(certificate) => {
                    let limits = self.limits;
                    aisbreaker_gateway::serve_tls(listener, certificate, gateway, limits, shutdown)
                        .await;
                }
            }
        };
        let second_signal = async {
            tokio::select! {
                () = signals.next() => {}
                () = reload.run(gateway, revoked, &mut manager) => {}
            }
            manager.stopping();
            let _already_stopped = shut_down.send(());
            signals.next().await;
        };
        tokio::select! {
            () = served => tracing::info!("stopped"),
            () = second_signal => tracing::warn!("stopped at once by a second signal"),
        }
        Ok(())
    }

    /// Listens at all addresses, and serves the metrics.
    async fn listen(&self, gateway: &Gateway) -> Result<TcpListener, Box<dyn Error>> {
        let listener = bind("listen", self.listen).await?;
        let mut metrics_address = None;
        if let Some(address) = self.metrics_listen {
            let metrics_listener = bind("metrics.listen", address).await?;
            let address = metrics_listener.local_addr()?;
            metrics_address = Some(address);
            tracing::info!(%address, "metrics at /metrics");
            // Served until the runtime ends, so that the shutdown can be watched.
            tokio::spawn(aisbreaker_gateway::serve_metrics(
                metrics_listener,
                gateway.clone(),
                self.metrics_hosts.clone(),
            ));
        }
        self.in_effect.log(listener.local_addr()?, metrics_address);
        gateway.wait_for_store().await;
        tracing::info!(
            address = %listener.local_addr()?,
            version = env!("CARGO_PKG_VERSION"),
            tls = self.certificate.is_some(),
            "listening"
        );
        Ok(listener)
    }
}

fn log_resolved_names(names: &[ResolvedName]) {
    for ResolvedName {
        setting,
        name,
        address,
    } in names
    {
        tracing::info!(setting, name, %address, "resolved the name to listen on");
    }
}

/// Opens the file of revoked keys, if there is one, and has the gateway keep revocations there.
fn open_revoked_file(
    path: Option<&Path>,
    has_store: bool,
    gateway: &mut Config,
) -> Result<Option<(RevokedFile, Vec<Revocation>)>, String> {
    let Some(path) = path else {
        if !has_store {
            tracing::info!(
                "revoked API keys are kept in memory only and are valid again after a restart; see \
                 AISBREAKER_REVOKED_FILE"
            );
        }
        return Ok(None);
    };
    let (file, keys) = RevokedFile::open(path, SystemClock::new().wall())
        .map_err(|problem| format!("AISBREAKER_REVOKED_FILE {problem}"))?;
    gateway.revocation_log = Some(Arc::new(file.clone()));
    Ok(Some((file, keys)))
}

/// Follows the file of revoked keys for as long as it is polled; does nothing without one.
async fn follow_revoked(file: Option<&RevokedFile>, gateway: &Gateway) {
    match file {
        Some(file) => file.follow(gateway).await,
        None => future::pending().await,
    }
}

/// Opens the state file and passes the saved counters to the gateway, with the ceilings unless the
/// store counts. Returns the file and the time
/// between two writes of it.
fn open_state_file(
    state: &StateSettings,
    has_store: bool,
    gateway: &mut Config,
) -> Result<(StateFile, Duration), String> {
    let (file, saved) = StateFile::open(&state.path, gateway.max_counters, &SystemClock::new())
        .map_err(|problem| format!("AISBREAKER_STATE_FILE {problem}"))?;
    gateway.saved_counters = saved;
    if state.has_ceilings && !has_store {
        let now = SystemClock::new().wall();
        let (ceilings, saved) = CeilingFile::open(file.path(), now)
            .map_err(|problem| format!("AISBREAKER_STATE_FILE {problem}"))?;
        gateway.ceiling_log = Some(Arc::new(ceilings));
        gateway.saved_ceilings = saved;
    }
    Ok((file, state.interval))
}

/// Writes the state file at intervals for as long as it is polled; does nothing without one.
async fn write_state(state: Option<&(StateFile, Duration)>, gateway: &Gateway) {
    match state {
        Some((file, interval)) => file.write_at_intervals(*interval, gateway).await,
        None => future::pending().await,
    }
}

async fn bind(setting: &str, address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .await
        .map_err(|error| format!("{setting}: cannot listen on {address}: {error}"))
}
