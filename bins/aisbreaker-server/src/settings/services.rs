//! The settings of services and providers: whole tables, which only the configuration file can
//! hold.

use aisbreaker_api::Origin;
use aisbreaker_services::{
    ProviderRows,
    services::{self, Options},
};
use toml::{Table, Value};

use super::{faults::Faults, sources::Sources};

const SERVICES: &str = "services";
const PROVIDER: &str = "provider";
const USAGE: &str = "usage";

/// Reads the rows `[[provider]]`, the usage rules `[usage.<name>]` that they refer to, and the
/// tables `[services."<id>"]`.
pub(super) fn read(sources: &mut Sources, faults: &mut Faults) -> Options {
    let mut options = Options::default();
    read_providers(sources, faults, &mut options);
    match sources.take_from_file(SERVICES) {
        None => {}
        Some(Value::Table(services)) => {
            let known = services::configurable_ids(&options.providers);
            for (id, value) in services {
                let name = format!("{SERVICES}.\"{id}\"");
                if !known.contains(&id) {
                    faults.add(
                        &name,
                        "is not a service that calls a provider, such as \"chat:openai.com\"",
                    );
                }
                read_service(&id, &name, value, faults, &mut options);
            }
        }
        Some(_) => faults.add(SERVICES, "must be a table"),
    }
    options
}

fn read_providers(sources: &mut Sources, faults: &mut Faults, options: &mut Options) {
    let mut table = Table::new();
    for name in [PROVIDER, USAGE] {
        if let Some(value) = sources.take_from_file(name) {
            table.insert(name.to_owned(), value);
        }
    }
    let rows = match table.try_into::<ProviderRows>() {
        Ok(rows) => rows,
        Err(error) => {
            let problem = shown(error.message());
            return faults.add(
                PROVIDER,
                format_args!("has a row that cannot be read: {problem}"),
            );
        }
    };
    match options.providers.with_rows(rows) {
        Ok(providers) => options.providers = providers,
        Err(invalid) => faults.add(PROVIDER, format_args!("has an unusable row: {invalid}")),
    }
}

/// Returns the parser's message if it names a member; others repeat values.
fn shown(message: &str) -> &str {
    if message.starts_with("unknown field") || message.starts_with("missing field") {
        message
    } else {
        "a member is not of its kind, as the README shows it"
    }
}

fn read_service(id: &str, name: &str, value: Value, faults: &mut Faults, options: &mut Options) {
    let Value::Table(members) = value else {
        return faults.add(name, "must be a table");
    };
    for (member, value) in members {
        let name = format!("{name}.{member}");
        match member.as_str() {
            "origins" => match origins(&value) {
                Some(origins) => {
                    options.operator_origins.insert(id.to_owned(), origins);
                }
                None => faults.add(
                    &name,
                    "must be a list of origins such as https://llm.example.com",
                ),
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
            _ => faults.add(&name, "in the configuration file is not a setting"),
        }
    }
}

/// Parses a list of origins, or a single one. `None` if one of them is not an origin.
fn origins(value: &Value) -> Option<Vec<Origin>> {
    let entries = match value.as_array() {
        Some(entries) => entries.as_slice(),
        None => std::slice::from_ref(value),
    };
    entries
        .iter()
        .map(|entry| Origin::parse(entry.as_str()?).ok())
        .collect()
}
