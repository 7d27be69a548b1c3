//! Where settings come from: flags, environment variables and the configuration file. A flag beats
//! the environment, the environment beats the file.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    config_file,
    faults::Faults,
    given::{Given, Source},
    kubernetes,
    nearest::{nearest_key, suggestion},
    setting::{Flag, Setting},
    table::{SETTINGS, is_file_variable},
};

/// Variables of the original server's clients, often set in the same environment.
const CLIENT_VARIABLES: [&str; 2] = ["AISBREAKER_SERVER_URL", "AISBREAKER_API_KEY"];

/// The flags that were given, by name without the dashes.
pub(crate) type Flags = BTreeMap<&'static str, OsString>;

/// Everything the operator gave. Holds secrets, so it has no `Debug`.
pub(super) struct Sources {
    flags: Flags,
    pub(super) environment: BTreeMap<String, OsString>,
    /// The path of the configuration file, if there is one.
    path: Option<PathBuf>,
    /// The values of the configuration file by dotted key.
    file: BTreeMap<String, Value>,
    /// The files from which secrets were read.
    pub(super) secret_files: Vec<PathBuf>,
}

impl Sources {
    /// Creates the sources without a configuration file, which [`read_file`](Self::read_file) adds.
    /// Of the environment, one line end after each value is dropped: shells and mounted files leave
    /// it there.
    pub(super) fn new(
        flags: Flags,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Self {
        let mut variables = BTreeMap::new();
        for (name, value) in environment {
            // A name that is not UTF-8 is not one of a setting.
            if let Ok(name) = name.into_string() {
                variables.insert(name, without_line_end(value));
            }
        }
        Self {
            flags,
            environment: variables,
            path: None,
            file: BTreeMap::new(),
            secret_files: Vec::new(),
        }
    }

    /// Reads the configuration file. [`take`](Self::take) removes its values one by one; those that
    /// are left are unknown, see [`refuse_unknown_keys`](Self::refuse_unknown_keys).
    pub(super) fn read_file(&mut self, path: &Path, faults: &mut Faults) {
        self.path = Some(path.to_owned());
        match config_file::read(path) {
            Ok(table) => self.flatten("", &table),
            Err(problem) => faults.add("configuration file", problem),
        }
    }

    /// Returns the name under which a key of the configuration file is reported.
    pub(super) fn in_file(&self, key: &str) -> String {
        match &self.path {
            Some(path) => format!("{key} in {}", path.display()),
            None => key.to_owned(),
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
        let from_file = setting.key.and_then(|key| self.file.remove_entry(key));
        let mut given = Vec::new();
        if let Some(value) = self.variable(setting) {
            given.extend(text(setting.variable, Source::Environment, value, faults));
        } else if let Some((key, value)) = from_file {
            given.push(Given::new(&self.in_file(&key), Source::File, value));
        }
        if let Some((flag, value)) = self.flag(setting) {
            given.extend(text(
                &format!("--{}", flag.name),
                Source::Flag,
                value,
                faults,
            ));
        }
        self.take_secret_files(setting, &mut given, faults);
        if !setting.is_secret {
            given = given.into_iter().map(Given::not_secret).collect();
        }
        given
    }

    /// Returns the raw value of a setting that no configuration file can hold, such as its own
    /// path.
    pub(super) fn outside_file(&self, setting: &Setting) -> Option<(Source, &OsStr)> {
        match self.flag(setting) {
            Some((_, value)) => Some((Source::Flag, value)),
            None => Some((Source::Environment, self.variable(setting)?)),
        }
    }

    /// Takes a value that only the file can hold.
    pub(super) fn take_from_file(&mut self, key: &str) -> Option<Value> {
        self.file.remove(key)
    }

    /// Reports every value of the file that was not taken.
    pub(super) fn refuse_unknown_keys(&self, faults: &mut Faults) {
        for key in self.file.keys() {
            let suggestion = suggestion(nearest_key(key).as_deref());
            faults.add(
                &self.in_file(key),
                format_args!("is not a setting{suggestion}"),
            );
        }
    }

    /// Returns the variables that look like settings but are none, such as misspelt ones.
    pub(super) fn unknown_variables(&self) -> Vec<String> {
        let is_known = |name: &str| {
            SETTINGS.iter().any(|setting| setting.variable == name)
                || CLIENT_VARIABLES.contains(&name)
                || is_file_variable(name)
                || kubernetes::is_service_link(name, &self.environment)
        };
        let mut unknown: Vec<String> = self.environment.keys().cloned().collect();
        unknown.retain(|name| name.starts_with("AISBREAKER_") && !is_known(name));
        unknown
    }

    /// Returns the environment's value. An empty one counts as unset where the setting says so.
    fn variable(&self, setting: &Setting) -> Option<&OsStr> {
        let value = self.environment.get(setting.variable)?;
        if value.is_empty() && setting.ignores_empty {
            return None;
        }
        Some(value)
    }

    fn flag(&self, setting: &Setting) -> Option<(Flag, &OsStr)> {
        let flag = setting.flag?;
        let value = self.flags.get(flag.name)?;
        Some((flag, value))
    }
}

fn has_settings_below(key: &str) -> bool {
    let prefix = format!("{key}.");
    SETTINGS
        .iter()
        .any(|setting| setting.key.is_some_and(|key| key.starts_with(&prefix)))
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

/// Returns a value without one line end of any system after it.
fn without_line_end(value: OsString) -> OsString {
    match value.into_string() {
        Ok(mut text) => {
            crate::files::drop_line_end(&mut text);
            text.into()
        }
        // Only a path need not be UTF-8.
        Err(value) => value,
    }
}
