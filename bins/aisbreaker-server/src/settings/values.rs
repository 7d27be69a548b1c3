//! Where settings come from: flags, the environment and the configuration file, in this order of
//! precedence.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use toml::{Table, Value};

/// All faults of the settings, found in one go.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    /// Notes a fault of the named setting; `problem` must not repeat the value.
    pub(crate) fn add(&mut self, name: &str, problem: impl std::fmt::Display) {
        self.0.push(format!("{name} {problem}"));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cannot start with these settings:")?;
        self.0
            .iter()
            .try_for_each(|fault| write!(f, "\n  - {fault}"))
    }
}

impl std::error::Error for Faults {}

/// One setting: its key in the file and its variable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Dotted path in the configuration file.
    pub(crate) key: &'static str,
    /// The environment variable.
    pub(crate) variable: &'static str,
}

/// A value and the name under which it was given. May be a secret, so it has no `Debug`.
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) value: Value,
}

/// What was given in all places. Holds secrets, so it has no `Debug`.
#[derive(Default)]
pub(crate) struct Values {
    environment: BTreeMap<String, OsString>,
    /// Leaves of the configuration file by dotted path.
    file: BTreeMap<String, Value>,
}

impl Values {
    pub(crate) fn new(environment: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let environment = environment
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        Self {
            environment,
            file: BTreeMap::new(),
        }
    }

    /// Reads the configuration file; its values are taken by [`Values::take`] or are faults in the
    /// end.
    pub(crate) fn read_file(&mut self, path: &Path, branches: &[&str], faults: &mut Faults) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                return faults.add(
                    "configuration file",
                    format_args!("cannot be read: {error}"),
                );
            }
        };
        match text.parse::<Table>() {
            Ok(table) => self.flatten("", table, branches),
            // The parser's own message shows the line, which may hold a secret.
            Err(error) => {
                let line = error
                    .span()
                    .and_then(|span| text.get(..span.start))
                    .map_or(1, |before| before.lines().count().max(1));
                faults.add(
                    "configuration file",
                    format_args!("is not valid TOML near line {line}"),
                );
            }
        }
    }

    fn flatten(&mut self, prefix: &str, table: Table, branches: &[&str]) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            let inner = value
                .as_table()
                .filter(|_| branches.contains(&key.as_str()))
                .cloned();
            match inner {
                Some(inner) => self.flatten(&format!("{key}."), inner, branches),
                None => {
                    self.file.insert(key, value);
                }
            }
        }
    }

    /// What was given for a setting. An empty variable is none, unless `keeps_empty`.
    pub(crate) fn take(
        &mut self,
        setting: Setting,
        keeps_empty: bool,
        faults: &mut Faults,
    ) -> Option<Given> {
        let in_file = self.file.remove(setting.key);
        if let Some(value) = self
            .environment
            .get(setting.variable)
            .filter(|value| keeps_empty || !value.is_empty())
        {
            let name = setting.variable.to_owned();
            return match value.to_str() {
                Some(text) => Some(Given {
                    name,
                    value: Value::String(text.to_owned()),
                }),
                None => {
                    faults.add(&name, "is not valid UTF-8");
                    None
                }
            };
        }
        in_file.map(|value| Given {
            name: setting.key.to_owned(),
            value,
        })
    }

    /// Whether anything was given for a setting.
    pub(crate) fn has(&self, setting: Setting) -> bool {
        self.file.contains_key(setting.key) || self.variable(setting.variable).is_some()
    }

    /// A variable that is no setting of its own.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsString> {
        self.environment.get(name).filter(|value| !value.is_empty())
    }

    /// A value of the file that has no variable.
    pub(crate) fn take_from_file(&mut self, key: &str) -> Option<Value> {
        self.file.remove(key)
    }

    /// Every value of the file that nothing took is unknown.
    pub(crate) fn refuse_rest(&self, faults: &mut Faults) {
        for key in self.file.keys() {
            faults.add(key, "in the configuration file is not a setting");
        }
    }

    /// Names of variables that look like settings but are none.
    pub(crate) fn unknown_variables<'a>(
        &'a self,
        known: &'a [&str],
    ) -> impl Iterator<Item = &'a str> {
        let names = self.environment.keys().map(String::as_str);
        names.filter(|name| name.starts_with("AISBREAKER_") && !known.contains(name))
    }
}
