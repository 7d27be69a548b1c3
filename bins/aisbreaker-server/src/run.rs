//! Running the server: from its settings to its orderly end.

use std::{error::Error, io, net::SocketAddr, time::Duration};

use aisbreaker_egress as egress;
use aisbreaker_gateway::{Config, Gateway, Limits, SystemClock};
use aisbreaker_services::{Relay, services};
use aisbreaker_token::ServerKey;
use secrecy::ExposeSecret as _;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    files, logging,
    settings::{Settings, StateSettings, StoreSettings},
    state::StateFile,
};

type Outcome = Result<(), Box<dyn Error>>;

/// Prints a fresh server key.
#[expect(
    clippy::print_stdout,
    reason = "printing the key is what the subcommand is for"
)]
pub(crate) fn keygen() -> Outcome {
    let key = ServerKey::generate()?;
    let text = key.expose_text().ok_or("a generated key has a text")?;
    println!("{}", text.expose_secret());
    Ok(())
}

/// Serves until a signal ends it.
pub(crate) fn serve(settings: Settings) -> Outcome {
    let Settings {
        log_filter,
        log_format,
        mut gateway,
        limits,
        egress,
        timeouts,
        bounds,
        services,
        ..
    } = settings;
    let (log, pace) = logging::start(log_filter, log_format, settings.log_per_second);
    files::raise_limit(&limits, &bounds);
    for variable in &settings.unknown_variables {
        tracing::warn!(variable, "this environment variable is not a setting");
    }
    if settings.has_random_key {
        tracing::warn!(
            "no AUTH_ENCRYPTION_KEYPHRASE: keys are sealed with a random key and END WITH THIS PROCESS; make a lasting \
             one with 'aisbreaker-server keygen'"
        );
    }
    let client = egress::Client::new(egress, timeouts).with_bounds(bounds);
    let relay = Relay::new(client.clone(), services.providers.clone());
    gateway.relay = Some(relay.with_operator_origins(services.operator_origins.clone()));
    let registry = services::standard(client, services).build();
    let state = settings
        .state
        .map(|state| open_state(state, &mut gateway))
        .transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        gateway.shared_quotas = settings.store.map(StoreSettings::start).transpose()?;
        let gateway = Gateway::new(gateway, registry, SystemClock::new());
        let outcome = tokio::select! {
            outcome = run(settings.listen, settings.metrics_listen, gateway.clone(), limits) => outcome,
            () = pace.tell() => Ok(()),
            () = write_state(state.as_ref(), &gateway) => Ok(()),
        };
        if let Some((state, _)) = &state {
            state.write_last(&gateway).await;
        }
        outcome
    });
    // What is left are connections that had their time; they must not delay the end.
    runtime.shutdown_background();
    logging::finish(log);
    outcome
}

/// Takes hold of the state file and lets the gateway go on from what is in it; also how often to
/// write it.
fn open_state(
    StateSettings { path, interval }: StateSettings,
    gateway: &mut Config,
) -> Result<(StateFile, Duration), String> {
    let (state, saved) = StateFile::open(&path, gateway.max_counters, &SystemClock::new())
        .map_err(|problem| format!("{} {problem}", StateSettings::VARIABLE))?;
    gateway.saved_counters = saved;
    Ok((state, interval))
}

/// Keeps the state file up to date for as long as it is polled.
async fn write_state(state: Option<&(StateFile, Duration)>, gateway: &Gateway) {
    match state {
        Some((state, interval)) => state.write_each(*interval, gateway).await,
        None => std::future::pending().await,
    }
}

async fn run(
    listen: SocketAddr,
    metrics_listen: Option<SocketAddr>,
    gateway: Gateway,
    limits: Limits,
) -> Outcome {
    let mut signals = Signals::new()?;
    let listener = bind(listen).await?;
    if let Some(address) = metrics_listen {
        let listener = bind(address).await?;
        tracing::info!(address = %listener.local_addr()?, "metrics at /metrics");
        // Until the runtime ends, so that the end can be watched.
        tokio::spawn(aisbreaker_gateway::serve_metrics(listener, gateway.clone()));
    }
    gateway.wait_for_store().await;
    tracing::info!(address = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "listening");
    let (first, told) = tokio::sync::oneshot::channel::<()>();
    let served = aisbreaker_gateway::serve(listener, gateway, limits, async {
        // An error means that nobody can tell any more, which is the end as well.
        let _told = told.await;
    });
    let ended_at_once = async {
        signals.next().await;
        let _served_already = first.send(());
        signals.next().await;
    };
    tokio::select! {
        () = served => tracing::info!("stopped"),
        () = ended_at_once => tracing::warn!("stopped at once by a second signal"),
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
