//! The parts of the measurement. The report has a section for each.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use aisbreaker_benches::provider::ReplyOptions;
use serde::{Deserialize, Serialize};

use crate::{
    closed_loop::{ClosedLoop, WriteNumber},
    goals::Measured,
    machine::Machine,
    measure::{ClosedRun, Comparison, Pair, Sample, progress, run_open_loop},
    split::Split,
    target::{self, Setup, Target, behind_proxy, dummy_and_constant, set_client},
};

/// What is measured, how long and how often.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) server: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) soak_calls: u64,
}

/// The results of one part.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct PartResult {
    pub(crate) comparisons: Vec<Comparison>,
    /// Numbers of clients or calls, and the resident megabytes of the server after them.
    pub(crate) memory: Vec<(f64, f64)>,
    /// Bytes per open stream: of the server, and of the bare proxy.
    pub(crate) bytes_per_stream: Option<(f64, f64)>,
    /// How the CPU time of a JSON call is split: that of the server, and of the bare proxy.
    #[serde(default)]
    pub(crate) split: Option<[Split; 2]>,
    /// Rows that the program `figures` has measured.
    pub(crate) figures: Vec<Measured>,
    /// When and where it was measured.
    pub(crate) machine: Machine,
}

/// The name of a part, and how it is measured.
pub(crate) type Part = (&'static str, fn(&Plan) -> PartResult);

/// All parts, in the order of the report.
pub(crate) const ALL: [Part; 13] = [
    ("idle", idle),
    ("json", json),
    ("split", split),
    ("streams", streams),
    ("first-byte", first_byte),
    ("steady", steady),
    ("busy", busy),
    ("dummy", dummy),
    ("process", process),
    ("connections", connections),
    ("open-streams", open_streams),
    ("clients", clients),
    ("soak", soak),
];

/// The part that another program measures, and that program.
pub(crate) const FIGURES: &str = "figures";

/// By how much longer the run is over which a process is sampled.
const SPLIT_TIMES: u32 = 5;

/// The most calls in flight, however many connections there are.
const MAX_IN_FLIGHT: usize = 1_000;

fn compare(name: &str, plan: &Plan, reply: ReplyOptions, closed: ClosedRun) -> Comparison {
    let setup = Setup::start(&plan.server, reply);
    Comparison::measure(
        name,
        (&setup.ours, &setup.bare_proxy),
        plan.rounds,
        |target| closed.run(target, Some(&setup.provider)),
    )
}

fn result(comparisons: impl IntoIterator<Item = Comparison>) -> PartResult {
    PartResult {
        comparisons: comparisons.into_iter().collect(),
        ..PartResult::default()
    }
}

/// Memory of processes that have started and got no request yet.
fn idle(plan: &Plan) -> PartResult {
    const SETTLED: Duration = Duration::from_millis(500);
    let provider = target::provider(ReplyOptions::default());
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let ours = target::server(&plan.server, &[]);
        let bare_proxy = target::bare_proxy(provider.address());
        std::thread::sleep(SETTLED);
        let [ours, other] = [ours, bare_proxy].map(|process| Sample {
            resident: process.resident_bytes() / 1e6,
            ..Sample::default()
        });
        rounds.push(Pair { ours, other });
    }
    let comparison = Comparison {
        name: "idle".to_owned(),
        rounds,
        ours: Vec::new(),
        other: Vec::new(),
    };
    let idle = comparison.ours(|sample| sample.resident).median;
    progress(&format!("idle: {idle:.1} MB\n"));
    result([comparison])
}

fn json(plan: &Plan) -> PartResult {
    result([compare(
        "JSON",
        plan,
        ReplyOptions::default(),
        ClosedRun::new(64, plan.time),
    )])
}

/// How a JSON call spends its time: one long run of each.
fn split(plan: &Plan) -> PartResult {
    let setup = Setup::start(&plan.server, ReplyOptions::default());
    let closed = ClosedRun::new(64, plan.time * SPLIT_TIMES);
    let measured = |name: &str, target: &Target| {
        progress(&format!("split, {name}: "));
        Split::measure(target, closed)
    };
    PartResult {
        split: Some([
            measured("aisbreaker", &setup.ours),
            measured("bare proxy", &setup.bare_proxy),
        ]),
        ..PartResult::default()
    }
}

fn streams(plan: &Plan) -> PartResult {
    let burst = ReplyOptions {
        chunks: 100,
        ..ReplyOptions::default()
    };
    let block = ReplyOptions {
        at_once: true,
        ..burst
    };
    let spaced = ReplyOptions {
        pause_millis: 10,
        ..burst
    };
    let chunks = ClosedRun {
        counts_chunks: true,
        ..ClosedRun::new(64, plan.time * 2)
    };
    result([
        compare(
            "burst, a write for each chunk",
            plan,
            burst,
            ClosedRun::new(16, plan.time),
        ),
        compare(
            "burst, one write",
            plan,
            block,
            ClosedRun::new(16, plan.time),
        ),
        compare("10 ms apart", plan, spaced, chunks),
    ])
}

fn first_byte(plan: &Plan) -> PartResult {
    let reply = ReplyOptions {
        chunks: 2,
        pause_millis: 5,
        ..ReplyOptions::default()
    };
    result([compare(
        "first byte",
        plan,
        reply,
        ClosedRun::new(1, plan.time),
    )])
}

fn steady(plan: &Plan) -> PartResult {
    let setup = Setup::start(&plan.server, ReplyOptions::default());
    let time = plan.time * 2;
    let targets = (&setup.ours, &setup.bare_proxy);
    result([Comparison::measure(
        "1000 per second",
        targets,
        plan.rounds,
        |target| run_open_loop(target, 1_000.0, time),
    )])
}

/// At 70 % of the highest rate of the slower one.
fn busy(plan: &Plan) -> PartResult {
    let setup = Setup::start(&plan.server, ReplyOptions::default());
    let closed = ClosedRun::new(64, plan.time);
    let most = |target: &Target| closed.run(target, None).0.per_second;
    let rate = (0.7 * most(&setup.ours).min(most(&setup.bare_proxy))).round();
    let (targets, time) = ((&setup.ours, &setup.bare_proxy), plan.time * 2);
    let name = format!("{rate} per second");
    result([Comparison::measure(name, targets, plan.rounds, |target| {
        run_open_loop(target, rate, time)
    })])
}

fn dummy(plan: &Plan) -> PartResult {
    let (ours, constant) = dummy_and_constant(&plan.server);
    let closed = ClosedRun::new(64, plan.time);
    result([Comparison::measure(
        "chat:dummy",
        (&ours, &constant),
        plan.rounds,
        |target| closed.run(target, None),
    )])
}

fn process(plan: &Plan) -> PartResult {
    let setup = Setup::for_process(&plan.server);
    let closed = ClosedRun::new(64, plan.time);
    let targets = (&setup.ours, &setup.bare_proxy);
    result([Comparison::measure(
        "process",
        targets,
        plan.rounds,
        |target| closed.run(target, Some(&setup.provider)),
    )])
}

fn connections(plan: &Plan) -> PartResult {
    result([1, 10, 100, 1_000, 10_000].map(|connections| {
        let max_in_flight = MAX_IN_FLIGHT.min(connections);
        let closed = ClosedRun {
            max_in_flight,
            ..ClosedRun::new(connections, plan.time)
        };
        compare(
            &connections.to_string(),
            plan,
            ReplyOptions::default(),
            closed,
        )
    }))
}

/// The more streams, the longer the pause between the chunks of each, so that up to 5000 chunks a
/// second are forwarded.
fn open_streams(plan: &Plan) -> PartResult {
    let mut outcome = PartResult::default();
    for streams in [1u32, 50, 500, 5_000] {
        let reply = ReplyOptions {
            chunks: 1_000,
            pause_millis: u64::from(streams / 5).max(10),
            ..ReplyOptions::default()
        };
        let connections = usize::try_from(streams).expect("it is small");
        let closed = ClosedRun {
            counts_chunks: true,
            ..ClosedRun::new(connections, plan.time * 2)
        };
        let setup = Setup::start(&plan.server, reply);
        let idle = [&setup.ours, &setup.bare_proxy].map(|target| target.process.resident_bytes());
        let targets = (&setup.ours, &setup.bare_proxy);
        let comparison = Comparison::measure(streams.to_string(), targets, plan.rounds, |target| {
            closed.run(target, Some(&setup.provider))
        });
        let per_stream = |megabytes: f64, idle: f64| (megabytes * 1e6 - idle) / f64::from(streams);
        let [ours, bare_proxy] = [
            comparison.ours(|s| s.resident),
            comparison.other(|s| s.resident),
        ];
        outcome.bytes_per_stream = Some((
            per_stream(ours.median, idle[0]),
            per_stream(bare_proxy.median, idle[1]),
        ));
        outcome.comparisons.push(comparison);
    }
    outcome
}

/// Memory after one call of each of up to a million clients.
fn clients(plan: &Plan) -> PartResult {
    const STEP: u64 = 100_000;
    let target = behind_proxy(&plan.server);
    memory("clients", &target, Some(set_client), STEP, 10)
}

/// Memory over very many calls.
fn soak(plan: &Plan) -> PartResult {
    let setup = Setup::start(&plan.server, ReplyOptions::default());
    memory("calls", &setup.ours, None, plan.soak_calls / 40, 40)
}

fn memory(
    what: &str,
    target: &Target,
    write_number: Option<WriteNumber>,
    step: u64,
    steps: u32,
) -> PartResult {
    let megabytes = || target.process.resident_bytes() / 1e6;
    let mut memory = vec![(0.0, megabytes())];
    for done_before in 0..steps {
        let closed_loop = ClosedLoop {
            address: target.process.address(),
            request: &target.request,
            write_number,
            first_number: step * u64::from(done_before),
            connections: 64,
            max_in_flight: 64,
            warm_up: Duration::ZERO,
            time: Duration::from_secs(3_600),
            max_calls: step,
        };
        let _result = closed_loop.run(|| {});
        let done =
            f64::from(done_before + 1) * f64::from(u32::try_from(step).expect("a step is small"));
        memory.push((done, megabytes()));
        progress(&format!("{done} {what}: {:.1} MB\n", megabytes()));
    }
    PartResult {
        memory,
        ..PartResult::default()
    }
}

/// The results of parts, each in a file of this directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Results<'a>(pub(crate) &'a Path);

impl Results<'_> {
    /// Returns what was measured in a part; nothing if it was not.
    pub(crate) fn of(self, part: &str) -> PartResult {
        let text = fs::read_to_string(self.file(part)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(crate) fn have(self, part: &str) -> bool {
        self.file(part).exists()
    }

    pub(crate) fn keep(self, part: &str, result: &PartResult) {
        fs::create_dir_all(self.0).expect("a directory for results");
        let text = serde_json::to_string(result).expect("it serialises");
        fs::write(self.file(part), text).expect("results are written");
    }

    fn file(self, part: &str) -> PathBuf {
        self.0.join(format!("{part}.json"))
    }
}
