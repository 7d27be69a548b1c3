//! Measures the server against a bare proxy that is made of the same parts, alternately on this
//! machine, and writes a report.
//!
//! `load` measures all parts, or those that are named, and keeps the results of each in
//! `target/load`. Once all parts of a section of `docs/benchmarks.md` have been measured, it writes
//! that section anew below `benches/load/measured`, which is committed. `load gateways` measures the
//! server and other gateways in one run, for `docs/performance.md`. Both pages are made of what is
//! below `benches/load/measured` and of text that is written by hand.
//!
//! The server must have been built (`.ci/build-dist target/dist/aisbreaker-server`), and this
//! process must be allowed to have some 11,000 files open (`ulimit -n`).
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "a measurement that cannot go on has nothing better to do"
)]
#![expect(clippy::disallowed_methods, reason = "a measurement owns its clock")]

mod bare_proxy;
mod closed_loop;
mod gateways;
mod goal;
mod goals;
mod latency;
mod machine;
mod measure;
mod open_loop;
mod peers;
mod provider;
mod report;
mod response;
mod scenarios;
mod split;
mod target;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use clap::{Parser, Subcommand};
use machine::Machine;
use report::Report;
use scenarios::{FIGURES, PartResult, Plan, Results};
use tokio::net::TcpListener;

/// Measures the server against a bare proxy, and writes a report.
#[derive(Debug, Parser)]
struct Args {
    /// Parts to measure; by default all but `gateways`, which needs other gateways installed
    parts: Vec<String>,
    /// Rounds, in each of which the server and the bare proxy are measured once
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Seconds for which each is measured in a round; twice as long where there are pauses, three
    /// times in the part `gateways`
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Calls over which memory is observed
    #[arg(long, default_value_t = 10_000_000)]
    soak_calls: u64,
    /// The server's binary [default: aisbreaker-server in the directory of this program]
    #[arg(long)]
    server: Option<PathBuf>,
    /// Where the results of each part are kept
    #[arg(long, default_value = "target/load")]
    results: PathBuf,
    /// Where the sections of the report are kept, which are committed
    #[arg(long, default_value = "benches/load/measured")]
    measured: PathBuf,
    /// Where the report and its plots are written
    #[arg(long, default_value = "docs")]
    docs: PathBuf,
    /// A JSON file with the gateways of the part `gateways`: name, work (what it does for a
    /// request), version and command (run by a shell), path, and optionally environment and
    /// headers. In them, {port} is replaced by the port to listen on and {provider} by the address
    /// to call
    #[arg(long, default_value = "benches/load/peers/peers.json")]
    peers: PathBuf,
    /// A directory in which `npm install jose@4.15` was run, to compare with that library
    #[arg(long)]
    jose: Option<PathBuf>,
    /// Measure nothing, only write the pages again
    #[arg(long)]
    report_only: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this program does as another process of a measurement.
#[derive(Clone, Copy, Debug, Subcommand)]
enum Role {
    /// Serve as a provider
    #[command(hide = true)]
    Provider(aisbreaker_benches::provider::ReplyOptions),
    /// Serve as a bare proxy in front of the provider at this address
    #[command(hide = true)]
    Floor { provider: SocketAddr },
    /// Serve a constant
    #[command(hide = true)]
    Constant,
}

fn main() {
    let args = Args::parse();
    match args.role {
        Some(role) => serve(role),
        None => measure(&args),
    }
}

fn serve(role: Role) {
    // The provider should cost little; the anchors should have as many threads as the server.
    let mut builder = match role {
        Role::Provider(_) => tokio::runtime::Builder::new_current_thread(),
        Role::Floor { .. } | Role::Constant => tokio::runtime::Builder::new_multi_thread(),
    };
    builder
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            provider::report_address(listener.local_addr().expect("it is bound"));
            match role {
                Role::Provider(reply) => provider::serve(listener, reply).await,
                Role::Floor { provider } => bare_proxy::serve_proxy(listener, provider).await,
                Role::Constant => bare_proxy::serve_constant(listener).await,
            }
        });
}

fn measure(args: &Args) {
    let server = args
        .server
        .clone()
        .unwrap_or_else(aisbreaker_benches::process::default_server);
    let plan = Plan {
        server,
        rounds: args.rounds,
        time: Duration::from_secs_f64(args.seconds),
        soak_calls: args.soak_calls,
    };
    let mut known: Vec<&str> = scenarios::ALL.iter().map(|(part, _)| *part).collect();
    known.extend([FIGURES, gateways::PART]);
    for name in &args.parts {
        assert!(
            known.contains(&name.as_str()),
            "there is no part {name}; there are {known:?}"
        );
    }
    let is_named = |name: &str| args.parts.iter().any(|part| part == name);
    let is_selected = |name: &str| !args.report_only && (args.parts.is_empty() || is_named(name));
    // Before it works itself.
    let machine = Machine::observe();
    let results = Results(&args.results);
    for (name, part) in scenarios::ALL.iter().filter(|(name, _)| is_selected(name)) {
        let machine = machine.clone();
        results.keep(
            name,
            &PartResult {
                machine,
                ..part(&plan)
            },
        );
    }
    if is_selected(FIGURES) {
        results.keep(FIGURES, &figures(&plan, args.jose.as_deref(), &machine));
    }
    let report = Report {
        measured: &args.measured,
        docs: &args.docs,
    };
    if !args.report_only {
        report.take_up(results, is_selected);
    }
    // The other gateways must be installed, so they are not among all parts.
    if !args.report_only && is_named(gateways::PART) {
        report.keep_gateways(&gateways::measure(&args.peers, &plan, machine));
    }
    report.write();
}

/// Runs the program that measures the other figures of the design.
fn figures(plan: &Plan, jose: Option<&Path>, machine: &Machine) -> PartResult {
    let program = aisbreaker_benches::process::sibling(FIGURES);
    let rounds = plan.rounds.to_string();
    let mut command = Command::new(program);
    command
        .args(["--json", "--rounds", &rounds, "--server"])
        .arg(&plan.server);
    if let Some(directory) = jose {
        command.arg("--jose").arg(directory);
    }
    let output = command
        .output()
        .expect("build it first: cargo build --profile dist -p aisbreaker-benches");
    PartResult {
        figures: serde_json::from_slice(&output.stdout).expect("it prints rows"),
        machine: machine.clone(),
        ..PartResult::default()
    }
}
