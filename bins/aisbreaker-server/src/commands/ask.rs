//! `ask`: one question to a server, and its answer as it arrives.

use std::{
    error::Error,
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use aisbreaker_api::{Output, Request, ServiceProps, Usage};
use aisbreaker_gateway::{Clock as _, SystemClock};
use aisbreaker_services::{
    Call, Credentials, Event, Reply,
    services::{Options, standard},
};
use clap::{Arg, ArgMatches, Command};
use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{
    Outcome, inspect, key_argument,
    target::{Server, Target, runtime},
};
use crate::{
    settings::{self, Flags},
    terminal::printable,
};

const EXAMPLE: &str = "Example:\n  AISBREAKER_API_KEY=aisbreaker_… aisbreaker-server ask --service \
                       chat:openai.com 'Why is the sky blue?'";
/// The service that answers without a key.
const DUMMY: &str = "chat:dummy";

pub(crate) fn command() -> Command {
    Command::new("ask")
        .about("Asks a service of a running server one question, and streams the answer")
        .after_help(EXAMPLE)
        .arg(
            Arg::new("text")
                .value_name("TEXT")
                .required(true)
                .help("The question"),
        )
        .arg(Arg::new("service").long("service").value_name("ID").help(
            "Service to ask; without it, the first chat of the key, or chat:dummy if there is no key",
        ))
        .arg(key_argument::option())
        .arg(
            Arg::new("server")
                .long("server")
                .value_name("URL")
                .env("AISBREAKER_SERVER_URL")
                // Its value may contain a password, and would be in the help and manual page.
                .hide_env(true)
                .help(
                    "Asks this server; without it, the one that runs here with this machine's \
                     settings [env: AISBREAKER_SERVER_URL]",
                ),
        )
}

pub(crate) fn run(flags: Flags, arguments: &ArgMatches) -> Outcome {
    let text = arguments.get_one::<String>("text").ok_or("no question")?;
    let key = key_argument::read_option(arguments)?;
    let server = match arguments.get_one::<String>("server") {
        Some(url) => Server::at(url)?,
        None => Server::running_here(&settings::load(flags, std::env::vars_os())?)?,
    };
    let service_id = match (arguments.get_one::<String>("service"), &key) {
        (Some(id), _) => id.clone(),
        (None, Some(key)) => first_service(&server, key)?,
        (None, None) => DUMMY.to_owned(),
    };
    let call = call(&server, &service_id, text, key)?;
    let outcome = runtime()?.block_on(print_answer(call));
    outcome.map_err(|error| without_hop(&error.to_string(), &server).into())
}

/// Names the server once, instead of the service that calls it for this command.
fn without_hop(message: &str, server: &Server) -> String {
    let hop = format!("(aisbreaker:network->{}->", server.base);
    match message.split_once("): ") {
        Some((prefix, rest)) if prefix.contains(&hop) => format!("{}: {rest}", server.base),
        Some(_) | None => message.to_owned(),
    }
}

/// Returns the first chat of a key, as the server introspects it.
fn first_service(server: &Server, key: &SecretString) -> Result<String, Box<dyn Error>> {
    let answer = inspect::introspect(&Target::at(server.clone()), key)?;
    let services = answer["services"].as_array().into_iter().flatten();
    let mut chats = services
        .filter_map(Value::as_str)
        .filter(|id| id.starts_with("chat:"));
    match chats.next() {
        Some(id) => Ok(id.to_owned()),
        None if answer["active"] == false => Err("the key is not valid at this server".into()),
        None => Err("the key names no chat: choose a service with --service ID".into()),
    }
}

/// Creates the call. For the library, the server is a service that forwards to another one.
fn call(
    server: &Server,
    service_id: &str,
    text: &str,
    key: Option<SecretString>,
) -> Result<Call, Box<dyn Error>> {
    let credentials = key.map_or(Credentials::None, |key| {
        Credentials::Caller(key.expose_secret().into())
    });
    let registry = standard(server.client.clone(), Options::default()).build();
    let service = ServiceProps::new("aisbreaker:network")
        .with_url(server.base.clone())
        .with_forward_to(ServiceProps::new(service_id));
    let request = Request::user_text(text).with_stream(true);
    let call = Call::new(service, request, Arc::new(credentials), registry)?;
    Ok(call)
}

/// Prints the text of the answer as it arrives, and below it how long it took and what it used.
async fn print_answer(call: Call) -> Outcome {
    let clock = SystemClock::new();
    let start = clock.monotonic();
    let registry = call.registry.clone();
    let mut first_text = None;
    let usage = match registry.call(call).await? {
        Reply::Final(response) => {
            print(&response.outputs)?;
            response.usage
        }
        Reply::Stream(mut events) => loop {
            match events.next().await {
                Some(Ok(Event::Progress(progress))) => {
                    if print(&progress.outputs)? {
                        first_text.get_or_insert_with(|| clock.monotonic());
                    }
                }
                Some(Ok(Event::Final(response))) => break response.usage,
                Some(Err(error)) => return Err(error.into()),
                None => return Err("the answer ended before it was complete".into()),
            }
        },
        _ => return Err("the answer is of an unknown kind".into()),
    };
    let end = clock.monotonic();
    writeln!(io::stdout())?;
    report(first_text.unwrap_or(end) - start, end - start, &usage);
    Ok(())
}

/// Prints texts, and returns whether there were any. Images are named only.
fn print(outputs: &[Output]) -> io::Result<bool> {
    let mut to = io::stdout().lock();
    let mut has_text = false;
    for output in outputs {
        match output {
            Output::Text(text) => {
                has_text |= !text.content.is_empty();
                to.write_all(printable(&text.content).as_bytes())?;
            }
            Output::Image(_) | _ => to.write_all(b"[an output that is not text]\n")?,
        }
    }
    to.flush()?;
    Ok(has_text)
}

/// Reports times and tokens on standard error, so that the output is the answer alone.
#[expect(
    clippy::print_stderr,
    reason = "the figures are not part of the answer"
)]
fn report(first_text: Duration, total: Duration, usage: &Usage) {
    let count = |tokens: Option<u64>| tokens.map_or("unknown".to_owned(), |n| n.to_string());
    eprintln!(
        "first text after {} ms, complete after {} ms; tokens: {} in, {} out",
        first_text.as_millis(),
        total.as_millis(),
        count(usage.input_tokens),
        count(usage.output_tokens),
    );
}
