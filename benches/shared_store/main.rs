//! Measures the cost of sharing quotas through Redis, and what happens to calls while Redis is
//! unreachable.
//!
//! First table: servers that count in memory, in Redis, and in Redis with leases, measured in
//! rotation with 64 connections that call as fast as they are answered. Second table: fewer
//! connections (`--connections`) while Redis is stopped (SIGSTOP) and while it is killed, from a
//! second before to two seconds after. All calls are to `chat:dummy` with one key, so that its
//! counters are as contended as possible. Client, servers and Redis share the processors of this
//! machine. The server must have been built
//! (`cargo build --profile dist --locked -p aisbreaker-server`).
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

/// Measures the cost of sharing quotas through Redis, and what happens while it is unreachable.
#[derive(Debug, Parser)]
struct Args {
    /// Rounds, in each of which every server is measured once
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds for which each is measured in a round
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Connections that call while Redis becomes unreachable
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// The server's binary [default: aisbreaker-server in the directory of this program]
    #[arg(long)]
    server: Option<PathBuf>,
}

fn main() {
    let args = Args::parse();
    let program = args.server.clone().unwrap_or_else(default_server);
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let url = redis.url();
    let store = ("AISBREAKER_REDIS_URL", &*url);
    let leases = ("AISBREAKER_QUOTA_LEASE", "100");
    let servers = [
        ("memory", Server::start(&program, &[])),
        ("Redis", Server::start(&program, &[store])),
        (
            "Redis, leases of up to 100",
            Server::start(&program, &[store, leases]),
        ),
    ];

    print_costs(&args, &servers);
    let stats = redis.cli(&["INFO", "commandstats"]);
    let calls = stats
        .lines()
        .find(|line| line.starts_with("cmdstat_fcall:"))
        .unwrap_or("no calls");
    println!("\nRedis reports: {calls}\n");
    let [_, (_, server), _] = &servers;
    print_outages(&args, server, &mut redis);
}

/// Prints what a call costs, by where quotas are counted.
fn print_costs(args: &Args, servers: &[(&str, Server); 3]) {
    println!(
        "| counted in | calls per second | p50 ms | p99 ms | CPU of the server per call | / \
         memory |"
    );
    println!("|---|---|---|---|---|---|");
    let time = Duration::from_secs(args.seconds);
    let mut rounds: Vec<[Figures; 3]> = Vec::new();
    for _ in 0..args.rounds {
        rounds.push(
            servers
                .each_ref()
                .map(|(_, server)| server.figures(64, time)),
        );
    }
    for (index, (name, _)) in servers.iter().enumerate() {
        let column =
            |pick: fn(&Figures) -> f64| median(rounds.iter().map(|round| pick(&round[index])));
        let ratios = rounds
            .iter()
            .map(|round| round[index].cpu_micros / round[0].cpu_micros);
        println!(
            "| {name} | {:.0} | {:.2} | {:.2} | {:.1} µs | {:.2} |",
            column(|figures| figures.per_second),
            column(|figures| figures.p50),
            column(|figures| figures.p99),
            column(|figures| figures.cpu_micros),
            median(ratios),
        );
    }
}

/// Prints how calls fare while Redis is unreachable.
fn print_outages(args: &Args, server: &Server, redis: &mut RedisServer) {
    println!(
        "| Redis is | calls | errors | p50 ms: before, after | p99 ms: before, after | longest ms \
         | server MB |"
    );
    println!("|---|---|---|---|---|---|---|");
    for round in 0..args.rounds {
        outage(round, server, args.connections, "stopped", || redis.pause());
        redis.resume();
        server.wait_for_store();
        outage(round, server, args.connections, "killed", || redis.stop());
        redis.start_again();
        server.wait_for_store();
    }
}

/// Measures calls around the moment at which the store becomes unreachable.
fn outage(round: usize, server: &Server, connections: usize, name: &str, interrupt: impl FnOnce()) {
    let load = Load::start(server.process.address(), &server.key, connections);
    std::thread::sleep(Duration::from_secs(1));
    let before = load.so_far();
    interrupt();
    std::thread::sleep(Duration::from_secs(2));
    let after = load.so_far().since(&before);
    load.end();
    let memory = resident_bytes(server.process.id()) / 1e6;
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
struct Server {
    process: Process,
    key: String,
}

/// The figures of one server in one round.
struct Figures {
    per_second: f64,
    p50: f64,
    p99: f64,
    cpu_micros: f64,
}

impl Server {
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
        let count = f64::from(u32::try_from(calls.millis.len()).expect("some thousands"));
        Figures {
            per_second: count / time.as_secs_f64(),
            p50: calls.quantile(50),
            p99: calls.quantile(99),
            cpu_micros: spent * 1e6 / count,
        }
    }

    /// Waits until the server uses the store again: at most ten seconds after several outages.
    fn wait_for_store(&self) {
        std::thread::sleep(Duration::from_secs(11));
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
