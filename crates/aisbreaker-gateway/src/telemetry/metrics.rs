//! The metrics of a gateway, in the OpenMetrics text format.
//!
//! Labels have few values, and nothing in them comes from a request.

use std::time::Duration;

use aisbreaker_quota::shared::{SharedRefusal, StoreError};
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// The media type of the text format (OpenMetrics 1.0).
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The histogram buckets of the quota store in seconds, from a nearby store to the longest sensible
/// deadline.
const STORE_SECONDS: [f64; 10] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1,
];

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// All metrics of a gateway.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    tracked: Gauge,
    pub(crate) quotas: QuotaMetrics,
    revoked: Gauge,
    pub(crate) revocations: RevocationMetrics,
    pub(crate) reloads: ReloadMetrics,
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

impl Metrics {
    pub(crate) fn new(has_store: bool) -> Self {
        let mut registry = Registry::with_prefix("aisbreaker");
        let quotas = QuotaMetrics {
            decisions: Family::default(),
            store_up: Gauge::default(),
            store_failures: Family::default(),
            store_seconds: Histogram::new(STORE_SECONDS),
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
        let reloads = ReloadMetrics::register(&mut registry);
        Self {
            registry,
            tracked,
            quotas,
            revoked,
            revocations,
            reloads,
        }
    }

    /// Encodes all metrics, with these numbers of counters in memory and of revoked keys.
    pub(crate) fn text(&self, tracked: usize, revoked: usize) -> String {
        self.tracked.set(i64::try_from(tracked).unwrap_or(i64::MAX));
        self.revoked.set(i64::try_from(revoked).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _written = text::encode(&mut text, &self.registry);
        text
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
        let by = match by {
            CountedBy::Memory => "memory",
            CountedBy::Store => "store",
            CountedBy::Share => "share",
            CountedBy::Nobody => "nobody",
        };
        let outcome = if is_admitted { "admitted" } else { "refused" };
        self.decisions
            .get_or_create(&[("counted_by", by), ("outcome", outcome)])
            .inc();
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
