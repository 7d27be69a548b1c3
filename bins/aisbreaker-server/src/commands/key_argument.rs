//! A key that a subcommand works on.

use std::error::Error;

use aisbreaker_token::PREFIX;
use clap::{Arg, ArgMatches};
use secrecy::SecretString;

use super::secret_source::{HELP, SecretSource};

/// The variable of the key, as all clients of AIsBreaker have it.
const VARIABLE: &str = "AISBREAKER_API_KEY";

/// Returns the argument.
pub(crate) fn arg() -> Arg {
    Arg::new("key")
        .value_name("KEY")
        .default_value("env:AISBREAKER_API_KEY")
        .help(
            "Where the key is: env:NAME, file:PATH, or - for standard input; or the key itself, which \
             every user of the machine can then see",
        )
}

/// Returns the option of a command that works without a key too.
pub(crate) fn option() -> Arg {
    Arg::new("key")
        .long("key")
        .value_name("SOURCE")
        .help(format!(
            "Where the key is: {HELP}; without it, the variable AISBREAKER_API_KEY if that is set"
        ))
}

/// Reads the key of [`option`], if there is one.
///
/// # Errors
/// A source that cannot be read.
pub(crate) fn read_option(arguments: &ArgMatches) -> Result<Option<SecretString>, Box<dyn Error>> {
    match arguments.get_one::<String>("key") {
        Some(source) => {
            let source: SecretSource = source
                .parse()
                .map_err(|problem| format!("the value of --key {problem}"))?;
            source.read().map(Some)
        }
        None => match SecretSource::Variable(VARIABLE.to_owned()).read() {
            Ok(key) => Ok(Some(key)),
            // Not set, or empty.
            Err(_none) => Ok(None),
        },
    }
}

/// Reads the key.
///
/// # Errors
/// A source that cannot be read.
pub(crate) fn read(arguments: &ArgMatches) -> Result<SecretString, Box<dyn Error>> {
    let text = arguments.get_one::<String>("key").ok_or("no key")?;
    if text.starts_with(PREFIX) {
        return Ok(text.as_str().into());
    }
    let source: SecretSource = text
        .parse()
        .map_err(|_source| "KEY must be a key, env:NAME, file:PATH, or - for standard input")?;
    source.read()
}
