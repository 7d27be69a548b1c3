//! Every fault in the settings, collected so that all of them are reported at once.

use std::fmt;

/// The faults that keep the server from starting, each named after its setting.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    /// Adds a fault of the named setting. `problem` continues the name, as in "must be a list", and
    /// must not repeat a value that may be a secret.
    pub(super) fn add(&mut self, name: &str, problem: impl fmt::Display) {
        self.0.push(format!("{name} {problem}"));
    }

    /// Returns the faults, each as a sentence that begins with the name of its setting.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Returns all faults in one line.
    pub(crate) fn in_one_line(&self) -> String {
        self.0.join("; ").replace('\n', " ")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot start with these settings:")?;
        self.0
            .iter()
            .try_for_each(|fault| write!(f, "\n  - {fault}"))
    }
}

impl std::error::Error for Faults {}
