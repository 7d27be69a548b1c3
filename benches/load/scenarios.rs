//! What is measured, each part by itself: with it, what the report tells of it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use aisbreaker_benches::provider::Answers;
use serde::{Deserialize, Serialize};

use crate::{
    closed::{Loop, Number},
    measure::{Closed, Comparison, eprint, open},
    target::{Setup, Target, behind_a_proxy, dummies, of_client},
};

/// How long and how often everything is measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) server: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) soak_calls: u64,
}

/// What came of one part.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Outcome {
    pub(crate) comparisons: Vec<Comparison>,
    /// Megabytes of ours after so many clients, or calls.
    pub(crate) memory: Vec<(f64, f64)>,
    /// Bytes per open stream: ours, and the floor.
    pub(crate) bytes_per_stream: Option<(f64, f64)>,
}

/// A part, its name, and how it is measured.
pub(crate) type Part = (&'static str, fn(&Plan) -> Outcome);

/// All of them, in the order of the report.
pub(crate) const ALL: [Part; 10] = [
    ("json", json),
    ("streams", streams),
    ("first-byte", first_byte),
    ("steady", steady),
    ("busy", busy),
    ("dummy", dummy),
    ("connections", connections),
    ("open-streams", open_streams),
    ("clients", clients),
    ("soak", soak),
];

/// Calls that may be under way, however many connections there are.
const MOST_UNDER_WAY: usize = 1_000;

const JSON: Answers = Answers {
    chunks: 0,
    pause_millis: 0,
    at_once: false,
    by_itself: false,
};

fn compared(name: &str, plan: &Plan, answers: Answers, closed: Closed) -> Comparison {
    let setup = Setup::start(&plan.server, answers);
    Comparison::measure(name, (&setup.ours, &setup.floor), plan.rounds, |target| {
        closed.run(target, Some(&setup.provider))
    })
}

fn of(comparisons: impl IntoIterator<Item = Comparison>) -> Outcome {
    Outcome {
        comparisons: comparisons.into_iter().collect(),
        ..Outcome::default()
    }
}

fn json(plan: &Plan) -> Outcome {
    of([compared("JSON", plan, JSON, Closed::of(64, plan.time))])
}

fn streams(plan: &Plan) -> Outcome {
    let burst = Answers {
        chunks: 100,
        pause_millis: 0,
        at_once: false,
        by_itself: false,
    };
    let block = Answers {
        at_once: true,
        ..burst
    };
    let spaced = Answers {
        pause_millis: 10,
        ..burst
    };
    let chunks = Closed {
        counts_chunks: true,
        ..Closed::of(64, plan.time * 2)
    };
    of([
        compared(
            "burst, a write for each chunk",
            plan,
            burst,
            Closed::of(16, plan.time),
        ),
        compared("burst, one write", plan, block, Closed::of(16, plan.time)),
        compared("10 ms apart", plan, spaced, chunks),
    ])
}

fn first_byte(plan: &Plan) -> Outcome {
    let answers = Answers {
        chunks: 2,
        pause_millis: 5,
        at_once: false,
        by_itself: false,
    };
    of([compared(
        "first byte",
        plan,
        answers,
        Closed::of(1, plan.time),
    )])
}

fn steady(plan: &Plan) -> Outcome {
    let setup = Setup::start(&plan.server, JSON);
    let time = plan.time * 2;
    let targets = (&setup.ours, &setup.floor);
    of([Comparison::measure(
        "1000 per second",
        targets,
        plan.rounds,
        |target| open(target, 1_000.0, time),
    )])
}

/// At 70 % of what the slower of both does at most.
fn busy(plan: &Plan) -> Outcome {
    let setup = Setup::start(&plan.server, JSON);
    let closed = Closed::of(64, plan.time);
    let most = |target: &Target| closed.run(target, None).0.per_second;
    let rate = (0.7 * most(&setup.ours).min(most(&setup.floor))).round();
    let (targets, time) = ((&setup.ours, &setup.floor), plan.time * 2);
    let name = format!("{rate} per second");
    of([Comparison::measure(name, targets, plan.rounds, |target| {
        open(target, rate, time)
    })])
}

fn dummy(plan: &Plan) -> Outcome {
    let (ours, constant) = dummies(&plan.server);
    let closed = Closed::of(64, plan.time);
    of([Comparison::measure(
        "chat:dummy",
        (&ours, &constant),
        plan.rounds,
        |target| closed.run(target, None),
    )])
}

fn connections(plan: &Plan) -> Outcome {
    of([1, 10, 100, 1_000, 10_000].map(|connections| {
        let most_under_way = MOST_UNDER_WAY.min(connections);
        let closed = Closed {
            most_under_way,
            ..Closed::of(connections, plan.time)
        };
        compared(&connections.to_string(), plan, JSON, closed)
    }))
}

/// The more streams, the farther apart are the chunks of each, so that up to 5000 a second are to
/// be passed on.
fn open_streams(plan: &Plan) -> Outcome {
    let mut outcome = Outcome::default();
    for streams in [1u32, 50, 500, 5_000] {
        let answers = Answers {
            chunks: 1_000,
            pause_millis: u64::from(streams / 5).max(10),
            at_once: false,
            by_itself: false,
        };
        let connections = usize::try_from(streams).expect("it is not much");
        let closed = Closed {
            counts_chunks: true,
            ..Closed::of(connections, plan.time * 2)
        };
        let setup = Setup::start(&plan.server, answers);
        let idle = [&setup.ours, &setup.floor].map(|target| target.process.resident_bytes());
        let targets = (&setup.ours, &setup.floor);
        let comparison = Comparison::measure(streams.to_string(), targets, plan.rounds, |target| {
            closed.run(target, Some(&setup.provider))
        });
        let per_stream = |megabytes: f64, idle: f64| (megabytes * 1e6 - idle) / f64::from(streams);
        let [ours, floor] = [
            comparison.ours(|s| s.resident),
            comparison.other(|s| s.resident),
        ];
        outcome.bytes_per_stream = Some((
            per_stream(ours.median, idle[0]),
            per_stream(floor.median, idle[1]),
        ));
        outcome.comparisons.push(comparison);
    }
    outcome
}

/// Memory after a call of each of up to a million clients.
fn clients(plan: &Plan) -> Outcome {
    const STEP: u64 = 100_000;
    let target = behind_a_proxy(&plan.server);
    memory("clients", &target, Some(of_client), STEP, 10)
}

/// Memory while very many calls go through.
fn soak(plan: &Plan) -> Outcome {
    let setup = Setup::start(&plan.server, JSON);
    memory("calls", &setup.ours, None, plan.soak_calls / 40, 40)
}

fn memory(what: &str, target: &Target, number: Option<Number>, step: u64, steps: u32) -> Outcome {
    let megabytes = || target.process.resident_bytes() / 1e6;
    let mut memory = vec![(0.0, megabytes())];
    for turn in 0..steps {
        let run = Loop {
            address: target.process.address(),
            request: &target.request,
            number,
            first_number: step * u64::from(turn),
            connections: 64,
            most_under_way: 64,
            warm_up: Duration::ZERO,
            time: Duration::from_secs(3_600),
            most_calls: step,
        };
        let _outcome = run.run(|| {});
        let done =
            f64::from(turn + 1) * f64::from(u32::try_from(step).expect("a step is not much"));
        memory.push((done, megabytes()));
        eprint(&format!("{done} {what}: {:.1} MB\n", megabytes()));
    }
    Outcome {
        memory,
        ..Outcome::default()
    }
}

/// Where what came of a part is kept between runs.
pub(crate) fn file(directory: &Path, part: &str) -> PathBuf {
    directory.join(format!("{part}.json"))
}
