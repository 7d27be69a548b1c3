//! The files that server keys come from, in place of the settings themselves.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use aisbreaker_token::OpeningKey;
use toml::Value;

use super::given::{Given, Problem, Source, is_comma};
use crate::files;

/// For how long clients may use the public key of a server key after it is replaced: the age of the
/// key set in their caches.
const PUBLIC_KEY_AGE: Duration = Duration::from_secs(900);

/// The warning about a phrase that looks like a mistyped 32-byte key.
pub(crate) const NEARLY_RAW_KEY: &str = "this phrase looks like a 32-byte key, but a key has 43 \
                                         characters of base64url: it is used as a phrase";

/// The files of server keys.
#[derive(Debug, Default)]
pub(crate) struct KeyFiles {
    pub(super) sealing: Option<KeyFile>,
    pub(super) opening: Vec<KeyFile>,
}

/// A file of server keys.
#[derive(Debug)]
pub(crate) enum KeyFile {
    /// It has one key.
    Single(PathBuf),
    /// It has keys that are separated by white space, as in the variable.
    List(PathBuf),
}

impl Given {
    /// Returns files of keys that open: in the settings file with one key each, which may have
    /// spaces in it, and in the environment with a list like that of the variable for the keys.
    pub(super) fn opening_files(&self) -> Result<Vec<KeyFile>, Problem> {
        let paths = self.entries(is_comma)?.into_iter().map(PathBuf::from);
        Ok(match self.source {
            Source::File => paths.map(KeyFile::Single).collect(),
            Source::Environment | Source::Flag => paths.map(KeyFile::List).collect(),
        })
    }
}

impl KeyFiles {
    /// Returns the files of keys that only open, and that were written so long ago that no API key
    /// which was sealed before can be alive.
    pub(crate) fn stale_files(&self, now: SystemTime, max_lifetime: Duration) -> Vec<&Path> {
        let mut stale = Vec::new();
        let latest_life = max_lifetime.saturating_add(PUBLIC_KEY_AGE);
        for file in self.opening.iter().map(KeyFile::path) {
            let written = fs::metadata(file).and_then(|metadata| metadata.modified());
            if let Ok(written) = written
                && now
                    .duration_since(written)
                    .is_ok_and(|age| age > latest_life)
            {
                stale.push(file);
            }
        }
        stale
    }

    /// Returns the files that everybody on the machine can read.
    pub(crate) fn exposed_files(&self) -> Vec<&Path> {
        let all = self.sealing.iter().chain(&self.opening);
        all.map(KeyFile::path)
            .filter(|file| files::is_exposed(file))
            .collect()
    }
}

impl KeyFile {
    fn path(&self) -> &Path {
        match self {
            Self::Single(path) | Self::List(path) => path,
        }
    }

    /// Reads the file as if it were the value of a variable, reported under the name of this setting.
    /// To be called once: a pipe is empty the second time, and a file may have been replaced.
    pub(super) fn read(&self, setting: &str) -> Result<Given, Problem> {
        let text = files::read_secret(self.path())?;
        let text = Value::String(text);
        Ok(Given::new(setting, Source::Environment, text))
    }

    /// Returns the keys in the text of this file.
    pub(super) fn opening_keys(&self, text: &Given) -> Result<Vec<OpeningKey>, Problem> {
        match self {
            Self::Single(_) => Ok(vec![text.opening_key()?]),
            Self::List(_) => text.opening_keys(),
        }
    }
}
