//! The gateway: one request in, one response out.

use std::{fmt, io, net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use aisbreaker_services::Registry;
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Request, Response, request::Parts};
use http_body::Body;

use crate::{
    admission::saved,
    budgets::ceilings::Ceilings,
    clock::Clock,
    config::Config,
    dialect,
    failure::{ErrorType, Failure},
    gateway_error::GatewayError,
    gateway_state::GatewayState,
    response::{self, ResponseBody},
    revocation::Revocation,
    route::Route,
    surfaces::Surfaces,
    telemetry::{access_log::AccessLog, metrics::MetricsFormat},
};

/// How often a part of the idle counters is freed.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
/// How long to wait until it is known whether the shared quota store answers.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that is counted until this is dropped.
pub(crate) struct ConnectionCount(Gateway);

/// An AIsBreaker gateway. Cheap to clone; clones share all state.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    /// What the configuration decides. Replaced as a whole.
    surfaces: ArcSwap<Surfaces>,
    state: GatewayState,
}

impl Gateway {
    /// Creates a gateway to these services. [`Config::connect`] makes the usual ones.
    #[must_use]
    pub fn new(mut config: Config, registry: Registry, clock: impl Clock) -> Self {
        let state = GatewayState::new(&mut config, Arc::new(clock));
        let surfaces = Surfaces::new(config, registry, &state);
        Self(Arc::new(Inner {
            surfaces: ArcSwap::from_pointee(surfaces),
            state,
        }))
    }

    /// Replaces the configuration and the services at once. A request in flight keeps those that it
    /// began with. Open WebSockets are closed within 5 seconds, so that their clients connect anew.
    ///
    /// What is counted, held, sized or opened stays as it is. So these fields of `config` are ignored:
    /// `max_body_bytes`, `max_upload_bytes`, `body_timeout`, `max_requests`, `memory_budget`, `max_client_bytes`,
    /// `max_counters`, `shared_quotas`, `stream_keep_alive`, `revocation_log`,
    /// `saved_counters`, `ceiling_log`, `saved_ceilings`, `span_sink` and `access_log_sink`.
    pub fn reconfigure(&self, config: Config, registry: Registry) {
        let Inner { surfaces, state } = &*self.0;
        let new = Arc::new(Surfaces::new(config, registry, state));
        surfaces.swap(new).mark_replaced();
        state.metrics.reloads.count_applied();
    }

    /// Counts a configuration that was to replace this one and could not.
    pub fn count_refused_configuration(&self) {
        self.0.state.metrics.reloads.count_refused();
    }

    /// Answers one request from the peer at this address.
    ///
    /// Never fails: errors are responses. The body of the response must be read or dropped; until
    /// then the request is in flight.
    ///
    /// WebSockets need the connection as well, so only [`serve`](crate::serve) and
    /// [`serve_tls`](crate::serve_tls) open them. Here their handshakes get 426.
    ///
    /// # Cancel safety
    /// Dropping the future, or the body of the response, cancels the call to the provider.
    pub fn handle<B: Body<Data = Bytes> + Send + 'static>(
        &self,
        request: Request<B>,
        peer: IpAddr,
    ) -> impl Future<Output = Response<ResponseBody>> + Send {
        // Here, since an async fn would hold the request and its parts.
        let (parts, body) = request.into_parts();
        self.handle_parts(parts, body, peer)
    }

    async fn handle_parts<B: Body<Data = Bytes> + Send + 'static>(
        &self,
        parts: Parts,
        body: B,
        peer: IpAddr,
    ) -> Response<ResponseBody> {
        let Inner { surfaces, state } = &*self.0;
        let surfaces = surfaces.load_full();
        let route = Route::of(&parts.method, parts.uri.path());
        let client = surfaces.host_policy.client_address(peer, &parts.headers);
        let (guard, in_flight) = state.in_flight.enter();
        let observer = Arc::clone(&state.observer);
        let logged = (&parts.method, &parts.headers);
        let log = AccessLog::start(logged, route.ok(), client, observer, guard);
        let mut log = Box::new(log);
        let is_probe = route.is_ok_and(Route::is_probe);
        if let Some(sink) = &state.span_sink
            && !is_probe
            && !route.is_ok_and(Route::is_console)
        {
            let scheme = surfaces.host_policy.scheme(&parts.uri);
            log.start_trace(sink, &parts, scheme);
        }
        let outcome = if in_flight > state.max_requests && !is_probe {
            Err(GatewayError::TooManyRequests.into())
        } else {
            let (request, in_flight) = ((&parts, body), &state.in_flight);
            let served = surfaces.serve(route, request, (peer, client), in_flight, &mut log);
            match AssertUnwindSafe(served).catch_unwind().await {
                Ok(outcome) => outcome,
                Err(_panic) => Err(GatewayError::Panicked.into()),
            }
        };
        let mut response = match outcome {
            Ok(response) => response,
            Err(failure) => error_response(failure, &parts, &mut log),
        };
        let is_head = parts.method == Method::HEAD;
        response::finish(&mut response, &log, is_head);
        log.set_status(response.status());
        response.body_mut().attach(log);
        response
    }

    /// Returns whether as many requests are in flight as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.0.state.in_flight.count() >= self.0.state.max_requests
    }

    /// Has `/readyz` answer 503, so that a load balancer stops sending requests, while all that come
    /// are still served.
    pub fn announce_draining(&self) {
        self.0.state.in_flight.announce_draining();
    }

    /// Stops accepting requests, health probes excepted: `/readyz` and everything else answer 503.
    pub fn start_draining(&self) {
        self.0.state.in_flight.start_draining();
    }

    /// Waits until no request is in flight.
    pub async fn idle(&self) {
        self.0.state.in_flight.idle().await;
    }

    /// Frees counters of idle clients and expired revocations, a few at a time, logs when a shared
    /// store goes down or comes back, and copies its revocations, for as long as it is polled.
    /// [`serve`](crate::serve) polls it.
    pub async fn maintain(&self) {
        let state = &self.0.state;
        let watch = state.backend.watch_store();
        let follow = state.revocations.follow_store(&*state.clock);
        futures_util::future::join3(self.sweep(), watch, follow).await;
    }

    /// Returns the metrics in this format.
    ///
    /// Blocks for milliseconds if many files are open, since it counts them.
    #[must_use]
    pub fn metrics(&self, format: MetricsFormat) -> String {
        self.0.state.metrics_text(format)
    }

    /// Returns whether the listener of the metrics serves a page that shows them.
    pub(crate) fn has_live_page(&self) -> bool {
        self.0.surfaces.load().has_live_page
    }

    /// Counts lines that the log left out, for the metrics.
    pub fn count_log_lines_left_out(&self, lines: u64) {
        self.0.state.metrics.log_lines_left_out.inc_by(lines);
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn count_connection(&self) -> ConnectionCount {
        self.0.state.metrics.connections.inc();
        ConnectionCount(self.clone())
    }

    /// Counts a connection that was refused since there are as many as may be.
    pub(crate) fn count_refused_connection(&self) {
        let requests = &self.0.state.metrics.requests;
        requests.count_rejection(ErrorType::TooManyConnections);
    }

    /// Adds revoked keys that are kept elsewhere already, such as in the
    /// [`RevocationLog`](crate::RevocationLog) by another process.
    pub fn restore_revoked(&self, revocations: impl IntoIterator<Item = Revocation>) {
        self.0.state.revocations.restore(revocations);
    }

    /// Waits until it is known whether the shared quota store answers and its revocations are copied,
    /// for a second at most.
    ///
    /// Returns at once without a shared store. Until then, requests are handled as if it were down.
    pub async fn wait_for_store(&self) {
        let state = &self.0.state;
        let known_and_read = async {
            state.backend.wait_for_store().await;
            state.revocations.read_store(state.clock.wall()).await;
        };
        let _in_time = tokio::time::timeout(STORE_TIMEOUT, known_and_read).await;
    }

    /// Writes the counters, for [`SavedCounters::read`](crate::SavedCounters::read), while the
    /// gateway goes on serving. They hold no secrets: ids of keys, addresses of clients, numbers.
    ///
    /// Blocks as `to` does, and delays charges for short moments.
    ///
    /// # Errors
    /// The first error of `to`.
    pub fn write_counters(&self, mut to: impl io::Write) -> io::Result<()> {
        let state = &self.0.state;
        let now = (state.clock.monotonic(), state.clock.wall());
        let written = saved::write_budgets(&state.ledgers, now, &mut to)
            .and_then(|()| state.backend.write_counters(now, &mut to));
        if written.is_err() {
            state.ledgers.mark_unwritten();
        }
        written
    }

    /// Returns whether anything was charged since [`write_counters`](Self::write_counters).
    #[must_use]
    pub fn has_unwritten_counters(&self) -> bool {
        let state = &self.0.state;
        state.backend.has_unwritten() || state.ledgers.has_unwritten()
    }

    /// Notes that what was written last is lost.
    pub fn forget_written_counters(&self) {
        self.0.state.backend.mark_unwritten();
    }

    /// Rewrites the log of ceilings with those that still count. Blocks as the log does.
    ///
    /// # Errors
    /// The first error of the log, which has what it had, or what it should have.
    pub fn compact_ceilings(&self) -> io::Result<()> {
        let state = &self.0.state;
        let ceilings = state.ledgers.ceilings();
        ceilings.map_or(Ok(()), |ceilings| ceilings.compact(state.clock.wall()))
    }

    /// Refuses requests with a budget in all from now on, if ceilings are recorded: what is written
    /// next has everything that such budgets have spent.
    pub fn close_ceilings(&self) {
        if let Some(ceilings) = self.0.state.ledgers.ceilings() {
            ceilings.close();
        }
    }

    /// Empties the log of ceilings, once the counters are written that hold after
    /// [`close_ceilings`](Self::close_ceilings). Blocks as the log does.
    ///
    /// # Errors
    /// The first error of the log.
    pub fn clear_ceilings(&self) -> io::Result<()> {
        let ceilings = self.0.state.ledgers.ceilings();
        ceilings.map_or(Ok(()), Ceilings::clear)
    }

    async fn sweep(&self) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let state = &self.0.state;
            state.backend.sweep(state.clock.monotonic());
            state.ledgers.sweep(state.clock.monotonic());
            state.revocations.sweep(state.clock.wall());
        }
    }
}

/// Creates the response that reports a failure, and logs its cause.
fn error_response(
    mut failure: Failure,
    parts: &Parts,
    log: &mut AccessLog,
) -> Response<ResponseBody> {
    if let Some(cause) = failure.cause.take() {
        log.set_cause(cause);
    }
    log.set_error(failure.error_type);
    let dialect = dialect::of(parts.uri.path(), &parts.headers);
    response::error(failure, dialect, log.request_id())
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        let Self(gateway) = self;
        gateway.0.state.metrics.connections.dec();
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("registry", self.0.surfaces.load().registry())
            .finish_non_exhaustive()
    }
}
