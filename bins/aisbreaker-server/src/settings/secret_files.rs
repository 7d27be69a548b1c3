//! Secrets in files: every secret setting may be in the file that `NAME_FILE` or the key `…_file`
//! names, or be a credential of systemd, `$CREDENTIALS_DIRECTORY/aisbreaker.<key>`.
//!
//! Rows whose own variable ends in `_FILE` name files by themselves, since theirs are reloaded. They
//! take the credential of their secret as such a file.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use toml::Value;

use super::{
    faults::Faults,
    given::{Given, Source},
    setting::Setting,
    sources::Sources,
    table::SETTINGS,
};
use crate::files;

/// Names the folder of the credentials that systemd passes to a service.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// Returns whether the table has a row of its own for the files of this secret.
pub(super) fn has_own_row(setting: &Setting) -> bool {
    let variable = setting.file_variable();
    SETTINGS.iter().any(|other| other.variable == variable)
}

/// Returns the secret whose files this row names.
fn secret_of_row(row: &Setting) -> Option<&'static Setting> {
    let is_it = |other: &&Setting| other.is_secret && other.file_variable() == row.variable;
    SETTINGS.iter().find(is_it)
}

/// Returns what is wrong with a secret that is given twice.
fn given_twice(other: &Given) -> String {
    format!(
        "must not be set together with {}: give the secret once, itself or in a file",
        other.name
    )
}

impl Sources {
    /// Adds the secret that a file holds. A secret that is there already is a fault, since one of the
    /// two would silently not count.
    pub(super) fn take_secret_files(
        &mut self,
        setting: &Setting,
        given: &mut Vec<Given>,
        faults: &mut Faults,
    ) {
        if let Some(secret) = secret_of_row(setting) {
            self.add_credential_as_path(secret, given, faults);
        }
        if !setting.is_secret || has_own_row(setting) {
            return;
        }
        for (name, path) in self.secret_paths(setting, faults) {
            if let Some(other) = given.first() {
                faults.add(&name, given_twice(other));
                continue;
            }
            self.secret_files.push(path.clone());
            match files::read_secret(&path) {
                // Its value is checked like that of a variable.
                Ok(text) => {
                    let name = format!("{name} ({})", path.display());
                    given.push(Given::new(&name, Source::Environment, text.into()));
                }
                Err(problem) => faults.add(&name, problem),
            }
        }
    }

    /// Returns the files in which this secret is given, each with the name it is reported under.
    fn secret_paths(&mut self, setting: &Setting, faults: &mut Faults) -> Vec<(String, PathBuf)> {
        let mut paths = Vec::new();
        let variable = setting.file_variable();
        let from_file = setting
            .key
            .and_then(|key| self.take_from_file(&format!("{key}_file")));
        match (self.environment_value(&variable), from_file) {
            (Some(path), _) if !path.is_empty() => paths.push((variable, path.into())),
            (Some(_), _) if !setting.ignores_empty => {
                faults.add(&variable, "must be the path of a file");
            }
            (_, Some(value)) => {
                let name = self.in_file(&format!("{}_file", setting.name()));
                match value {
                    Value::String(path) => paths.push((name, path.into())),
                    Value::Integer(_)
                    | Value::Float(_)
                    | Value::Boolean(_)
                    | Value::Datetime(_)
                    | Value::Array(_)
                    | Value::Table(_) => faults.add(&name, "must be the path of a file"),
                }
            }
            (_, None) => {}
        }
        paths.extend(self.credential(setting));
        paths
    }

    /// Adds the path of a credential to those of the row that names files of its secret.
    fn add_credential_as_path(
        &self,
        secret: &Setting,
        given: &mut Vec<Given>,
        faults: &mut Faults,
    ) {
        let Some((name, path)) = self.credential(secret) else {
            return;
        };
        if let Some(other) = given.first() {
            return faults.add(&name, given_twice(other));
        }
        match path.into_os_string().into_string() {
            Ok(path) => given.push(Given::new(&name, Source::Environment, path.into())),
            Err(_) => faults.add(&name, "is in a folder whose name is not valid UTF-8"),
        }
    }

    /// Returns the file of this secret among the credentials of systemd, if it is there.
    fn credential(&self, setting: &Setting) -> Option<(String, PathBuf)> {
        let directory = self.environment_value(CREDENTIALS_DIRECTORY)?;
        let name = format!("aisbreaker.{}", setting.key?);
        let path = Path::new(directory).join(&name);
        let is_there = !directory.is_empty() && fs::symlink_metadata(&path).is_ok();
        is_there.then(|| (format!("credential {name}"), path))
    }

    fn environment_value(&self, name: &str) -> Option<&OsStr> {
        self.environment.get(name).map(|value| value.as_os_str())
    }
}
