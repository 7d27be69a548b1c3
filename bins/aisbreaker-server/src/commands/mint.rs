//! `mint`: seals a new key, with this machine's server key or at a server.

use std::error::Error;

use clap::{Arg, ArgAction, ArgMatches, Command};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::{
    Outcome, key_options,
    secret_source::{self, SecretSource},
    target::{self, Target},
};
use crate::settings::Flags;

const EXAMPLE: &str = "Example:\n  aisbreaker-server mint --host ai.example.com --service \
                       chat:openai.com=env:OPENAI_API_KEY --expires 30d --name ana";

pub(crate) fn command() -> Command {
    Command::new("mint")
        .about("Seals a new key and prints it")
        .after_help(EXAMPLE)
        .args(target::args())
        .args(grant_args())
        .args(key_options::args())
}

/// Returns the arguments that say what is sealed.
pub(crate) fn grant_args() -> [Arg; 3] {
    [
        Arg::new("service")
            .long("service")
            .value_name("ID[=SOURCE]")
            .action(ArgAction::Append)
            .help(format!(
                "Service of the key, and where its secret is: {}; may be repeated",
                secret_source::HELP
            )),
        Arg::new("alias")
            .long("alias")
            .value_name("NAME=ID")
            .action(ArgAction::Append)
            .help("Alias of a model, such as fast=chat:groq.com/llama-3.1-8b; may be repeated"),
        Arg::new("translated-alias")
            .long("translated-alias")
            .value_name("NAME=ID")
            .action(ArgAction::Append)
            .help(
                "Alias of a model, whose requests are translated where its provider speaks another \
                 protocol than the client (OpenAI's chat completions, Anthropic's messages); may be \
                 repeated",
            ),
    ]
}

pub(crate) fn run(flags: Flags, arguments: &ArgMatches) -> Outcome {
    let target = Target::of(flags, arguments)?;
    key_options::print(&mint(&target, arguments)?, arguments)
}

/// Mints the key that the arguments describe, and returns the answer.
///
/// # Errors
/// Arguments that describe none, and a refusal.
pub(crate) fn mint(target: &Target, arguments: &ArgMatches) -> Result<Value, Box<dyn Error>> {
    let mut request = Map::new();
    key_options::add(arguments, &mut request)?;
    request.insert("requestAuthAndQuotas".to_owned(), grant(arguments)?);
    if let Some(secret) = &target.mint_secret {
        request.insert("clientSecret".to_owned(), json!(secret.expose_secret()));
    }
    let body = Value::Object(request).to_string();
    let answer = target.post("/api/v1/oauth/token", "application/json", body, None)?;
    answer.success()
}

fn grant(arguments: &ArgMatches) -> Result<Value, Box<dyn Error>> {
    let mut secrets = Vec::new();
    for service in arguments
        .get_many::<String>("service")
        .into_iter()
        .flatten()
    {
        secrets.push(service_secret(service)?);
    }
    let mut grant = json!({"serviceSecrets": secrets});
    if let Some(quotas) = key_options::quotas(arguments)? {
        grant["requestQuotas"] = quotas;
    }
    let aliases = aliases(arguments)?;
    if !aliases.is_empty() {
        grant["modelAliases"] = Value::Object(aliases);
    }
    Ok(grant)
}

fn aliases(arguments: &ArgMatches) -> Result<Map<String, Value>, Box<dyn Error>> {
    let mut aliases = Map::new();
    for (option, is_translated) in [("alias", false), ("translated-alias", true)] {
        for alias in arguments.get_many::<String>(option).into_iter().flatten() {
            let Some((name, id)) = alias.split_once('=') else {
                let problem = "must be NAME=ID, such as fast=chat:groq.com/llama-3.1-8b";
                return Err(format!("--{option} {problem}").into());
            };
            let target = match is_translated {
                true => json!({"model": id, "translate": true}),
                false => json!(id),
            };
            aliases.insert(name.to_owned(), target);
        }
    }
    Ok(aliases)
}

fn service_secret(service: &str) -> Result<Value, Box<dyn Error>> {
    let Some((id, source)) = service.split_once('=') else {
        return Ok(json!({"serviceId": service, "authSecret": ""}));
    };
    let source: SecretSource = source
        .parse()
        .map_err(|problem| format!("the source of the secret of {id} {problem}"))?;
    Ok(json!({"serviceId": id, "authSecret": source.read()?.expose_secret()}))
}
