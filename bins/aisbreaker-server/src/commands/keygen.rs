//! `keygen`: prints a fresh server key.

use aisbreaker_token::ServerKey;
use clap::{ArgMatches, Command};
use secrecy::ExposeSecret as _;

use super::Outcome;
use crate::settings::Flags;

pub(crate) fn command() -> Command {
    Command::new("keygen").about("Prints a fresh 32-byte key for AUTH_ENCRYPTION_KEYPHRASE")
}

#[expect(
    clippy::print_stdout,
    reason = "the subcommand exists to print the key"
)]
pub(crate) fn run(_flags: Flags, _matches: &ArgMatches) -> Outcome {
    let key = ServerKey::generate()?;
    let text = key.expose_text().ok_or("a generated key has a text")?;
    println!("{}", text.expose_secret());
    Ok(())
}
