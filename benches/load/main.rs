//! Measures the server against a bare proxy that is made of the same parts, alternately on this
//! machine, and writes a report.
//!
//! `load` measures all parts, or those that are named, and keeps the results of each in
//! `target/load`; then it writes `docs/performance.md` and its plots from all results that are
//! there. The server must have been built (`cargo build --profile dist --locked -p aisbreaker-server`),
//! and this process must be allowed to have some 11,000 files open (`ulimit -n`).
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "a measurement that cannot go on has nothing better to do"
)]
#![expect(clippy::disallowed_methods, reason = "a measurement owns its clock")]

mod bare_proxy;
mod closed_loop;
mod goals;
mod latency;
mod measure;
mod open_loop;
mod peers;
mod provider;
mod report;
mod response;
mod scenarios;
mod target;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use clap::{Parser, Subcommand};
use scenarios::Plan;
use tokio::net::TcpListener;

/// The part that another program measures, and that program.
const FIGURES: &str = "figures";

/// Measures the server against a bare proxy, and writes a report.
#[derive(Debug, Parser)]
struct Args {
    /// Parts to measure; all by default
    parts: Vec<String>,
    /// Rounds, in each of which the server and the bare proxy are measured once
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Seconds for which each is measured in a round; twice as long where there are pauses
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
    /// Where the report and its plots are written
    #[arg(long, default_value = "docs")]
    docs: PathBuf,
    /// A JSON file with a list of other gateways to measure: name, command, path, and optionally
    /// environment, headers, connections. In them, {port} is replaced by the port to listen on and
    /// {provider} by the address to call
    #[arg(long)]
    peers: Option<PathBuf>,
    /// A directory in which `npm install jose@4.15` was run, to compare with that library
    #[arg(long)]
    jose: Option<PathBuf>,
    /// Measure nothing, only write the report again
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
    fs::create_dir_all(&args.results).expect("a directory for results");
    let mut known: Vec<&str> = scenarios::ALL.iter().map(|(part, _)| *part).collect();
    known.push(FIGURES);
    for name in &args.parts {
        assert!(
            known.contains(&name.as_str()),
            "there is no part {name}; there are {known:?}"
        );
    }
    let is_selected = |name: &str| {
        !args.report_only && (args.parts.is_empty() || args.parts.iter().any(|part| part == name))
    };
    for (name, part) in scenarios::ALL.iter().filter(|(name, _)| is_selected(name)) {
        keep(&scenarios::result_file(&args.results, name), &part(&plan));
    }
    if is_selected(FIGURES) {
        fs::write(
            scenarios::result_file(&args.results, FIGURES),
            figures(&plan, args.jose.as_deref()),
        )
        .expect("results are written");
    }
    if let Some(file) = &args.peers {
        keep(
            &scenarios::result_file(&args.results, "peers"),
            &peers::measure(file, &plan),
        );
    }
    report::write(&args.results, &args.docs);
}

/// Runs the program that measures the other figures of the design. Returns its JSON.
fn figures(plan: &Plan, jose: Option<&Path>) -> Vec<u8> {
    let program = aisbreaker_benches::process::sibling(FIGURES);
    let rounds = plan.rounds.to_string();
    let mut command = Command::new(program);
    command
        .args(["--json", "--rounds", &rounds, "--server"])
        .arg(&plan.server);
    if let Some(directory) = jose {
        command.arg("--jose").arg(directory);
    }
    command
        .output()
        .expect("build it first: cargo build --profile dist -p aisbreaker-benches")
        .stdout
}

fn keep(file: &Path, result: &scenarios::PartResult) {
    let text = serde_json::to_string(result).expect("it serialises");
    fs::write(file, text).expect("results are written");
}
