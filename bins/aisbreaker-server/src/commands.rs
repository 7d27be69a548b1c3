//! The subcommands: one module each, and one row in [`SUBCOMMANDS`].

mod inspect;
mod key_argument;
mod key_options;
mod keygen;
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
    /// Runs it with the flags of the settings and its own arguments.
    pub(crate) run: fn(Flags, &ArgMatches) -> Outcome,
}

/// All subcommands, in the order of `--help`.
pub(crate) const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        command: keygen::command,
        run: keygen::run,
    },
    Subcommand {
        command: mint::command,
        run: mint::run,
    },
    Subcommand {
        command: inspect::command,
        run: inspect::run,
    },
    Subcommand {
        command: narrow::command,
        run: narrow::run,
    },
    Subcommand {
        command: seal::command,
        run: seal::run,
    },
    Subcommand {
        command: public_key::command,
        run: public_key::run,
    },
    Subcommand {
        command: revoke::command,
        run: revoke::run,
    },
];
