//! Comparisons: the server and an anchor, measured alternately.

use std::time::Duration;

use aisbreaker_benches::process::{Process, cpu_seconds};
use serde::{Deserialize, Serialize};

use crate::{
    closed_loop::{ClosedLoop, LoopResult},
    latency::{Latencies, Summary},
    open_loop::OpenLoop,
    target::Target,
};

/// What was measured of one server in one round.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Sample {
    /// Responses, or chunks of streams.
    pub(crate) operations: f64,
    pub(crate) per_second: f64,
    /// Microseconds of CPU time of the server per operation.
    pub(crate) cpu: f64,
    /// The same for the provider, and for this program.
    pub(crate) provider_cpu: f64,
    pub(crate) load_cpu: f64,
    /// Milliseconds until a response was complete, until its body began, and from the write to the
    /// read of a chunk.
    pub(crate) answer: Summary,
    pub(crate) first_byte: Summary,
    pub(crate) chunk: Summary,
    /// Milliseconds by which requests of an open loop were sent late.
    pub(crate) lateness: Summary,
    /// Resident megabytes of the server at the end.
    pub(crate) resident: f64,
}

/// The samples of both in all rounds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Comparison {
    pub(crate) name: String,
    pub(crate) rounds: Vec<Pair>,
    /// The distributions of all response times: quantiles, and the milliseconds at them.
    pub(crate) ours: Vec<(f64, f64)>,
    pub(crate) other: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Pair {
    pub(crate) ours: Sample,
    pub(crate) other: Sample,
}

/// Picks a figure of a sample.
pub(crate) type Figure = fn(&Sample) -> f64;

/// The median, least and most of a figure over all rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        Self {
            median: at(sorted.len() / 2),
            least: at(0),
            most: at(sorted.len().saturating_sub(1)),
        }
    }

    /// Shows the median, with the least and the most in brackets.
    pub(crate) fn with_digits(self, digits: usize) -> String {
        let Self {
            median,
            least,
            most,
        } = self;
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

impl Comparison {
    /// Measures both in each round, in alternating order, after a round that does not count.
    pub(crate) fn measure(
        name: impl Into<String>,
        (ours, other): (&Target, &Target),
        rounds: usize,
        mut measured: impl FnMut(&Target) -> (Sample, Latencies),
    ) -> Self {
        let name = name.into();
        progress(&format!("{name}: "));
        let (_, _) = (measured(other), measured(ours));
        let mut all = (Latencies::default(), Latencies::default());
        let mut pairs = Vec::new();
        for round in 0..rounds {
            let (ours, other) = if round % 2 == 0 {
                let ours = measured(ours);
                (ours, measured(other))
            } else {
                let other = measured(other);
                (measured(ours), other)
            };
            all.0.add(&ours.1);
            all.1.add(&other.1);
            pairs.push(Pair {
                ours: ours.0,
                other: other.0,
            });
            progress(".");
        }
        let comparison = Self {
            name,
            rounds: pairs,
            ours: all.0.points(),
            other: all.1.points(),
        };
        progress(&format!(
            " CPU {:.2} µs of {:.2}, ratio {:.3}; per second {:.0} of {:.0}\n",
            comparison.ours(|sample| sample.cpu).median,
            comparison.other(|sample| sample.cpu).median,
            comparison.ratio(|sample| sample.cpu).median,
            comparison.ours(|sample| sample.per_second).median,
            comparison.other(|sample| sample.per_second).median,
        ));
        comparison
    }

    pub(crate) fn ours(&self, figure: Figure) -> Spread {
        Spread::of(self.rounds.iter().map(|pair| figure(&pair.ours)))
    }

    pub(crate) fn other(&self, figure: Figure) -> Spread {
        Spread::of(self.rounds.iter().map(|pair| figure(&pair.other)))
    }

    pub(crate) fn ratio(&self, figure: Figure) -> Spread {
        Spread::of(
            self.rounds
                .iter()
                .map(|pair| figure(&pair.ours) / figure(&pair.other)),
        )
    }

    pub(crate) fn difference(&self, figure: Figure) -> Spread {
        Spread::of(
            self.rounds
                .iter()
                .map(|pair| figure(&pair.ours) - figure(&pair.other)),
        )
    }
}

/// Prints progress to standard error.
#[expect(clippy::print_stderr, reason = "progress is for the terminal")]
pub(crate) fn progress(text: &str) {
    eprint!("{text}");
}

/// How a closed loop is run in each round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedRun {
    pub(crate) connections: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) time: Duration,
    /// Whether chunks of streams are counted instead of responses.
    pub(crate) counts_chunks: bool,
}

impl ClosedRun {
    /// Creates a run with this many connections, all of them busy.
    pub(crate) fn new(connections: usize, time: Duration) -> Self {
        Self {
            connections,
            max_in_flight: connections,
            time,
            counts_chunks: false,
        }
    }

    /// Runs the loop once. Returns the latencies of all responses, too.
    pub(crate) fn run(self, target: &Target, provider: Option<&Process>) -> (Sample, Latencies) {
        let warm_up = Duration::from_millis(200).max(self.time / 5);
        let process = &target.process;
        let spent = || {
            [
                process.cpu_seconds(),
                provider.map_or(0.0, Process::cpu_seconds),
                cpu_seconds(std::process::id()),
            ]
        };
        let mut observed = Vec::with_capacity(2);
        let mut resident = 0.0;
        let closed_loop = ClosedLoop {
            address: process.address(),
            request: &target.request,
            write_number: None,
            first_number: 0,
            connections: self.connections,
            max_in_flight: self.max_in_flight,
            warm_up,
            time: self.time,
            max_calls: u64::MAX,
        };
        let result = closed_loop.run(|| {
            observed.push(spent());
            resident = process.resident_bytes() / 1e6;
        });
        let operations = if self.counts_chunks {
            result.chunks
        } else {
            result.answers
        };
        let sample = sample(&result, operations, [observed[0], observed[1]], resident);
        (sample, result.latencies)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a run has far fewer than 2^52 operations"
)]
fn sample(result: &LoopResult, operations: u64, cpu: [[f64; 3]; 2], resident: f64) -> Sample {
    let operations = operations as f64;
    let per_operation = |column: usize| (cpu[1][column] - cpu[0][column]) * 1e6 / operations;
    Sample {
        operations,
        per_second: operations / result.seconds,
        cpu: per_operation(0),
        provider_cpu: per_operation(1),
        load_cpu: per_operation(2),
        answer: result.latencies.summary(),
        first_byte: result.first_bytes.summary(),
        chunk: result.chunk_delays.summary(),
        lateness: Summary::default(),
        resident,
    }
}

/// Runs an open loop once. Returns the latencies of all responses, too.
pub(crate) fn run_open_loop(target: &Target, rate: f64, time: Duration) -> (Sample, Latencies) {
    let process = &target.process;
    let before = process.cpu_seconds();
    let open_loop = OpenLoop {
        address: process.address(),
        request: &target.request,
        rate,
        connections: 64,
        warm_up: time / 5,
        time,
    };
    let (latencies, lateness) = open_loop.run();
    let operations = rate * time.as_secs_f64();
    let sample = Sample {
        operations,
        per_second: rate,
        // The requests of the warm-up cost as much.
        cpu: (process.cpu_seconds() - before) * 1e6 / (operations * 1.2),
        answer: latencies.summary(),
        lateness: lateness.summary(),
        resident: process.resident_bytes() / 1e6,
        ..Sample::default()
    };
    (sample, latencies)
}
