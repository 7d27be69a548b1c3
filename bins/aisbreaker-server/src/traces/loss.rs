//! Spans that do not reach the collector: counted, and reported once in a while.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use aisbreaker_gateway::Clock;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};

/// The shortest time between two warnings.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Counts lost spans, and warns of them at most once a minute.
#[derive(Debug)]
pub(super) struct LossReport<C> {
    clock: C,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many were lost since the last warning.
    lost: usize,
    warned: Option<Instant>,
}

impl<C: Clock> LossReport<C> {
    pub(super) fn new(clock: C) -> Self {
        Self {
            clock,
            state: Mutex::default(),
        }
    }

    /// Notes that spans were lost.
    pub(super) fn add(&self, spans: usize, reason: &dyn fmt::Display) {
        if let Some(lost) = self.count(spans) {
            tracing::warn!(lost, %reason, "spans were lost on the way to the collector of traces");
        }
    }

    /// Counts lost spans. Returns how many a warning that is due reports.
    fn count(&self, spans: usize) -> Option<usize> {
        let now = self.clock.monotonic();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lost = state.lost.saturating_add(spans);
        let is_due = match state.warned {
            Some(warned) => now.saturating_duration_since(warned) >= WARNING_INTERVAL,
            None => true,
        };
        if !is_due {
            return None;
        }
        state.warned = Some(now);
        Some(std::mem::take(&mut state.lost))
    }
}

/// An exporter that reports spans which the collector did not accept, and removes all that it was
/// given from the count of the queue.
#[derive(Debug)]
pub(super) struct ReportingExporter<E, C> {
    exporter: E,
    loss: Arc<LossReport<C>>,
    queue: QueueLength,
}

impl<E, C> ReportingExporter<E, C> {
    pub(super) fn new(exporter: E, loss: Arc<LossReport<C>>, queue: QueueLength) -> Self {
        Self {
            exporter,
            loss,
            queue,
        }
    }
}

impl<E: SpanExporter, C: Clock> SpanExporter for ReportingExporter<E, C> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let outcome = self.exporter.export(batch).await;
        self.queue.remove(count);
        if let Err(error) = &outcome {
            self.loss.add(count, error);
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// How many spans wait for the collector or are on the way to it; clones share the number.
///
/// The SDK's queue drops spans without a word when it is full, so it is never filled.
#[derive(Clone, Debug)]
pub(super) struct QueueLength {
    length: Arc<AtomicUsize>,
    max: usize,
}

impl QueueLength {
    pub(super) fn new(max: usize) -> Self {
        Self {
            length: Arc::default(),
            max,
        }
    }

    /// Makes room for one more span, unless the queue is full.
    pub(super) fn add(&self) -> bool {
        let added = self
            .length
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |length| {
                (length < self.max).then_some(length + 1)
            });
        added.is_ok()
    }

    /// Notes that spans have left the queue.
    pub(super) fn remove(&self, count: usize) {
        self.length.fetch_sub(count, Ordering::Relaxed);
    }

    pub(super) fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    /// A clock that advances only by hand.
    #[derive(Debug)]
    struct ManualClock(Mutex<Instant>);

    impl Clock for ManualClock {
        fn wall(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }

        fn monotonic(&self) -> Instant {
            *self.0.lock().unwrap()
        }
    }

    #[test]
    fn warns_of_the_first_loss_and_then_once_a_minute_of_all_since() {
        #[expect(
            clippy::disallowed_methods,
            reason = "an instant can only be had from the system"
        )]
        let report = LossReport::new(ManualClock(Mutex::new(Instant::now())));

        assert_eq!(report.count(3), Some(3));
        assert_eq!(report.count(4), None);
        *report.clock.0.lock().unwrap() += WARNING_INTERVAL;
        assert_eq!(report.count(5), Some(9));
        assert_eq!(report.count(1), None);
    }
}
