//! `check`: whether the settings can be used, and what they are.

use std::io::{self, Write as _};

use aisbreaker_gateway::{Clock as _, SystemClock};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Outcome;
use crate::{
    settings::{self, EffectiveValue, Flags, Settings},
    warnings,
};

pub(crate) fn command() -> Command {
    Command::new("check")
        .about("Checks the settings, and ends with status 1 if the server would refuse them")
        .long_about(
            "Checks the settings as the server does at start, and ends with status 1 if it would \
             refuse them. Faults and warnings are named on standard error, without secrets. Nothing \
             is opened except the files that settings are read from; 'doctor' checks the port, and \
             the files of counters and of revoked keys.",
        )
        .arg(
            Arg::new("print")
                .long("print")
                .action(ArgAction::SetTrue)
                .help("Prints every setting with its source and the value in effect; secrets as 'set'"),
        )
        .arg(
            Arg::new("example")
                .long("example")
                .action(ArgAction::SetTrue)
                .conflicts_with("print")
                .help("Prints an example configuration file with every setting, and checks nothing"),
        )
}

pub(crate) fn run(flags: Flags, arguments: &ArgMatches) -> Outcome {
    let mut to = io::stdout().lock();
    if arguments.get_flag("example") {
        to.write_all(settings::example_file().as_bytes())?;
        return Ok(to.flush()?);
    }
    let settings = settings::load(flags, std::env::vars_os())?;
    warn(&settings);
    if arguments.get_flag("print") {
        print(&mut to, &settings.effective)?;
    }
    Ok(to.flush()?)
}

#[expect(clippy::print_stderr, reason = "warnings for the user of the command")]
fn warn(settings: &Settings) {
    let now = SystemClock::new().wall();
    let warnings = warnings::of_unchanging(settings).into_iter();
    for warning in warnings.chain(warnings::of_reloadable(settings, now)) {
        eprintln!("warning: {warning}");
    }
}

/// Prints a line for each setting: its name, its source and its value.
fn print(to: &mut impl io::Write, values: &[EffectiveValue]) -> io::Result<()> {
    let lengths = values.iter().map(|value| value.name.chars().count());
    let width = lengths.max().unwrap_or_default();
    for EffectiveValue {
        name,
        source,
        value,
    } in values
    {
        writeln!(to, "{name:width$}  {source:11}  {value}")?;
    }
    Ok(())
}
