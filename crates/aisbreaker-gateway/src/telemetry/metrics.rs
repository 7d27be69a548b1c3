//! The metrics of a gateway, as Prometheus reads them.
//!
//! Labels have few values, and nothing in them comes from a request.

mod buckets;
pub(crate) mod budgets;
mod process;
pub(crate) mod providers;
pub(crate) mod requests;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use aisbreaker_services::Providers;
use http::{HeaderMap, header::ACCEPT};
use prometheus_client::{
    encoding::{prometheus_text, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use self::{
    budgets::BudgetMetrics, process::ProcessMetrics, providers::KnownProviders,
    requests::RequestMetrics,
};
use crate::shared_store::{SharedRefusal, StoreError};

/// The format of metrics.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the two formats that Prometheus reads"
)]
pub enum MetricsFormat {
    /// The text format of Prometheus, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// What is counted elsewhere, at the time of a scrape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) quota_counters: usize,
    pub(crate) revoked_keys: usize,
    pub(crate) requests_in_flight: usize,
    pub(crate) buffered_bytes: usize,
    pub(crate) buffered_bytes_limit: usize,
}

/// A WebSocket that is counted as open until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenWebSocket(Gauge);

impl Drop for OpenWebSocket {
    fn drop(&mut self) {
        self.0.dec();
    }
}

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// All metrics of a gateway.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Arc<RequestMetrics>,
    pub(crate) providers: Arc<KnownProviders>,
    in_flight: Gauge,
    /// Connections of clients that are open.
    pub(crate) connections: Gauge,
    websockets: Gauge,
    buffered_bytes: Gauge,
    buffered_bytes_limit: Gauge,
    /// Lines that the log left out.
    pub(crate) log_lines_left_out: Counter,
    tracked: Gauge,
    pub(crate) quotas: QuotaMetrics,
    revoked: Gauge,
    pub(crate) revocations: RevocationMetrics,
    pub(crate) reloads: ReloadMetrics,
    pub(crate) budgets: BudgetMetrics,
}

/// The metrics of revocations. Cheap to clone; clones share the counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct RevocationMetrics(Family<Labels<1>, Counter>);

/// The metrics of configurations that were to replace the one in use.
#[derive(Debug, Default)]
pub(crate) struct ReloadMetrics {
    outcomes: Family<Labels<1>, Counter>,
    last_successful: Gauge,
}

/// What became of a request to revoke keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RevocationOutcome {
    /// So many keys are revoked.
    Revoked(usize),
    /// The list is full.
    Full,
    /// The file or the store failed.
    NotKept,
}

/// The metrics of quota decisions. Cheap to clone; clones share the counts.
#[derive(Clone, Debug)]
pub(crate) struct QuotaMetrics {
    decisions: Family<Labels<2>, Counter>,
    /// Those that were counted before, by [`CountedBy`] and whether they were admitted: finding one in
    /// the family costs more than all else that is counted of a request.
    known_decisions: Arc<[[OnceLock<Counter>; 2]; CountedBy::COUNT]>,
    store_up: Gauge,
    store_failures: Family<Labels<1>, Counter>,
    store_seconds: Histogram,
}

/// Where a request was counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CountedBy {
    /// In the memory of a server that is alone.
    Memory,
    /// In the shared store.
    Store,
    /// In the memory of this server, for its share of the limits.
    Share,
    /// Nowhere.
    Nobody,
}

impl CountedBy {
    const COUNT: usize = 4;
}

impl Metrics {
    pub(crate) fn new(has_store: bool) -> Self {
        let mut root = Registry::default();
        root.register_collector(Box::new(ProcessMetrics));
        let registry = root.sub_registry_with_prefix("aisbreaker");
        let requests = Arc::new(RequestMetrics::new());
        let providers = Arc::new(KnownProviders::new());
        registry.register_collector(Box::new(Arc::clone(&requests)));
        registry.register_collector(Box::new(Arc::clone(&providers)));
        register_version(registry);
        let quotas = QuotaMetrics {
            decisions: Family::default(),
            known_decisions: Arc::default(),
            store_up: Gauge::default(),
            store_failures: Family::default(),
            store_seconds: Histogram::new(buckets::STORE),
        };
        let tracked = Gauge::default();
        let decisions = "Requests that were to be charged to their quotas";
        registry.register("quota_decisions", decisions, quotas.decisions.clone());
        registry.register(
            "quota_counters",
            "Counters in the memory of this server",
            tracked.clone(),
        );
        let (revoked, revocations) = (Gauge::default(), RevocationMetrics::default());
        registry.register(
            "keys_revoked",
            "Revoked keys that have not expired",
            revoked.clone(),
        );
        registry.register(
            "revocations",
            "Keys that were revoked, and requests for it that failed",
            revocations.0.clone(),
        );
        if has_store {
            let up = "Whether the shared quota store answers";
            registry.register("quota_store_up", up, quotas.store_up.clone());
            let failures = "Decisions that the shared quota store did not take";
            registry.register(
                "quota_store_failures",
                failures,
                quotas.store_failures.clone(),
            );
            let duration = "Time that requests waited for the shared quota store, in vain or not";
            let seconds = quotas.store_seconds.clone();
            registry.register_with_unit("quota_store_duration", duration, Unit::Seconds, seconds);
        }
        let reloads = ReloadMetrics::register(registry);
        let budgets = BudgetMetrics::register(registry);
        let mut gauge = |name, help| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let in_flight = gauge("requests_in_flight", "Requests whose response is not over");
        let connections = gauge("connections", "Open connections of clients");
        let websockets = gauge("websockets", "Open WebSockets to providers");
        let buffered_bytes = gauge(
            "buffered_bytes",
            "Memory that requests and responses hold of the budget",
        );
        let buffered_bytes_limit = gauge("buffered_bytes_limit", "The memory budget");
        let log_lines_left_out = Counter::default();
        registry.register(
            "log_lines_left_out",
            "Lines that the log left out, since they were too many or nobody read them",
            log_lines_left_out.clone(),
        );
        Self {
            registry: root,
            requests,
            providers,
            in_flight,
            connections,
            websockets,
            buffered_bytes,
            buffered_bytes_limit,
            log_lines_left_out,
            tracked,
            quotas,
            revoked,
            revocations,
            reloads,
            budgets,
        }
    }

    /// Counts a WebSocket as open until the guard is dropped.
    pub(crate) fn open_websocket(&self) -> OpenWebSocket {
        self.websockets.inc();
        OpenWebSocket(self.websockets.clone())
    }

    /// Adds the providers of a table to those that are named.
    pub(crate) fn add_providers(&self, table: &Providers) {
        self.providers.add(table);
    }

    /// Encodes all metrics.
    pub(crate) fn encode(&self, format: MetricsFormat, now: Snapshot) -> String {
        set(&self.tracked, now.quota_counters);
        set(&self.revoked, now.revoked_keys);
        set(&self.in_flight, now.requests_in_flight);
        set(&self.buffered_bytes, now.buffered_bytes);
        set(&self.buffered_bytes_limit, now.buffered_bytes_limit);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _written = match format {
            MetricsFormat::Text => prometheus_text::encode(&mut text, &self.registry),
            MetricsFormat::OpenMetrics => text::encode(&mut text, &self.registry),
        };
        text
    }
}

fn register_version(registry: &mut Registry) {
    let version = Family::<Labels<1>, Gauge>::default();
    version
        .get_or_create(&[("version", env!("CARGO_PKG_VERSION"))])
        .set(1);
    registry.register("build_info", "The version of this server", version);
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

impl MetricsFormat {
    /// Returns the format that a request accepts best: the text format, unless the request prefers
    /// OpenMetrics (RFC 9110 section 12.5.1).
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let (mut text, mut open_metrics) = (0.0, 0.0);
        for value in headers.get_all(ACCEPT) {
            for range in value.to_str().unwrap_or_default().split(',') {
                let mut parts = range.split(';').map(str::trim);
                let media_type = parts.next().unwrap_or_default();
                let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
                let weight = weight.unwrap_or(1.0);
                if media_type.eq_ignore_ascii_case("application/openmetrics-text") {
                    open_metrics = weight.max(open_metrics);
                } else if media_type.eq_ignore_ascii_case("text/plain") {
                    text = weight.max(text);
                }
            }
        }
        if open_metrics > 0.0 && open_metrics >= text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Returns the media type.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl ReloadMetrics {
    /// Registers the metrics. The configuration that a gateway begins with counts as a success of
    /// the last attempt.
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        metrics.last_successful.set(1);
        registry.register(
            "config_reloads",
            "Configurations that replaced the one in use, or could not",
            metrics.outcomes.clone(),
        );
        registry.register(
            "config_last_reload_successful",
            "Whether the last attempt to replace the configuration succeeded",
            metrics.last_successful.clone(),
        );
        metrics
    }

    pub(crate) fn count_applied(&self) {
        self.outcomes.get_or_create(&[("outcome", "applied")]).inc();
        self.last_successful.set(1);
    }

    pub(crate) fn count_refused(&self) {
        self.outcomes.get_or_create(&[("outcome", "refused")]).inc();
        self.last_successful.set(0);
    }
}

impl RevocationMetrics {
    pub(crate) fn count(&self, outcome: RevocationOutcome) {
        let (outcome, number) = match outcome {
            RevocationOutcome::Revoked(keys) => ("revoked", keys),
            RevocationOutcome::Full => ("full", 1),
            RevocationOutcome::NotKept => ("not_kept", 1),
        };
        self.0
            .get_or_create(&[("outcome", outcome)])
            .inc_by(u64::try_from(number).unwrap_or(u64::MAX));
    }
}

impl QuotaMetrics {
    pub(crate) fn count_decision(&self, by: CountedBy, is_admitted: bool) {
        let known = self.known_decisions.get(by as usize);
        if let Some(counter) = known.and_then(|known| known.get(usize::from(is_admitted))) {
            counter
                .get_or_init(|| self.decision_counter(by, is_admitted))
                .inc();
        }
    }

    fn decision_counter(&self, by: CountedBy, is_admitted: bool) -> Counter {
        let by = match by {
            CountedBy::Memory => "memory",
            CountedBy::Store => "store",
            CountedBy::Share => "share",
            CountedBy::Nobody => "nobody",
        };
        let outcome = if is_admitted { "admitted" } else { "refused" };
        self.decisions
            .get_or_create(&[("counted_by", by), ("outcome", outcome)])
            .clone()
    }

    /// Records a call to the store: how long it took, and how it failed.
    pub(crate) fn observe_store<const N: usize>(
        &self,
        time: Duration,
        error: Option<&SharedRefusal<N>>,
    ) {
        if !matches!(error, Some(SharedRefusal::Store(StoreError::Down))) {
            self.store_seconds.observe(time.as_secs_f64());
        }
        let kind = match error {
            None | Some(SharedRefusal::Quota(_)) => return,
            Some(SharedRefusal::Store(StoreError::Down)) => "down",
            Some(SharedRefusal::Store(StoreError::Timeout)) => "timeout",
            Some(SharedRefusal::Store(StoreError::Failed(_))) => "failed",
        };
        self.store_failures.get_or_create(&[("kind", kind)]).inc();
    }

    pub(crate) fn set_store_up(&self, is_up: bool) {
        self.store_up.set(i64::from(is_up));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn open_metrics_is_sent_to_those_who_prefer_it() {
        let rows = [
            ("", MetricsFormat::Text),
            ("*/*", MetricsFormat::Text),
            ("text/plain;version=0.0.4", MetricsFormat::Text),
            ("application/openmetrics-text", MetricsFormat::OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                MetricsFormat::OpenMetrics,
            ),
            (
                "text/plain, Application/OpenMetrics-Text; q=0.5",
                MetricsFormat::Text,
            ),
            ("application/openmetrics-text;q=0", MetricsFormat::Text),
            (
                "application/openmetrics-text;q=x",
                MetricsFormat::OpenMetrics,
            ),
        ];
        for (accept, format) in rows {
            let accept = HeaderValue::from_static(accept);
            let headers = HeaderMap::from_iter([(ACCEPT, accept)]);
            assert_eq!(MetricsFormat::accepted(&headers), format, "{headers:?}");
        }
        assert_eq!(
            MetricsFormat::accepted(&HeaderMap::new()),
            MetricsFormat::Text
        );
    }
}
