//! Where settings come from: flags, environment variables and the configuration file. A flag beats
//! the environment, the environment beats the file.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::Path,
};

use toml::{Table, Value};

use super::{
    faults::Faults,
    given::{Given, Source},
    setting::Setting,
    table::SETTINGS,
};

/// Variables of the original server's clients, often set in the same environment.
const CLIENT_VARIABLES: [&str; 2] = ["AISBREAKER_SERVER_URL", "AISBREAKER_API_KEY"];

/// The flags that were given, by name without the dashes.
pub(crate) type Flags = BTreeMap<&'static str, OsString>;

/// Everything the operator gave. Holds secrets, so it has no `Debug`.
pub(super) struct Sources {
    flags: Flags,
    environment: BTreeMap<String, OsString>,
    /// The values of the configuration file by dotted key.
    file: BTreeMap<String, Value>,
}

impl Sources {
    /// Creates the sources without a configuration file, which [`read_file`](Self::read_file) adds.
    pub(super) fn new(
        flags: Flags,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Self {
        let environment = environment
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        Self {
            flags,
            environment,
            file: BTreeMap::new(),
        }
    }

    /// Reads the configuration file. [`take`](Self::take) removes its values one by one; those that
    /// are left are unknown, see [`refuse_unknown_keys`](Self::refuse_unknown_keys).
    pub(super) fn read_file(&mut self, path: &Path, faults: &mut Faults) {
        const NAME: &str = "configuration file";
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return faults.add(NAME, format_args!("cannot be read: {error}")),
        };
        match text.parse::<Table>() {
            Ok(table) => self.flatten("", &table),
            // The parser's own message shows the line, which may hold a secret.
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start));
                let line = before.map_or(1, |before| before.lines().count().max(1));
                faults.add(NAME, format_args!("is not valid TOML near line {line}"));
            }
        }
    }

    /// Adds the members of a table. Those of an inner table are added one by one if they are
    /// settings themselves, as in `[log]`, and as one value otherwise, as in `[quotas.server]`.
    fn flatten(&mut self, prefix: &str, table: &Table) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            match value.as_table() {
                Some(inner) if has_settings_below(&key) => {
                    self.flatten(&format!("{key}."), inner);
                }
                Some(_) | None => {
                    self.file.insert(key, value.clone());
                }
            }
        }
    }

    /// Takes the value of a setting, if one was given: the environment's or else the file's, and
    /// then the flag's, which wins but leaves no fault in the other one unreported.
    pub(super) fn take(&mut self, setting: &Setting, faults: &mut Faults) -> Vec<Given> {
        let from_file = setting
            .key
            .and_then(|key| Some((key, self.file.remove(key)?)));
        let from_flag = setting
            .flag
            .and_then(|flag| Some((flag.name, self.flags.get(flag.name)?)));

        let mut given = Vec::new();
        if let Some(value) = self.variable(setting) {
            given.extend(text(setting.variable, Source::Environment, value, faults));
        } else if let Some((key, value)) = from_file {
            given.push(Given::new(key, Source::File, value));
        }
        if let Some((name, value)) = from_flag {
            given.extend(text(&format!("--{name}"), Source::Flag, value, faults));
        }
        given
    }

    /// Returns the raw value of a setting that no configuration file can hold, such as its own
    /// path.
    pub(super) fn outside_file(&self, setting: &Setting) -> Option<&OsStr> {
        let from_flag = setting.flag.and_then(|flag| self.flags.get(flag.name));
        from_flag
            .or_else(|| self.variable(setting))
            .map(OsString::as_os_str)
    }

    /// Takes a value that only the file can hold.
    pub(super) fn take_from_file(&mut self, key: &str) -> Option<Value> {
        self.file.remove(key)
    }

    /// Reports every value of the file that was not taken.
    pub(super) fn refuse_unknown_keys(&self, faults: &mut Faults) {
        for key in self.file.keys() {
            faults.add(key, "in the configuration file is not a setting");
        }
    }

    /// Returns the variables that look like settings but are none, such as misspelt ones.
    pub(super) fn unknown_variables(&self) -> Vec<String> {
        let is_known = |name: &str| {
            SETTINGS.iter().any(|setting| setting.variable == name)
                || CLIENT_VARIABLES.contains(&name)
        };
        let names = self.environment.keys();
        names
            .filter(|name| name.starts_with("AISBREAKER_") && !is_known(name))
            .cloned()
            .collect()
    }

    /// Returns the environment's value. An empty one counts as unset where the setting says so.
    fn variable(&self, setting: &Setting) -> Option<&OsString> {
        let value = self.environment.get(setting.variable)?;
        if value.is_empty() && setting.ignores_empty {
            return None;
        }
        Some(value)
    }
}

fn has_settings_below(key: &str) -> bool {
    let is_below = |other: &str| {
        let rest = other.strip_prefix(key);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    SETTINGS
        .iter()
        .any(|setting| setting.key.is_some_and(is_below))
}

fn text(name: &str, source: Source, value: &OsStr, faults: &mut Faults) -> Option<Given> {
    match value.to_str() {
        Some(text) => Some(Given::new(name, source, Value::String(text.to_owned()))),
        None => {
            faults.add(name, "is not valid UTF-8");
            None
        }
    }
}
