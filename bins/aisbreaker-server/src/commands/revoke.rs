//! `revoke`: has a server refuse keys from now on, by their ids.

use aisbreaker_token::{KeyId, PREFIX};
use clap::{Arg, ArgMatches, Command};

use super::{Outcome, target::Target};
use crate::settings::{self, Flags};

/// The most ids that a server takes at once.
const MAX_IDS: usize = 1_000;
const EXAMPLE: &str = "Example:\n  AISBREAKER_ADMIN_SECRET=… aisbreaker-server revoke --server \
                       https://ai.example.com s3Y-yvLKqagdTljahkyR6g";

pub(crate) fn command() -> Command {
    Command::new("revoke")
        .about("Has a server refuse keys from now on, and all keys that were made from them")
        .after_help(EXAMPLE)
        .arg(
            Arg::new("id")
                .value_name("ID")
                .required(true)
                .num_args(1..)
                // An id may begin with a dash, so that no option can follow one.
                .allow_hyphen_values(true)
                .help("Id of a key, as in the log, in the answer of minting and from inspect"),
        )
        .arg(Arg::new("server").long("server").value_name("URL").help(
            "Asks this server; without it, the one that runs here with this machine's settings",
        ))
}

#[expect(
    clippy::print_stdout,
    reason = "the subcommand reports what it has done"
)]
pub(crate) fn run(flags: Flags, arguments: &ArgMatches) -> Outcome {
    let texts = arguments.get_many::<String>("id").into_iter().flatten();
    let ids = texts
        .map(|text| key_id(text))
        .collect::<Result<Vec<KeyId>, String>>()?;
    let settings = settings::load(flags, std::env::vars_os())?;
    let Some(secret) = &settings.gateway.operator_secret else {
        let problem =
            "there is no operator's secret: set AISBREAKER_ADMIN_SECRET to that of the server";
        return Err(problem.into());
    };
    let url = arguments.get_one::<String>("server");
    let target = Target::running(&settings, url.map(String::as_str))?;
    for part in ids.chunks(MAX_IDS) {
        let mut form = String::new();
        for id in part {
            form.push_str(&format!("id={id}&"));
        }
        let answer = target.post_as_operator("/api/v1/oauth/revoke", form, secret)?;
        answer.success()?;
        for id in part {
            println!("{id} is revoked");
        }
    }
    Ok(())
}

fn key_id(text: &str) -> Result<KeyId, String> {
    if text.starts_with(PREFIX) {
        // The key is not repeated, and is best revoked by itself.
        return Err("an argument is a key instead of an id; 'inspect' shows its id".to_owned());
    }
    if text.starts_with("--") {
        return Err(format!("{text} must stand before the ids"));
    }
    text.parse().map_err(|error| format!("{text} is {error}"))
}
