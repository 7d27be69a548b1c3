//! The subcommands: one module each, and one row in [`SUBCOMMANDS`].

mod ask;
mod check;
mod completions;
mod demo;
mod doctor;
mod healthcheck;
mod inspect;
mod key_argument;
mod key_options;
mod keygen;
mod man;
mod mint;
mod narrow;
mod public_key;
mod public_key_source;
mod revoke;
mod seal;
mod secret_source;
mod target;

use std::error::Error;

use clap::{ArgMatches, Command};

use crate::settings::Flags;

/// The outcome of a command; an error ends the process with status 1.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// A subcommand.
pub(crate) struct Subcommand {
    /// Its name, arguments and help.
    pub(crate) command: fn() -> Command,
    /// Runs it.
    pub(crate) run: Run,
}

/// How a subcommand is run, with its own arguments.
pub(crate) enum Run {
    /// With the flags of the settings.
    WithSettings(fn(Flags, &ArgMatches) -> Outcome),
    /// With the definition of the whole command line.
    WithProgram(fn(Command, &ArgMatches) -> Outcome),
}

/// All subcommands, in the order of `--help`.
pub(crate) const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        command: demo::command,
        run: Run::WithSettings(demo::run),
    },
    Subcommand {
        command: keygen::command,
        run: Run::WithSettings(keygen::run),
    },
    Subcommand {
        command: mint::command,
        run: Run::WithSettings(mint::run),
    },
    Subcommand {
        command: inspect::command,
        run: Run::WithSettings(inspect::run),
    },
    Subcommand {
        command: narrow::command,
        run: Run::WithSettings(narrow::run),
    },
    Subcommand {
        command: seal::command,
        run: Run::WithSettings(seal::run),
    },
    Subcommand {
        command: public_key::command,
        run: Run::WithSettings(public_key::run),
    },
    Subcommand {
        command: revoke::command,
        run: Run::WithSettings(revoke::run),
    },
    Subcommand {
        command: ask::command,
        run: Run::WithSettings(ask::run),
    },
    Subcommand {
        command: doctor::command,
        run: Run::WithSettings(doctor::run),
    },
    Subcommand {
        command: completions::command,
        run: Run::WithProgram(completions::run),
    },
    Subcommand {
        command: man::command,
        run: Run::WithProgram(man::run),
    },
    Subcommand {
        command: check::command,
        run: Run::WithSettings(check::run),
    },
    Subcommand {
        command: healthcheck::command,
        run: Run::WithSettings(healthcheck::run),
    },
];
