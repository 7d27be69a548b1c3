//! What `mint` and `narrow` take in common: the options of a new key, and how it is printed.

use std::error::Error;

use aisbreaker_token::Budgets;
use clap::{Arg, ArgAction, ArgMatches, builder::NonEmptyStringValueParser};
use serde_json::{Map, Value, json};

/// The options that are lists of texts in a restriction, with the member and the help.
const LISTS: [(&str, &str, &str, &str); 4] = [
    (
        "restrict-service",
        "services",
        "ID",
        "Service that the key may call, such as chat:openai.com/gpt-4o; may be repeated",
    ),
    (
        "restrict-operation",
        "operations",
        "PATH",
        "Operation that the key may be used for, such as chat/completions or process; may be \
         repeated",
    ),
    (
        "restrict-client",
        "clients",
        "NETWORK",
        "Network that clients must be in, such as 203.0.113.0/24; may be repeated",
    ),
    (
        "restrict-origin",
        "origins",
        "ORIGIN",
        "Web origin that requests must come from, such as https://app.example.com; may be repeated",
    ),
];

/// Returns the arguments.
pub(crate) fn args() -> Vec<Arg> {
    let mut args = vec![
        Arg::new("expires")
            .long("expires")
            .value_name("SPAN")
            .help("Lifetime of the key, such as 30d"),
        Arg::new("not-before")
            .long("not-before")
            .value_name("TIME")
            .help("Time from which on the key is valid (RFC 3339)"),
        Arg::new("name")
            .long("name")
            .value_name("TEXT")
            .help("What the key is called; not a secret"),
        Arg::new("quotas")
            .long("quotas")
            .value_name("JSON")
            .help("Quotas of the key, as JSON requestQuotas"),
        Arg::new("budgets")
            .long("budgets")
            .value_name("JSON")
            .help("Tokens and dollars that the key may use, as JSON budgets"),
        Arg::new("delegation")
            .long("delegation")
            .value_name("LEVELS")
            .value_parser(clap::value_parser!(u8))
            .help("How many levels of keys may be made from the key; 0 forbids it"),
    ];
    for (name, _, value, help) in LISTS {
        args.push(
            Arg::new(name)
                .long(name)
                .value_name(value)
                .value_parser(NonEmptyStringValueParser::new())
                .action(ArgAction::Append)
                .help(help),
        );
    }
    args.push(
        Arg::new("restrict-body-bytes")
            .long("restrict-body-bytes")
            .value_name("BYTES")
            .value_parser(clap::value_parser!(u64))
            .help("Largest request body"),
    );
    args.push(
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .help("Prints the whole answer as JSON"),
    );
    args
}

/// Adds the options to a request for a key.
///
/// # Errors
/// Budgets that are not JSON.
pub(crate) fn add(
    arguments: &ArgMatches,
    request: &mut Map<String, Value>,
) -> Result<(), Box<dyn Error>> {
    for (argument, member) in [
        ("expires", "expirationTimeSpan"),
        ("not-before", "notBefore"),
        ("name", "name"),
    ] {
        if let Some(text) = arguments.get_one::<String>(argument) {
            request.insert(member.to_owned(), json!(text));
        }
    }
    if let Some(levels) = arguments.get_one::<u8>("delegation") {
        request.insert("delegation".to_owned(), json!(levels));
    }
    if let Some(text) = arguments.get_one::<String>("budgets") {
        request.insert("budgets".to_owned(), budgets(text)?);
    }
    let restriction = restriction(arguments);
    if !restriction.is_empty() {
        request.insert("restrict".to_owned(), Value::Object(restriction));
    }
    Ok(())
}

/// Returns the quotas.
///
/// # Errors
/// A text that is not JSON.
pub(crate) fn quotas(arguments: &ArgMatches) -> Result<Option<Value>, Box<dyn Error>> {
    let Some(text) = arguments.get_one::<String>("quotas") else {
        return Ok(None);
    };
    match serde_json::from_str(text) {
        Ok(quotas) => Ok(Some(quotas)),
        Err(error) => Err(format!("--quotas is not JSON: {error}").into()),
    }
}

/// Returns the budgets as JSON that holds dollars exactly.
fn budgets(text: &str) -> Result<Value, Box<dyn Error>> {
    if let Ok(budgets) = serde_json::from_str::<Budgets>(text) {
        return Ok(serde_json::to_value(budgets)?);
    }
    // The code that makes the key reports what is wrong with them.
    match serde_json::from_str(text) {
        Ok(refused) => Ok(refused),
        Err(error) => Err(format!("--budgets is not JSON: {error}").into()),
    }
}

fn restriction(arguments: &ArgMatches) -> Map<String, Value> {
    let mut restriction = Map::new();
    for (argument, member, ..) in LISTS {
        if let Some(values) = arguments.get_many::<String>(argument) {
            let values: Vec<_> = values.cloned().collect();
            restriction.insert(member.to_owned(), json!(values));
        }
    }
    if let Some(bytes) = arguments.get_one::<u64>("restrict-body-bytes") {
        restriction.insert("maxBodyBytes".to_owned(), json!(bytes));
    }
    restriction
}

/// Prints the whole answer as JSON, or the key alone, with warnings on standard error.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the subcommand exists to print the key"
)]
pub(crate) fn print(answer: &Value, arguments: &ArgMatches) -> Result<(), Box<dyn Error>> {
    if arguments.get_flag("json") {
        println!("{answer:#}");
        return Ok(());
    }
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        eprintln!("warning: {}", warning.as_str().unwrap_or_default());
    }
    let key = answer["access_token"].as_str();
    println!("{}", key.ok_or("the answer has no key")?);
    Ok(())
}
