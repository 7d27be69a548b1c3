//! `completions`: prints the script by which a shell completes the command line.

use std::io;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use super::Outcome;

const EXAMPLE: &str = "Example:\n  aisbreaker-server completions bash > \
                       /etc/bash_completion.d/aisbreaker-server";

pub(crate) fn command() -> Command {
    Command::new("completions")
        .about("Prints the completion script of a shell")
        .after_help(EXAMPLE)
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(value_parser!(Shell)),
        )
}

pub(crate) fn run(mut program: Command, arguments: &ArgMatches) -> Outcome {
    let shell = arguments.get_one::<Shell>("shell").ok_or("no shell")?;
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut program, env!("CARGO_PKG_NAME"), &mut script);
    io::Write::write_all(&mut io::stdout(), &script)?;
    Ok(())
}
