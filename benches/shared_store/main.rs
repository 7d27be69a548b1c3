//! Measures what sharing quotas through Redis costs a call, and what happens to calls while Redis
//! is gone.
//!
//! First table: the server counting in memory, in Redis, and in Redis with leases, in turns; 64
//! connections that call as fast as they are answered. Second table: some of them (`--connections`)
//! while Redis is stopped (SIGSTOP) and while it is killed, from a second before to two seconds
//! after. All calls are of `chat:dummy` with one key, so that its counters are as hot as can be.
//! Client, servers and Redis share the processors of this machine. The server must have been built
//! (`cargo build --release --locked -p aisbreaker-server`).
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "a measurement that cannot go on has nothing better to do"
)]
#![expect(clippy::print_stdout, reason = "the tables are for a terminal")]
#![expect(clippy::disallowed_methods, reason = "a measurement owns its clock")]

mod load;
#[path = "../../crates/aisbreaker-quota/tests/support/redis_server.rs"]
mod redis_server;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use aisbreaker_benches::{
    gateway::UNLIMITED,
    process::{Process, cpu_seconds, default_server, resident_bytes},
};
use clap::Parser;
use load::{Calls, Load};
use redis_server::RedisServer;

/// Measures what sharing quotas through Redis costs, and what happens while it is gone.
#[derive(Debug, Parser)]
struct Args {
    /// Rounds in which the servers take turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each is measured in a round
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Connections that call while Redis goes
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// The server's release binary; by default the one beside this program
    #[arg(long)]
    server: Option<PathBuf>,
}

fn main() {
    let args = Args::parse();
    let server = args.server.clone().unwrap_or_else(default_server);
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let url = redis.url();
    let store = ("AISBREAKER_REDIS_URL", &*url);
    let servers = [
        ("memory", Subject::start(&server, &[])),
        ("Redis", Subject::start(&server, &[store])),
        (
            "Redis, leases of up to 100",
            Subject::start(&server, &[store, ("AISBREAKER_QUOTA_LEASE", "100")]),
        ),
    ];
    println!(
        "| counted in | calls per second | p50 ms | p99 ms | CPU of the server per call | / memory |"
    );
    println!("|---|---|---|---|---|---|");
    let mut rounds: Vec<Vec<Figures>> = Vec::new();
    for _ in 0..args.rounds {
        let time = Duration::from_secs(args.seconds);
        rounds.push(
            servers
                .iter()
                .map(|(_, subject)| subject.figures(64, time))
                .collect(),
        );
    }
    for (index, (name, _)) in servers.iter().enumerate() {
        let column =
            |pick: fn(&Figures) -> f64| median(rounds.iter().map(|round| pick(&round[index])));
        let ratio = median(
            rounds
                .iter()
                .map(|round| round[index].cpu_micros / round[0].cpu_micros),
        );
        println!(
            "| {name} | {:.0} | {:.2} | {:.2} | {:.1} µs | {ratio:.2} |",
            column(|figures| figures.per_second),
            column(|figures| figures.p50),
            column(|figures| figures.p99),
            column(|figures| figures.cpu_micros),
        );
    }
    let stats = redis.cli(&["INFO", "commandstats"]);
    let of_calls = stats
        .lines()
        .find(|line| line.starts_with("cmdstat_fcall:"))
        .unwrap_or("no calls");
    println!("\nRedis says: {of_calls}\n");
    println!(
        "| Redis is | calls | errors | p50 ms: before, after | p99 ms: before, after | longest ms | server MB |"
    );
    println!("|---|---|---|---|---|---|---|");
    for round in 0..args.rounds {
        let (_, subject) = &servers[1];
        gone(round, subject, args.connections, "stopped", || {
            redis.pause()
        });
        redis.resume();
        subject.wait_until_back();
        gone(round, subject, args.connections, "killed", || redis.stop());
        redis.start_again();
        subject.wait_until_back();
    }
}

/// Calls around the moment at which the store goes.
fn gone(round: usize, subject: &Subject, connections: usize, name: &str, go: impl FnOnce()) {
    let load = Load::start(subject.process.address(), &subject.key, connections);
    std::thread::sleep(Duration::from_secs(1));
    let before = load.so_far();
    go();
    std::thread::sleep(Duration::from_secs(2));
    let after = load.so_far().since(&before);
    load.end();
    let memory = resident_bytes(subject.process.id()) / 1e6;
    println!(
        "| {name} ({round}) | {} | {} | {:.2}, {:.2} | {:.2}, {:.2} | {:.1} | {memory:.0} |",
        after.millis.len(),
        after.errors,
        before.quantile(50),
        after.quantile(50),
        before.quantile(99),
        after.quantile(99),
        after.quantile(100),
    );
}

/// A server and a key for it.
struct Subject {
    process: Process,
    key: String,
}

/// What was measured of one server in one round.
struct Figures {
    per_second: f64,
    p50: f64,
    p99: f64,
    cpu_micros: f64,
}

impl Subject {
    fn start(server: &Path, environment: &[(&str, &str)]) -> Self {
        let basis = [
            ("AISBREAKER_SERVER_QUOTAS", UNLIMITED),
            ("AISBREAKER_LOG", "info,aisbreaker_gateway::request=off"),
        ];
        let environment = [&basis, environment].concat();
        let (process, mut log) = Process::start(server, &environment);
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let key = aisbreaker_benches::calls::mint(process.address());
        Self { process, key }
    }

    fn figures(&self, connections: usize, time: Duration) -> Figures {
        let before = cpu_seconds(self.process.id());
        let load = Load::start(self.process.address(), &self.key, connections);
        std::thread::sleep(time);
        let calls: Calls = load.end();
        let spent = cpu_seconds(self.process.id()) - before;
        let count = f64::from(u32::try_from(calls.millis.len()).expect("some thousand"));
        Figures {
            per_second: count / time.as_secs_f64(),
            p50: calls.quantile(50),
            p99: calls.quantile(99),
            cpu_micros: spent * 1e6 / count,
        }
    }

    /// The longest wait for a store that came and went several times is ten seconds.
    fn wait_until_back(&self) {
        std::thread::sleep(Duration::from_secs(11));
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
