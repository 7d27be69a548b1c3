//! Measures the figures that the design sets, all in one run, and prints a table: row, ours,
//! anchor, ratio, goal, met.
//!
//! Our code and its anchor alternate in short rounds, so that a busy machine slows both down;
//! ratios are medians over the rounds. Times are CPU time of the measured threads.
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
mod ledger;
mod memory;
mod prices;
mod quota;
mod redis;
mod row;
mod server;
mod sweep;
mod token;
mod workload;

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
    /// Rounds, in each of which our code and its anchor are measured once
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// The server's binary [default: aisbreaker-server in the directory of this program]
    #[arg(long)]
    server: Option<std::path::PathBuf>,
    /// Print one figure about memory, which needs a fresh process
    #[arg(long, hide = true)]
    memory: Option<String>,
    /// A directory in which `npm install jose@4.15` was run, to compare with that library
    #[arg(long)]
    jose: Option<std::path::PathBuf>,
}

fn main() {
    let args = Args::parse();
    if let Some(figure) = args.memory {
        return println!("{}", memory::measure(&figure));
    }
    let server = args
        .server
        .unwrap_or_else(aisbreaker_benches::process::default_server);
    let mut measurements = token::rows(args.jose);
    measurements.extend(quota::rows());
    measurements.extend(ledger::rows());
    measurements.extend(sweep::rows());
    measurements.extend(redis::rows());
    measurements.extend(gateway::rows());
    measurements.extend(prices::rows());
    measurements.extend(server::rows(server));
    measurements.retain(|measurement| measurement.name().contains(&args.only));
    let rows: Vec<row::Row> = measurements
        .into_iter()
        .map(|measurement| measurement.measure(args.rounds))
        .collect();
    if args.json {
        let json = serde_json::to_string_pretty(&rows).expect("rows serialise");
        println!("{json}");
    } else {
        print!("{}", row::table(&rows));
    }
}
