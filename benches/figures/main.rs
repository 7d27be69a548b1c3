//! Measures the figures that the design sets, all in one run, and prints a table: row, ours,
//! anchor, ratio, goal, met.
//!
//! Ours and its anchor take turns in short rounds, so that a busy machine slows both; ratios are
//! medians over the rounds. Times are CPU time of the measured threads.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "a measurement that cannot go on has nothing better to do"
)]
#![expect(
    clippy::panic,
    reason = "a measurement that cannot go on has nothing better to do"
)]
#![expect(clippy::print_stdout, reason = "the table is for a terminal")]

mod cpu;
mod gateway;
mod probe;
mod quota;
mod redis;
mod row;
mod server;
mod sweep;
mod token;

use clap::Parser;

/// Measures the figures that the design sets.
#[derive(Debug, Parser)]
struct Args {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Only rows whose name contains this text
    #[arg(long, default_value = "")]
    only: String,
    /// Rounds in which ours and its anchor take turns
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// The server's release binary; by default the one beside this program
    #[arg(long)]
    server: Option<std::path::PathBuf>,
    /// Print one figure that needs a process of its own
    #[arg(long, hide = true)]
    probe: Option<String>,
    /// A directory in which `npm install jose@4.15` was run, to measure that peer with Node
    #[arg(long)]
    jose: Option<std::path::PathBuf>,
}

fn main() {
    let args = Args::parse();
    if let Some(probe) = args.probe {
        return println!("{}", probe::run(&probe));
    }
    let server = args
        .server
        .unwrap_or_else(aisbreaker_benches::process::beside_this_program);
    let measurements = token::rows(args.jose)
        .into_iter()
        .chain(quota::rows())
        .chain(sweep::rows())
        .chain(redis::rows())
        .chain(gateway::rows())
        .chain(server::rows(server));
    let chosen = measurements.filter(|measurement| measurement.name().contains(&args.only));
    let rows: Vec<row::Row> = chosen
        .map(|measurement| measurement.measure(args.rounds))
        .collect();
    if args.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&rows).expect("rows serialise")
        );
    } else {
        print!("{}", row::table(&rows));
    }
}
