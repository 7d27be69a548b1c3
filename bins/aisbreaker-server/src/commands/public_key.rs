//! `public-key`: prints the public key to seal keys for this server with.

use clap::{ArgMatches, Command};

use super::Outcome;
use crate::settings::{self, Flags};

pub(crate) fn command() -> Command {
    Command::new("public-key")
        .about("Prints the public key to seal keys for this server with, and its thumbprint")
        .long_about(
            "Prints the public key to seal keys for this server with, as a JWK, and in a second \
             line its thumbprint by SHA-256 (RFC 7638): give it to sealers in another way than the \
             key itself, for them to compare. The server serves the key at /.well-known/jwks.json.",
        )
}

#[expect(
    clippy::print_stdout,
    reason = "the subcommand exists to print the key"
)]
pub(crate) fn run(flags: Flags, _arguments: &ArgMatches) -> Outcome {
    let settings = settings::load(flags, std::env::vars_os())?;
    if settings.has_random_key {
        return Err("there is no server key: set AUTH_ENCRYPTION_KEYPHRASE".into());
    }
    let key = settings.gateway.keys.public_key();
    println!("{}", key.to_jwk());
    println!("{}", key.thumbprint());
    Ok(())
}
