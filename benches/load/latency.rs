//! Distributions of times.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Times in nanoseconds, to three significant digits.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new(3).expect("three digits are few enough"))
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, time: Duration) {
        self.0
            .record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
            .expect("it grows");
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("it grows");
    }

    /// Returns the milliseconds at this quantile.
    pub(crate) fn millis_at(&self, quantile: f64) -> f64 {
        nanoseconds(self.0.value_at_quantile(quantile)) / 1e6
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary {
            p50: self.millis_at(0.5),
            p90: self.millis_at(0.9),
            p99: self.millis_at(0.99),
            p999: self.millis_at(0.999),
            most: self.millis_at(1.0),
        }
    }

    /// Returns points of the distribution: a quantile, and the milliseconds at it.
    pub(crate) fn points(&self) -> Vec<(f64, f64)> {
        let quantiles = (0..=40).map(|step| 1.0 - 10f64.powf(-f64::from(step) / 10.0));
        quantiles
            .map(|quantile| (quantile, self.millis_at(quantile)))
            .collect()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a time of days would still be exact"
)]
fn nanoseconds(count: u64) -> f64 {
    count as f64
}

/// The quantiles of a distribution, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Summary {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) most: f64,
}
