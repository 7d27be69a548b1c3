//! `narrow`: makes a key from another one that allows less (RFC 8693).

use clap::{ArgMatches, Command};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::{
    Outcome, key_argument, key_options,
    target::{self, Target},
};
use crate::settings::Flags;

pub(crate) fn command() -> Command {
    Command::new("narrow")
        .about("Makes a key from another one that allows less, and prints it")
        .arg(key_argument::arg())
        .args(target::args())
        .args(key_options::args())
}

pub(crate) fn run(flags: Flags, arguments: &ArgMatches) -> Outcome {
    let key = key_argument::read(arguments)?;
    let target = Target::of(flags, arguments)?;
    let mut request = Map::new();
    key_options::add(arguments, &mut request)?;
    if let Some(quotas) = key_options::quotas(arguments)? {
        request.insert("requestQuotas".to_owned(), quotas);
    }
    for (member, value) in [
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("subject_token", key.expose_secret()),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
    ] {
        request.insert(member.to_owned(), json!(value));
    }
    let body = Value::Object(request).to_string();
    let answer = target.post("/api/v1/oauth/token", "application/json", body, None)?;
    key_options::print(&answer.success()?, arguments)
}
