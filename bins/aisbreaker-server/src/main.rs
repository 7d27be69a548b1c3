//! The aisbreaker server: reads its settings, serves the gateway and shuts down in order.
#![forbid(unsafe_code)]

mod args;
mod ceiling_file;
mod commands;
mod files;
mod gateway_setup;
mod logging;
mod notify;
mod open_files;
mod panics;
mod reload;
mod revoked_file;
mod run;
mod settings;
mod signals;
mod state_file;
mod terminal;
#[cfg(feature = "otel")]
mod traces;
mod warnings;

use std::{error::Error, process::ExitCode};

use args::Args;
use commands::Run;

/// The system's allocator keeps the memory of a burst of large bodies for good. This one returns it
/// within seconds, from a thread of its own.
#[cfg(all(unix, feature = "jemalloc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    panics::report_to_terminal();
    match execute(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn execute(args: Args) -> Result<(), Box<dyn Error>> {
    match args {
        Args::Subcommand(subcommand, flags, arguments) => match subcommand.run {
            Run::WithSettings(run) => run(flags, &arguments),
            Run::WithProgram(run) => run(args::command(), &arguments),
        },
        Args::Serve(flags) => run::serve(flags),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the reason for a failure goes to the terminal, with or without a log"
)]
fn report(error: &dyn Error) {
    // It may quote the answer of a server.
    eprintln!(
        "aisbreaker-server: {}",
        terminal::printable(&error.to_string())
    );
}
