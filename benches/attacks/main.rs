//! Measures how long a well-behaved client waits while others attack the server, compared with when
//! nobody does.
//!
//! Rounds without and with the attack alternate on one server process, a fresh one for each attack.
//! Client, attackers and server share the processors of this machine, so attackers limit their own
//! pace; their CPU time is in the table. The server must have been built
//! (`cargo build --profile dist --locked -p aisbreaker-server`), and this process must be allowed to
//! have some 11,000 files open (`ulimit -n`).
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "a measurement that cannot go on has nothing better to do"
)]
#![expect(clippy::print_stdout, reason = "the table is for a terminal")]
#![expect(clippy::disallowed_methods, reason = "a measurement owns its clock")]

mod attack;
mod client;
mod frames;
mod measure;
mod requests;
mod table;
mod target;

use std::{path::PathBuf, time::Duration};

use clap::Parser;

/// Measures how long a well-behaved client waits while others attack the server.
#[derive(Debug, Parser)]
struct Args {
    /// Only attacks whose name contains this text
    #[arg(long, default_value = "")]
    only: String,
    /// Rounds, in each of which calls are measured without and with the attack
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds for which each is measured in a round
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// The server's binary [default: aisbreaker-server in the directory of this program]
    #[arg(long)]
    server: Option<PathBuf>,
}

fn main() {
    let args = Args::parse();
    let server = args
        .server
        .unwrap_or_else(aisbreaker_benches::process::default_server);
    let chosen = attack::ALL
        .iter()
        .filter(|attack| attack.name.contains(&args.only));
    print!("{}", table::HEAD);
    for attack in chosen {
        let outcome = measure::measure(
            &server,
            attack,
            args.rounds,
            Duration::from_secs(args.seconds),
        );
        print!("{}", table::row(attack, &outcome));
    }
}
