//! Runs the server: from its settings to its orderly shutdown.

use std::{future, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use aisbreaker_egress as egress;
use aisbreaker_gateway::{Clock as _, Config, Gateway, Limits, Revocation, SystemClock};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use crate::{
    commands::Outcome,
    gateway_setup,
    logging::{self, RateLimit},
    open_files,
    reload::{self, Reload},
    revoked_file::RevokedFile,
    settings::{self, Flags, NEARLY_RAW_KEY, Settings, StateSettings},
    state_file::StateFile,
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
    let settings = settings::load(flags, std::env::vars_os())?;
    serve_with(settings, runtime, hangup)
}

fn serve_with(settings: Settings, runtime: Runtime, hangup: Signal) -> Outcome {
    let Settings {
        listen,
        metrics_listen,
        log,
        mut gateway,
        limits,
        egress,
        timeouts,
        bounds,
        services,
        store,
        revoked_file,
        state,
        key_sources,
        has_random_key,
        is_network_open,
        nearly_raw_keys,
        unknown_variables,
    } = settings;
    let (log, log_limit) = logging::start(log);
    open_files::raise_limit(&limits, &bounds);
    warn_about_settings(&unknown_variables, &nearly_raw_keys, has_random_key);
    if is_network_open {
        warn_about_open_network();
    }
    reload::warn_about_phrases(&gateway.keys);
    tracing::info!(kid = %gateway.keys.sealing_key_id(), "server key that seals API keys");

    let client = egress::Client::new(egress, timeouts).with_bounds(bounds);
    let registry = gateway_setup::connect_services(&mut gateway, client, services);
    let has_store = store.is_some();
    let revoked = open_revoked_file(revoked_file.as_deref(), has_store, &mut gateway)?;
    let state = match state {
        Some(state) => Some(open_state_file(&state, &mut gateway)?),
        None => None,
    };

    let parts = Parts {
        listen,
        metrics_listen,
        limits,
        log_limit,
        state,
    };
    let outcome = runtime.block_on(async {
        if let Some(store) = store {
            gateway.shared_quotas = Some(store.start()?);
        }
        let reload = Reload::new(hangup, key_sources, gateway.max_expiration);
        let gateway = Gateway::new(gateway, registry, SystemClock::new());
        let revoked = revoked.map(|(file, keys)| {
            gateway.restore_revoked(keys);
            file
        });
        parts.run(&gateway, revoked.as_ref(), reload).await
    });
    // What is left are connections that had their time to drain; they must not delay the end.
    runtime.shutdown_background();
    logging::finish(log);
    outcome
}

/// What a running server consists of, beside its gateway.
struct Parts {
    listen: SocketAddr,
    metrics_listen: Option<SocketAddr>,
    limits: Limits,
    log_limit: RateLimit<SystemClock>,
    state: Option<(StateFile, Duration)>,
}

impl Parts {
    async fn run(
        self,
        gateway: &Gateway,
        revoked: Option<&RevokedFile>,
        mut reload: Reload,
    ) -> Outcome {
        let served = run(
            self.listen,
            self.metrics_listen,
            gateway.clone(),
            self.limits,
        );
        let outcome = tokio::select! {
            outcome = served => outcome,
            () = self.log_limit.report() => Ok(()),
            () = write_state(self.state.as_ref(), gateway) => Ok(()),
            () = follow_revoked(revoked, gateway) => Ok(()),
            () = reload.run(gateway, revoked) => Ok(()),
        };
        if let Some((file, _)) = &self.state {
            file.write_last(gateway).await;
        }
        outcome
    }
}

fn warn_about_settings(
    unknown_variables: &[String],
    nearly_raw_keys: &[String],
    has_random_key: bool,
) {
    for variable in unknown_variables {
        tracing::warn!(variable, "this environment variable is not a setting");
    }
    for setting in nearly_raw_keys {
        tracing::warn!(setting, "{NEARLY_RAW_KEY}");
    }
    if has_random_key {
        tracing::warn!(
            "AUTH_ENCRYPTION_KEYPHRASE is not set: API keys are sealed with a random key and END \
             WITH THIS PROCESS; make a lasting one with 'aisbreaker-server keygen'"
        );
    }
}

fn warn_about_open_network() {
    tracing::warn!(
        "AISBREAKER_EGRESS_ALLOW_CALLERS is set and anyone may mint: ANY CLIENT \
         can send requests to everything that AISBREAKER_EGRESS_ALLOW opens; unset it, or set \
         AISBREAKER_MINT_SECRET"
    );
}

/// Opens the file of revoked keys, if there is one, and has the gateway keep revocations there.
fn open_revoked_file(
    path: Option<&Path>,
    has_store: bool,
    gateway: &mut Config,
) -> Result<Option<(RevokedFile, Vec<Revocation>)>, String> {
    if let Some(before) = gateway.revoked_before {
        let before = humantime::format_rfc3339(before);
        tracing::warn!(%before, "all API keys that were issued before AISBREAKER_REVOKED_BEFORE are refused");
    }
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

/// Opens the state file and passes the saved counters to the gateway. Returns the file and the time
/// between two writes of it.
fn open_state_file(
    state: &StateSettings,
    gateway: &mut Config,
) -> Result<(StateFile, Duration), String> {
    let (file, saved) = StateFile::open(&state.path, gateway.max_counters, &SystemClock::new())
        .map_err(|problem| format!("AISBREAKER_STATE_FILE {problem}"))?;
    gateway.saved_counters = saved;
    Ok((file, state.interval))
}

/// Writes the state file at intervals for as long as it is polled; does nothing without one.
async fn write_state(state: Option<&(StateFile, Duration)>, gateway: &Gateway) {
    match state {
        Some((file, interval)) => file.write_at_intervals(*interval, gateway).await,
        None => future::pending().await,
    }
}

/// Listens and serves. The first signal starts the drain, the second one ends it.
async fn run(
    listen: SocketAddr,
    metrics_listen: Option<SocketAddr>,
    gateway: Gateway,
    limits: Limits,
) -> Outcome {
    let mut signals = Signals::new()?;
    let listener = bind(listen).await?;
    if let Some(address) = metrics_listen {
        let metrics_listener = bind(address).await?;
        tracing::info!(address = %metrics_listener.local_addr()?, "metrics at /metrics");
        // Served until the runtime ends, so that the shutdown can be watched.
        tokio::spawn(aisbreaker_gateway::serve_metrics(
            metrics_listener,
            gateway.clone(),
        ));
    }
    gateway.wait_for_store().await;
    tracing::info!(
        address = %listener.local_addr()?,
        version = env!("CARGO_PKG_VERSION"),
        "listening"
    );

    let (start_drain, drain_started) = oneshot::channel::<()>();
    let served = aisbreaker_gateway::serve(listener, gateway, limits, async {
        // An error means that the sender is gone, which ends the server as well.
        let _started_or_gone = drain_started.await;
    });
    let second_signal = async {
        signals.next().await;
        let _already_stopped = start_drain.send(());
        signals.next().await;
    };
    tokio::select! {
        () = served => tracing::info!("stopped"),
        () = second_signal => tracing::warn!("stopped at once by a second signal"),
    }
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}"))
}

/// The signals that end the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
