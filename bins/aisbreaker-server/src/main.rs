//! The aisbreaker server: reads its settings, serves the gateway, ends in order.
#![forbid(unsafe_code)]

mod args;
mod files;
mod logging;
mod panics;
mod run;
mod settings;
mod state;

use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser as _;

fn main() -> ExitCode {
    panics::tell_terminal();
    let args = Args::parse();
    let outcome = match args.command {
        Some(Command::Keygen) => run::keygen(),
        None => settings::load(&args, std::env::vars_os())
            .map_err(Into::into)
            .and_then(run::serve),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the last words of the process go to its terminal, with or without a log"
)]
fn complain(error: &dyn std::error::Error) {
    eprintln!("aisbreaker-server: {error}");
}
