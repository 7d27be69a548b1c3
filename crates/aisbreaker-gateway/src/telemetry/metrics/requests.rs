//! Metrics of requests, counted when they are over.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, histogram::Histogram},
};

use super::buckets;
use crate::{failure::ErrorType, route::Route};

/// The statuses that are counted by themselves. A caller may name a provider that answers with any
/// other, so all those are one.
const STATUSES: [u16; 28] = [
    200, 201, 202, 204, 304, 400, 401, 402, 403, 404, 405, 408, 409, 413, 415, 421, 422, 426, 429,
    431, 499, 500, 501, 502, 503, 504, 524, 529,
];
const OTHER_STATUS: &str = "other";
/// The routes, and one place for paths that have none.
const ROUTES: usize = Route::COUNT + 1;
const UNKNOWN_ROUTE: &str = "unknown";

/// The times before the end of a key that are told apart, each from the one before it on.
const EXPIRY: [(Duration, &str); 3] = [
    (Duration::from_secs(60 * 60), "1h"),
    (Duration::from_secs(24 * 60 * 60), "1d"),
    (Duration::from_secs(7 * 24 * 60 * 60), "7d"),
];

/// A request that is over.
pub(crate) struct CountedRequest {
    pub(crate) route: Option<Route>,
    pub(crate) status: u16,
    pub(crate) error: Option<ErrorType>,
    pub(crate) duration: Duration,
    /// The part of it that was spent neither on the client's content nor on providers. `None`: no
    /// provider was called.
    pub(crate) overhead: Option<Duration>,
    /// What became of a request for a key.
    pub(crate) minting: Option<MintOutcome>,
    /// The time that was left to a key that ends soon.
    pub(crate) key_left: Option<Duration>,
}

/// What became of a request for a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MintOutcome {
    Minted,
    /// A key was exchanged for a narrower one.
    Exchanged,
    Refused,
}

impl MintOutcome {
    const ALL: [(Self, &str); 3] = [
        (Self::Minted, "minted"),
        (Self::Exchanged, "exchanged"),
        (Self::Refused, "refused"),
    ];
}

/// The metrics of requests.
pub(crate) struct RequestMetrics {
    routes: [OnceLock<Box<RouteMetrics>>; ROUTES],
    overhead: Histogram,
    rejected: [AtomicU64; ErrorType::ALL.len()],
    minted: [AtomicU64; MintOutcome::ALL.len()],
    expiring: [AtomicU64; EXPIRY.len()],
}

/// The metrics of one route.
struct RouteMetrics {
    template: &'static str,
    statuses: [AtomicU64; STATUSES.len()],
    other_status: AtomicU64,
    duration: Histogram,
}

impl RequestMetrics {
    pub(super) fn new() -> Self {
        Self {
            routes: [const { OnceLock::new() }; ROUTES],
            overhead: Histogram::new(buckets::OVERHEAD),
            rejected: [const { AtomicU64::new(0) }; ErrorType::ALL.len()],
            minted: [const { AtomicU64::new(0) }; MintOutcome::ALL.len()],
            expiring: [const { AtomicU64::new(0) }; EXPIRY.len()],
        }
    }

    pub(crate) fn count(&self, request: &CountedRequest) {
        let index = request.route.map_or(Route::COUNT, Route::index);
        if let Some(place) = self.routes.get(index) {
            let label = request.route.map_or(UNKNOWN_ROUTE, Route::label);
            let route = place.get_or_init(|| Box::new(RouteMetrics::new(label)));
            route.count(request.status, request.duration);
        }
        if let Some(overhead) = request.overhead {
            self.overhead.observe(overhead.as_secs_f64());
        }
        if let Some(error) = request.error {
            self.count_rejection(error);
        }
        if let Some(outcome) = request.minting {
            add_one(self.minted.get(outcome as usize));
        }
        if let Some(left) = request.key_left {
            let within = EXPIRY.iter().position(|(limit, _)| left < *limit);
            add_one(within.and_then(|within| self.expiring.get(within)));
        }
    }

    /// Counts what this server refused. Anything else that went wrong is counted elsewhere.
    pub(crate) fn count_rejection(&self, error: ErrorType) {
        if error.is_refusal() {
            add_one(self.rejected.get(error as usize));
        }
    }

    fn used_routes(&self) -> impl Iterator<Item = &RouteMetrics> {
        self.routes.iter().filter_map(|route| Some(&**route.get()?))
    }

    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests that are over, by their route and the status of the response.";
        let mut metric = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for route in self.used_routes() {
            for (status, count) in STATUSES.iter().zip(&route.statuses) {
                if let Some(count) = non_zero(count) {
                    let labels = [("route", route.template), ("status", &*status.to_string())];
                    count.encode(metric.encode_family(&labels)?)?;
                }
            }
            if let Some(count) = non_zero(&route.other_status) {
                let labels = [("route", route.template), ("status", OTHER_STATUS)];
                count.encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = (
            "request_duration_seconds",
            "Time from the head of a request to the end of its response.",
        );
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for route in self.used_routes() {
            let labels = [("route", route.template)];
            route.duration.encode(metric.encode_family(&labels)?)?;
        }
        let (name, help) = (
            "overhead_seconds",
            "Time of a request that was spent neither on receiving its content nor on providers.",
        );
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        self.overhead.encode(metric)
    }
}

impl RouteMetrics {
    fn new(template: &'static str) -> Self {
        Self {
            template,
            statuses: [const { AtomicU64::new(0) }; STATUSES.len()],
            other_status: AtomicU64::new(0),
            duration: Histogram::new(buckets::DURATION),
        }
    }

    fn count(&self, status: u16, duration: Duration) {
        let known = STATUSES
            .binary_search(&status)
            .ok()
            .and_then(|place| self.statuses.get(place));
        add_one(Some(known.unwrap_or(&self.other_status)));
        self.duration.observe(duration.as_secs_f64());
    }
}

impl Collector for RequestMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_requests(&mut encoder)?;
        self.encode_durations(&mut encoder)?;
        let reasons = ErrorType::ALL.iter().zip(&self.rejected);
        let reasons = reasons.filter(|(error, _)| error.is_refusal());
        encode_counters(
            &mut encoder,
            (
                "rejected",
                "Requests and connections that this server refused.",
            ),
            "reason",
            reasons.map(|(error, count)| (error.as_str(), count)),
        )?;
        let outcomes = MintOutcome::ALL.iter().zip(&self.minted);
        encode_counters(
            &mut encoder,
            ("keys_minted", "Requests for a key."),
            "outcome",
            outcomes.map(|((_, word), count)| (*word, count)),
        )?;
        let times = EXPIRY.iter().zip(&self.expiring);
        let help = "Requests whose key ends within this time, and not within a shorter one.";
        encode_counters(
            &mut encoder,
            ("requests_with_expiring_key", help),
            "within",
            times.map(|((_, word), count)| (*word, count)),
        )
    }
}

impl fmt::Debug for RequestMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestMetrics").finish_non_exhaustive()
    }
}

fn encode_counters<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    label: &str,
    counts: impl Iterator<Item = (&'a str, &'a AtomicU64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in counts {
        let count = ConstCounter::new(count.load(Ordering::Relaxed));
        count.encode(metric.encode_family(&[(label, value)])?)?;
    }
    Ok(())
}

pub(super) fn add_one(count: Option<&AtomicU64>) {
    if let Some(count) = count {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) fn non_zero(count: &AtomicU64) -> Option<ConstCounter<u64>> {
    match count.load(Ordering::Relaxed) {
        0 => None,
        count => Some(ConstCounter::new(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_sorted_and_words_stand_at_the_place_of_their_variant() {
        assert!(STATUSES.is_sorted());
        for (place, error) in ErrorType::ALL.iter().enumerate() {
            assert_eq!(*error as usize, place);
        }
        for (place, (outcome, _)) in MintOutcome::ALL.iter().enumerate() {
            assert_eq!(*outcome as usize, place);
        }
    }
}
