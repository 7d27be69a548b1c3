//! Measures the server against a bare proxy that is made of the same parts, both in turns on this
//! machine, and writes a report.
//!
//! `load` measures all parts, or those that are named, and keeps what came of each in
//! `target/load`; then it writes `docs/performance.md` and its plots from all that is there. The
//! server must have been built (`cargo build --release --locked -p aisbreaker-server`), and this
//! process must be allowed to have some 11,000 files open (`ulimit -n`).
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "a measurement that cannot go on has nothing better to do"
)]
#![expect(clippy::disallowed_methods, reason = "a measurement owns its clock")]

mod closed;
mod floor;
mod goals;
mod latency;
mod measure;
mod open;
mod peers;
mod plot;
mod provider;
mod report;
mod scenarios;
mod target;
mod wire;

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

/// The part that another program measures, and its name.
const FIGURES: &str = "figures";

/// Measures the server against a bare proxy, and writes a report.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure; all of it by default
    parts: Vec<String>,
    /// Rounds in which ours and the other take turns
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// How long each of both is measured in a round; twice as long where there are pauses
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Calls over which memory is watched
    #[arg(long, default_value_t = 10_000_000)]
    soak_calls: u64,
    /// The server's release binary; by default the one beside this program
    #[arg(long)]
    server: Option<PathBuf>,
    /// Where what came of each part is kept
    #[arg(long, default_value = "target/load")]
    results: PathBuf,
    /// Where the report and its plots are written
    #[arg(long, default_value = "docs")]
    docs: PathBuf,
    /// A JSON file with a list of other gateways, which are measured as well: name, command, path;
    /// and if need be environment, headers, connections. {port} and {provider} in them stand for
    /// where to listen and whom to call
    #[arg(long)]
    peers: Option<PathBuf>,
    /// A directory in which `npm install jose@4.15` was run, for the figure that is compared with
    /// that
    #[arg(long)]
    jose: Option<PathBuf>,
    /// Measure nothing, write the report anew
    #[arg(long)]
    report_only: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// The other processes of a measurement.
#[derive(Clone, Copy, Debug, Subcommand)]
enum Role {
    /// Be a provider
    #[command(hide = true)]
    Provider(aisbreaker_benches::provider::Answers),
    /// Be a bare proxy before the provider at this address
    #[command(hide = true)]
    Floor { provider: SocketAddr },
    /// Be a server that answers a constant
    #[command(hide = true)]
    Constant,
}

fn main() {
    let args = Args::parse();
    match args.role {
        Some(role) => play(role),
        None => measure(&args),
    }
}

fn play(role: Role) {
    // A provider is to cost little; the others are to have what the server has.
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
            provider::tell(listener.local_addr().expect("it is bound"));
            match role {
                Role::Provider(answers) => provider::serve(listener, answers).await,
                Role::Floor { provider } => floor::pass_on(listener, provider).await,
                Role::Constant => floor::answer_constant(listener).await,
            }
        });
}

fn measure(args: &Args) {
    let server = args
        .server
        .clone()
        .unwrap_or_else(aisbreaker_benches::process::beside_this_program);
    let plan = Plan {
        server,
        rounds: args.rounds,
        time: Duration::from_secs_f64(args.seconds),
        soak_calls: args.soak_calls,
    };
    fs::create_dir_all(&args.results).expect("a directory for results");
    let known = || {
        scenarios::ALL
            .iter()
            .map(|(part, _)| *part)
            .chain([FIGURES])
    };
    for name in &args.parts {
        assert!(
            known().any(|part| part == name),
            "there is no part {name}; there are {:?}",
            known().collect::<Vec<_>>()
        );
    }
    let is_asked = |name: &str| {
        !args.report_only && (args.parts.is_empty() || args.parts.iter().any(|part| part == name))
    };
    for (name, part) in scenarios::ALL.iter().filter(|(name, _)| is_asked(name)) {
        keep(&scenarios::file(&args.results, name), &part(&plan));
    }
    if is_asked(FIGURES) {
        fs::write(
            scenarios::file(&args.results, FIGURES),
            figures(&plan, args.jose.as_deref()),
        )
        .expect("results are written");
    }
    if let Some(file) = &args.peers {
        keep(
            &scenarios::file(&args.results, "peers"),
            &peers::measure(file, &plan),
        );
    }
    report::write(&args.results, &args.docs);
}

/// What the program with the other figures of the design measures.
fn figures(plan: &Plan, jose: Option<&Path>) -> Vec<u8> {
    let program = aisbreaker_benches::process::beside_this_program().with_file_name(FIGURES);
    let rounds = plan.rounds.to_string();
    let mut command = Command::new(program);
    command
        .args(["--json", "--rounds", &rounds, "--server"])
        .arg(&plan.server);
    command.args(
        jose.map(|directory| ["--jose".as_ref(), directory.as_os_str()])
            .into_iter()
            .flatten(),
    );
    command
        .output()
        .expect("build it first: cargo build --release -p aisbreaker-benches")
        .stdout
}

fn keep(file: &Path, outcome: &scenarios::Outcome) {
    let text = serde_json::to_string(outcome).expect("it serialises");
    fs::write(file, text).expect("results are written");
}
