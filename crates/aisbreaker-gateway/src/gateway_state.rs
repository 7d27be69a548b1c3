//! What a gateway keeps when its configuration is replaced: what is counted, what is held, and what
//! was sized or opened at the start.

use std::{sync::Arc, time::Duration};

use aisbreaker_egress::MemoryBudget;

use aisbreaker_quota::ledger::Ledger;
use aisbreaker_services::prices::Prices;

use crate::{
    admission::{
        backend::{Backend, SharedQuotas},
        counters,
    },
    budgets::{
        MAX_ACCOUNTS,
        ledgers::{Ledgers, MemoryLedger},
    },
    clock::Clock,
    config::Config,
    in_flight::InFlight,
    memory::ClientMemories,
    request::body::BodyLimits,
    revocation::Revocations,
    telemetry::{
        metrics::{Metrics, MetricsFormat, Snapshot},
        observer::Observer,
        span::SpanSink,
    },
};

/// The parts of a gateway that outlive its configurations.
pub(crate) struct GatewayState {
    pub(crate) backend: Arc<Backend>,
    pub(crate) ledgers: Ledgers,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) memories: ClientMemories,
    pub(crate) body_limits: BodyLimits,
    pub(crate) max_requests: usize,
    /// The idle time of a stream after which a keep-alive is sent.
    pub(crate) keep_alive: Duration,
    pub(crate) in_flight: InFlight,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) observer: Arc<Observer>,
    memory_budget: MemoryBudget,
    /// `None`: nothing is traced.
    pub(crate) span_sink: Option<Arc<dyn SpanSink>>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl GatewayState {
    /// Creates the state of a gateway. Takes the saved counters and the shared store out of its first
    /// configuration.
    pub(crate) fn new(config: &mut Config, clock: Arc<dyn Clock>) -> Self {
        let shared_quotas = config.shared_quotas.take();
        let metrics = Arc::new(Metrics::new(shared_quotas.is_some()));
        let (counters, budgets) = match config.saved_counters.take() {
            Some(saved) => saved.into_parts(),
            None => {
                let counters = counters::counters(clock.monotonic(), config.max_counters);
                (counters, None)
            }
        };
        let ledgers = match &shared_quotas {
            Some(shared) => Ledgers::Store(shared.engine().ledger()),
            None => {
                let empty = || Ledger::new(clock.monotonic(), MAX_ACCOUNTS);
                let memory = MemoryLedger::new(budgets.unwrap_or_else(empty));
                Ledgers::Memory(Arc::new(match config.ceiling_log.take() {
                    Some(log) => {
                        let now = (clock.monotonic(), clock.wall());
                        let saved = std::mem::take(&mut config.saved_ceilings);
                        memory.with_ceilings(log, saved, now)
                    }
                    None => memory,
                }))
            }
        };
        let shared_engine = shared_quotas.as_ref().map(SharedQuotas::engine);
        let backend = Backend::new(counters, shared_quotas, metrics.quotas.clone());
        Self {
            backend: Arc::new(backend),
            ledgers,
            revocations: Arc::new(Revocations::new(
                config.revocation_log.take(),
                shared_engine,
            )),
            memories: ClientMemories::new(config.memory_budget.clone(), config.max_client_bytes),
            body_limits: BodyLimits {
                max_bytes: config.max_body_bytes,
                max_upload_bytes: config.max_upload_bytes,
                timeout: config.body_timeout,
            },
            max_requests: config.max_requests,
            keep_alive: config.stream_keep_alive,
            in_flight: InFlight::default(),
            observer: Arc::new(Observer {
                clock: Arc::clone(&clock),
                metrics: Arc::clone(&metrics),
                access_log_sink: config.access_log_sink.take(),
            }),
            metrics,
            memory_budget: config.memory_budget.clone(),
            span_sink: config.span_sink.take(),
            clock,
        }
    }
    /// Returns the metrics in this format.
    pub(crate) fn metrics_text(&self, format: MetricsFormat) -> String {
        let prices_age = Prices::age(self.clock.wall());
        self.metrics
            .budgets
            .observe(self.ledgers.account_count(), prices_age);
        let now = Snapshot {
            quota_counters: self.backend.counter_count(),
            revoked_keys: self.revocations.len(),
            requests_in_flight: self.in_flight.count(),
            buffered_bytes: self.memory_budget.held_bytes(),
            buffered_bytes_limit: self.memory_budget.limit_bytes(),
        };
        self.metrics.encode(format, now)
    }
}
