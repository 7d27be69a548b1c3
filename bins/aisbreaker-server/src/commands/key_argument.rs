//! A key that a subcommand works on.

use std::error::Error;

use aisbreaker_token::PREFIX;
use clap::{Arg, ArgMatches};
use secrecy::SecretString;

use super::secret_source::SecretSource;

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
