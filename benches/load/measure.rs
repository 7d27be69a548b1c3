//! Ours and another, measured in turns.

use std::time::Duration;

use aisbreaker_benches::process::{Process, cpu_seconds};
use serde::{Deserialize, Serialize};

use crate::{
    closed::{Loop, Outcome},
    latency::{Latencies, Summary},
    open::Schedule,
    target::Target,
};

/// What was measured of one server in one round.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Sample {
    /// Answers, or chunks of streams.
    pub(crate) operations: f64,
    pub(crate) per_second: f64,
    /// Microseconds of CPU time of the server per operation.
    pub(crate) cpu: f64,
    /// The same of the provider, and of this program.
    pub(crate) provider_cpu: f64,
    pub(crate) load_cpu: f64,
    /// Milliseconds until an answer was whole, until its body began, and of chunks on their way.
    pub(crate) answer: Summary,
    pub(crate) first_byte: Summary,
    pub(crate) chunk: Summary,
    /// Milliseconds that requests of an open loop were sent late.
    pub(crate) lateness: Summary,
    /// Megabytes of the server at the end.
    pub(crate) resident: f64,
}

/// Both in all rounds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Comparison {
    pub(crate) name: String,
    pub(crate) rounds: Vec<Pair>,
    /// The distributions of all answer times.
    pub(crate) ours: Vec<(f64, f64)>,
    pub(crate) other: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Pair {
    pub(crate) ours: Sample,
    pub(crate) other: Sample,
}

/// A figure of a sample.
pub(crate) type Figure = fn(&Sample) -> f64;

/// A median, and the least and the most of all rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Middle {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Middle {
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
}

impl Comparison {
    /// Measures both in turns, in changing order, after a round that does not count.
    pub(crate) fn measure(
        name: impl Into<String>,
        (ours, other): (&Target, &Target),
        rounds: usize,
        mut measured: impl FnMut(&Target) -> (Sample, Latencies),
    ) -> Self {
        let name = name.into();
        eprint(&format!("{name}: "));
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
            eprint(".");
        }
        let comparison = Self {
            name,
            rounds: pairs,
            ours: all.0.points(),
            other: all.1.points(),
        };
        eprint(&format!(
            " CPU {:.2} µs of {:.2}, ratio {:.3}; per second {:.0} of {:.0}\n",
            comparison.ours(|sample| sample.cpu).median,
            comparison.other(|sample| sample.cpu).median,
            comparison.ratio(|sample| sample.cpu).median,
            comparison.ours(|sample| sample.per_second).median,
            comparison.other(|sample| sample.per_second).median,
        ));
        comparison
    }

    pub(crate) fn ours(&self, figure: Figure) -> Middle {
        Middle::of(self.rounds.iter().map(|pair| figure(&pair.ours)))
    }

    pub(crate) fn other(&self, figure: Figure) -> Middle {
        Middle::of(self.rounds.iter().map(|pair| figure(&pair.other)))
    }

    pub(crate) fn ratio(&self, figure: Figure) -> Middle {
        Middle::of(
            self.rounds
                .iter()
                .map(|pair| figure(&pair.ours) / figure(&pair.other)),
        )
    }

    pub(crate) fn difference(&self, figure: Figure) -> Middle {
        Middle::of(
            self.rounds
                .iter()
                .map(|pair| figure(&pair.ours) - figure(&pair.other)),
        )
    }
}

/// Tells whoever waits how far it is.
#[expect(clippy::print_stderr, reason = "progress is for whoever waits")]
pub(crate) fn eprint(text: &str) {
    eprint!("{text}");
}

/// How a closed loop is run in each round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    pub(crate) connections: usize,
    pub(crate) most_under_way: usize,
    pub(crate) time: Duration,
    /// Chunks of streams count instead of whole answers.
    pub(crate) counts_chunks: bool,
}

impl Closed {
    /// So many connections, all of them busy.
    pub(crate) fn of(connections: usize, time: Duration) -> Self {
        Self {
            connections,
            most_under_way: connections,
            time,
            counts_chunks: false,
        }
    }

    /// Runs it once; with the sample, the times of all answers.
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
        let mut looks = Vec::with_capacity(2);
        let mut resident = 0.0;
        let run = Loop {
            address: process.address(),
            request: &target.request,
            number: None,
            first_number: 0,
            connections: self.connections,
            most_under_way: self.most_under_way,
            warm_up,
            time: self.time,
            most_calls: u64::MAX,
        };
        let outcome = run.run(|| {
            looks.push(spent());
            resident = process.resident_bytes() / 1e6;
        });
        let operations = if self.counts_chunks {
            outcome.chunks
        } else {
            outcome.answers
        };
        (
            sample(&outcome, operations, [looks[0], looks[1]], resident),
            outcome.latencies,
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts that far")]
fn sample(outcome: &Outcome, operations: u64, looks: [[f64; 3]; 2], resident: f64) -> Sample {
    let operations = operations as f64;
    let per_operation = |column: usize| (looks[1][column] - looks[0][column]) * 1e6 / operations;
    Sample {
        operations,
        per_second: operations / outcome.seconds,
        cpu: per_operation(0),
        provider_cpu: per_operation(1),
        load_cpu: per_operation(2),
        answer: outcome.latencies.summary(),
        first_byte: outcome.first_bytes.summary(),
        chunk: outcome.chunk_delays.summary(),
        lateness: Summary::default(),
        resident,
    }
}

/// Runs an open loop once.
pub(crate) fn open(target: &Target, rate: f64, time: Duration) -> (Sample, Latencies) {
    let process = &target.process;
    let before = process.cpu_seconds();
    let schedule = Schedule {
        address: process.address(),
        request: &target.request,
        rate,
        connections: 64,
        warm_up: time / 5,
        time,
    };
    let (latencies, lateness) = schedule.run();
    let operations = rate * time.as_secs_f64();
    let sample = Sample {
        operations,
        per_second: rate,
        // Those before it was measured cost as much.
        cpu: (process.cpu_seconds() - before) * 1e6 / (operations * 1.2),
        answer: latencies.summary(),
        lateness: lateness.summary(),
        resident: process.resident_bytes() / 1e6,
        ..Sample::default()
    };
    (sample, latencies)
}
