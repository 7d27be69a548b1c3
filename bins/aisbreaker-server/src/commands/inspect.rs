//! `inspect`: shows what a key allows, never its secrets.

use std::{error::Error, time::SystemTime};

use aisbreaker_gateway::{Clock as _, SystemClock};
use aisbreaker_token::{Host, KeyRing, PREFIX};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use clap::{ArgMatches, Command};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{
    Outcome, key_argument,
    target::{self, Target},
};
use crate::{
    settings::{self, Flags},
    terminal::printable,
};

const FORM: &str = "application/x-www-form-urlencoded";

pub(crate) fn command() -> Command {
    Command::new("inspect")
        .about("Shows what a key allows, never its secrets")
        .long_about(
            "Shows what a key allows, never its secrets, and ends with status 1 if the key is not \
             valid. Without the server key, it shows the header only.",
        )
        .arg(key_argument::arg())
        .args(target::args())
}

pub(crate) fn run(flags: Flags, arguments: &ArgMatches) -> Outcome {
    let key = key_argument::read(arguments)?;
    if arguments.contains_id("server") {
        let answer = introspect(&Target::of(flags, arguments)?, &key)?;
        return show(&answer, || "the server does not say why".to_owned());
    }
    let settings = settings::load(flags, std::env::vars_os())?;
    if settings.has_random_key {
        return show(&header(&key)?, String::new);
    }
    let host = target::host(&settings, arguments)?;
    let now = SystemClock::new().wall();
    let reason = refusal(&settings.gateway.keys, &key, &host, now);
    let answer = introspect(&Target::local(settings, &host)?, &key)?;
    show(&answer, || reason)
}

/// Asks what a key allows (RFC 7662), with the key itself as the proof that one may know.
///
/// # Errors
/// A text that is no key, and a refusal to answer.
pub(super) fn introspect(target: &Target, key: &SecretString) -> Result<Value, Box<dyn Error>> {
    let text = key.expose_secret();
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !text.starts_with(PREFIX) || !text.bytes().all(is_base64url) {
        return Err("this is not a key of an aisbreaker server".into());
    }
    let answer = target.post(
        "/api/v1/oauth/introspect",
        FORM,
        format!("token={text}"),
        Some(key),
    )?;
    answer.success()
}

/// Says why a key does not open. Holders of the server key may know.
fn refusal(keys: &KeyRing, key: &SecretString, host: &Host, now: SystemTime) -> String {
    match keys.open_grant(key.expose_secret(), host, now) {
        Ok(_opens) => {
            "the key opens, but this server refuses it: it is revoked, or minting would not \
                      have sealed it"
                .into()
        }
        Err(error) => error.to_string(),
    }
}

/// Returns the protected header of a key, which is not encrypted.
fn header(key: &SecretString) -> Result<Value, Box<dyn Error>> {
    let text = key.expose_secret().strip_prefix(PREFIX).unwrap_or_default();
    let encoded = text.split('.').next().unwrap_or_default();
    let decoded = Base64UrlUnpadded::decode_vec(encoded).ok();
    let header = decoded.and_then(|json| serde_json::from_slice(&json).ok());
    header.ok_or_else(|| "this is not a key of an aisbreaker server".into())
}

#[expect(clippy::print_stdout, reason = "the subcommand exists to show the key")]
fn show(answer: &Value, reason: impl FnOnce() -> String) -> Outcome {
    // JSON escapes only some of the control characters.
    println!("{}", printable(&format!("{answer:#}")));
    if answer["active"] == false {
        return Err(format!("the key is not valid: {}", reason()).into());
    }
    Ok(())
}
