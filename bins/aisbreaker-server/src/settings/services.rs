//! The settings of services and providers: whole tables, which only the configuration file can
//! hold.

use aisbreaker_api::Origin;
use aisbreaker_services::{
    ProviderRows,
    services::{self, Options},
};
use toml::{Table, Value};

use super::{
    effective::{EffectiveValue, file_values},
    faults::Faults,
    given::{Given, Problem, Source},
    nearest::{nearest, suggestion},
    sources::Sources,
};

const SERVICES: &str = "services";
const PROVIDER: &str = "provider";
const USAGE: &str = "usage";

/// Reads the rows `[[provider]]`, the usage rules `[usage.<name>]` that they refer to, and the
/// tables `[services."<id>"]`. Returns their values as they may be shown, too.
pub(super) fn read(sources: &mut Sources, faults: &mut Faults) -> (Options, Vec<EffectiveValue>) {
    let mut options = Options::default();
    let mut values = Vec::new();
    read_providers(sources, faults, &mut options, &mut values);
    let Some(services) = sources.take_from_file(SERVICES) else {
        return (options, values);
    };
    values.extend(file_values(SERVICES, &services));
    let Value::Table(services) = services else {
        faults.add(&sources.in_file(SERVICES), "must be a table");
        return (options, values);
    };
    let known = services::configurable_ids(&options.providers);
    for (id, value) in services {
        let key = format!("{SERVICES}.\"{id}\"");
        if !known.contains(&id) {
            let nearest = nearest(&id, &known);
            let suggestion = suggestion(nearest.as_deref());
            faults.add(
                &sources.in_file(&key),
                format_args!(
                    "is not a service that calls a provider, such as \"chat:openai.com\"{suggestion}"
                ),
            );
        }
        read_service(&id, &key, value, sources, faults, &mut options);
    }
    (options, values)
}

fn read_providers(
    sources: &mut Sources,
    faults: &mut Faults,
    options: &mut Options,
    values: &mut Vec<EffectiveValue>,
) {
    let mut table = Table::new();
    for name in [PROVIDER, USAGE] {
        if let Some(value) = sources.take_from_file(name) {
            values.extend(file_values(name, &value));
            table.insert(name.to_owned(), value);
        }
    }
    let name = sources.in_file(PROVIDER);
    let rows = match table.try_into::<ProviderRows>() {
        Ok(rows) => rows,
        Err(error) => {
            let problem = shown(error.message());
            return faults.add(
                &name,
                format_args!("has a row that cannot be read: {problem}"),
            );
        }
    };
    match options.providers.with_rows(rows) {
        Ok(providers) => options.providers = providers,
        Err(invalid) => faults.add(&name, format_args!("has an unusable row: {invalid}")),
    }
}

/// Returns the parser's message if it names a member; others repeat values.
fn shown(message: &str) -> &str {
    if message.starts_with("unknown field") || message.starts_with("missing field") {
        message
    } else {
        "a member is not of its kind, as docs/providers.md shows it"
    }
}

fn read_service(
    id: &str,
    key: &str,
    value: Value,
    sources: &Sources,
    faults: &mut Faults,
    options: &mut Options,
) {
    let Value::Table(members) = value else {
        return faults.add(&sources.in_file(key), "must be a table");
    };
    for (member, value) in members {
        let name = sources.in_file(&format!("{key}.{member}"));
        match member.as_str() {
            "origins" => match origins(&value) {
                Ok(origins) => {
                    options.operator_origins.insert(id.to_owned(), origins);
                }
                Err(problem) => faults.add(&name, problem),
            },
            "engine" => match value.as_str() {
                Some(engine) if !engine.is_empty() && !id.starts_with("aisbreaker:") => {
                    options.engines.insert(id.to_owned(), engine.to_owned());
                }
                Some(_) | None => faults.add(
                    &name,
                    "must be a string, and is for services of providers only",
                ),
            },
            _ => {
                let known = ["origins", "engine"].map(str::to_owned);
                let suggestion = suggestion(nearest(&member, &known).as_deref());
                faults.add(&name, format_args!("is not a setting{suggestion}"));
            }
        }
    }
}

/// Parses a list of origins, or a single one.
///
/// # Errors
/// The entries that are no origins.
fn origins(value: &Value) -> Result<Vec<Origin>, Problem> {
    Given::new("", Source::File, value.clone())
        .not_secret()
        .origins()
}
