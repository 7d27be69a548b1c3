//! `man`: prints the manual page of the program or of a subcommand.

use std::io;

use clap::{Arg, ArgMatches, Command};
use clap_mangen::Man;

use super::Outcome;

const EXAMPLE: &str = "Example:\n  aisbreaker-server man mint | man -l -";

pub(crate) fn command() -> Command {
    Command::new("man")
        .about("Prints a manual page (roff)")
        .after_help(EXAMPLE)
        .arg(
            Arg::new("subcommand")
                .value_name("SUBCOMMAND")
                .help("Subcommand to document; the program itself if omitted"),
        )
}

pub(crate) fn run(mut program: Command, arguments: &ArgMatches) -> Outcome {
    program.build();
    let page = match arguments.get_one::<String>("subcommand") {
        None => program,
        Some(name) => {
            let subcommand = program.find_subcommand(name).cloned();
            subcommand.ok_or_else(|| format!("{name} is not a subcommand"))?
        }
    };
    let mut roff = Vec::new();
    Man::new(page).render(&mut roff)?;
    io::Write::write_all(&mut io::stdout(), &roff)?;
    Ok(())
}
