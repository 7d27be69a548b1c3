//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// What stands below the options in `--help`.
const ENVIRONMENT: &str = "\
Every setting has a key in the configuration file and an environment variable; a flag beats the environment, \
the environment beats the file. The most important ones:
  AUTH_ENCRYPTION_KEYPHRASE               the phrase (10 characters or more) or 32-byte key that seals API keys
  AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES   former ones that still open API keys, separated by spaces
  AISBREAKER_PUBLIC_HOSTS                 host names this server answers to, separated by commas
  AISBREAKER_MINT_SECRET                  what those who mint API keys must know; without it, anyone mints
  AISBREAKER_EGRESS_ALLOW                 origins or networks that may be called besides public https ones
  AISBREAKER_TRUSTED_PROXIES              networks of the proxies in front of this server
  AISBREAKER_STATE_FILE                   file in which quota counters outlive a restart
  AISBREAKER_REDIS_URL                    Redis or Valkey in which several servers count together
The README lists all of them.";

/// An AI gateway whose API keys are the database. Without a subcommand, it serves.
#[derive(Debug, Parser)]
#[command(version, after_help = ENVIRONMENT)]
pub(crate) struct Args {
    /// The configuration file (TOML) [env: AISBREAKER_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Address and port to listen on [env: AISBREAKER_LISTEN; PORT sets the port] [default:
    /// 127.0.0.1:3000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints a fresh 32-byte key for AUTH_ENCRYPTION_KEYPHRASE
    Keygen,
}
