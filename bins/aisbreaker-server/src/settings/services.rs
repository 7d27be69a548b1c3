//! The settings of services and providers, which only the configuration file has.

use aisbreaker_api::Origin;
use aisbreaker_services::{
    ProviderRows,
    services::{self, Options},
};
use toml::{Table, Value};

use super::parse::Reader;

const SERVICES: &str = "services";
/// Rows of the provider table, and rules of how usage is read, as in the table that is built in.
const PROVIDERS: [&str; 2] = ["provider", "usage"];

impl Reader {
    /// The rows `[[provider]]` with their rules `[usage.<name>]`, and the tables
    /// `[services."<id>"]` of the file.
    pub(super) fn services(&mut self) -> Options {
        let mut options = Options::default();
        self.providers(&mut options);
        match self.values.take_from_file(SERVICES) {
            None => {}
            Some(Value::Table(services)) => {
                let known = services::configurable_ids(&options.providers);
                for (id, value) in services {
                    self.service(&id, value, &known, &mut options);
                }
            }
            Some(_) => self.faults.add(SERVICES, "must be a table"),
        }
        options
    }

    fn providers(&mut self, options: &mut Options) {
        let members = PROVIDERS.into_iter().filter_map(|name| {
            let value = self.values.take_from_file(name)?;
            Some((name.to_owned(), value))
        });
        let table: Table = members.collect();
        let rows = match table.try_into::<ProviderRows>() {
            Ok(rows) => rows,
            Err(error) => {
                // Other messages repeat values.
                let is_of_names = |text: &&str| {
                    text.starts_with("unknown field") || text.starts_with("missing field")
                };
                let message = Some(error.message()).filter(is_of_names);
                let problem =
                    message.unwrap_or("a member is not of its kind, as the README shows it");
                return self.faults.add(
                    "provider",
                    format_args!("has a row that cannot be read: {problem}"),
                );
            }
        };
        match options.providers.with_rows(rows) {
            Ok(providers) => options.providers = providers,
            Err(invalid) => self
                .faults
                .add("provider", format_args!("has an unusable row: {invalid}")),
        }
    }

    fn service(&mut self, id: &str, value: Value, known: &[String], options: &mut Options) {
        let name = format!("{SERVICES}.\"{id}\"");
        let Value::Table(mut members) = value else {
            return self.faults.add(&name, "must be a table");
        };
        if !known.iter().any(|known| known == id) {
            self.faults.add(
                &name,
                "is not a service that calls a provider, such as \"chat:openai.com\"",
            );
        }
        if let Some(origins) = self.origins(&name, &mut members) {
            options.operator_origins.insert(id.to_owned(), origins);
        }
        if let Some(engine) = members.remove("engine") {
            match engine.as_str() {
                Some(engine) if !id.starts_with("aisbreaker:") && !engine.is_empty() => {
                    options.engines.insert(id.to_owned(), engine.to_owned());
                }
                Some(_) | None => {
                    let problem = "must be a string, and is for services of providers only";
                    self.faults.add(&format!("{name}.engine"), problem);
                }
            }
        }
        for unknown in members.keys() {
            self.faults.add(
                &format!("{name}.{unknown}"),
                "in the configuration file is not a setting",
            );
        }
    }

    /// Takes `origins` out of the members of a service.
    fn origins(&mut self, name: &str, members: &mut Table) -> Option<Vec<Origin>> {
        let value = members.remove("origins")?;
        let texts = value.as_array().cloned().unwrap_or_else(|| vec![value]);
        let origins: Option<Vec<Origin>> = texts
            .iter()
            .map(|text| text.as_str().and_then(|text| Origin::parse(text).ok()))
            .collect();
        if origins.is_none() {
            self.faults.add(
                &format!("{name}.origins"),
                "must be a list of origins such as https://llm.example.com",
            );
        }
        origins
    }
}
