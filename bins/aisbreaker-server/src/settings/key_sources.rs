//! Where the server keys come from: the settings themselves, or files that are read anew when the
//! process is asked to (SIGHUP).

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use aisbreaker_token::{KeyRing, OpeningKey, ServerKey};
use secrecy::{ExposeSecret as _, SecretString};
use toml::Value;

use super::given::{Given, Problem, Source, is_comma, unusable};
use crate::files::drop_line_end;

/// The bit of a file's mode that lets everybody read it.
const READABLE_BY_OTHERS: u32 = 0o004;
/// For how long clients may use the public key of a server key after it is replaced: the age of the
/// key set in their caches.
const PUBLIC_KEY_AGE: Duration = Duration::from_secs(900);

/// What is said of a phrase that looks like a mistyped 32-byte key.
pub(crate) const NEARLY_RAW_KEY: &str = "this phrase looks like a 32-byte key, but a key has 43 \
                                         characters of base64url: it is used as a phrase";

/// Where the server keys come from. The ring can be built from them again and again.
#[derive(Debug, Default)]
pub(crate) struct KeySources {
    /// `None`: a random one, as long as that is not set.
    pub(super) sealing: Option<KeySource>,
    pub(super) opening: Vec<KeySource>,
}

/// Where one server key comes from, or those that a file has to open with.
#[derive(Debug)]
pub(crate) enum KeySource {
    Text(SecretString),
    /// A file with one key.
    File(PathBuf),
    /// A file with keys that are separated by white space, as in the variable.
    ListFile(PathBuf),
}

impl Given {
    /// Returns the text of the key that [`sealing_key`](Self::sealing_key) parses.
    pub(super) fn sealing_source(&self) -> Result<KeySource, Problem> {
        Ok(KeySource::Text(self.text()?.into_owned().into()))
    }

    /// Returns the texts of the keys that [`opening_keys`](Self::opening_keys) parses.
    pub(super) fn opening_sources(&self) -> Result<Vec<KeySource>, Problem> {
        let entries = self.entries(char::is_whitespace)?.into_iter();
        Ok(entries.map(|entry| KeySource::Text(entry.into())).collect())
    }

    /// Returns files of keys that open: in the settings file with one key each, which may have
    /// spaces in it, and in the environment with a list like that of the variable for the keys.
    pub(super) fn opening_files(&self) -> Result<Vec<KeySource>, Problem> {
        let paths = self.entries(is_comma)?.into_iter().map(PathBuf::from);
        Ok(match self.source {
            Source::File => paths.map(KeySource::File).collect(),
            Source::Environment | Source::Flag => paths.map(KeySource::ListFile).collect(),
        })
    }
}

impl KeySources {
    /// Returns the files, first that of the key that seals.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let all = self.sealing.iter().chain(&self.opening);
        all.filter_map(KeySource::file)
    }

    /// Reads all files and builds the ring. May take a second, since phrases are slow to derive.
    ///
    /// # Errors
    /// What is wrong with the first file that cannot be used, by its path.
    pub(crate) fn ring(&self) -> Result<KeyRing, String> {
        let Some(sealing) = &self.sealing else {
            return Err("AUTH_ENCRYPTION_KEYPHRASE is not set".to_owned());
        };
        let mut ring = KeyRing::new(sealing.sealing_key().map_err(|e| sealing.describe(&e))?);
        sealing.warn_if_nearly_raw();
        for source in &self.opening {
            source.warn_if_nearly_raw();
            for key in source.opening_keys().map_err(|e| source.describe(&e))? {
                let added = ring.with_opening_key(key);
                ring = added.map_err(|error| source.describe(&unusable(error)))?;
            }
        }
        Ok(ring)
    }

    /// Returns the files of keys that only open, and that were written so long ago that no API key
    /// which was sealed before can be alive.
    pub(crate) fn stale_files(&self, now: SystemTime, max_lifetime: Duration) -> Vec<&Path> {
        let mut stale = Vec::new();
        let latest_life = max_lifetime.saturating_add(PUBLIC_KEY_AGE);
        for file in self.opening.iter().filter_map(KeySource::file) {
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
        let is_exposed = |file: &&Path| match fs::metadata(file) {
            Ok(metadata) => metadata.mode() & READABLE_BY_OTHERS != 0,
            Err(_unreadable) => false,
        };
        self.files().filter(is_exposed).collect()
    }
}

impl KeySource {
    fn file(&self) -> Option<&Path> {
        match self {
            Self::Text(_) => None,
            Self::File(path) | Self::ListFile(path) => Some(path),
        }
    }

    pub(super) fn sealing_key(&self) -> Result<ServerKey, Problem> {
        match self {
            Self::Text(text) => ServerKey::parse(text.expose_secret()).map_err(unusable),
            Self::File(path) | Self::ListFile(path) => read(path)?.sealing_key(),
        }
    }

    pub(super) fn opening_keys(&self) -> Result<Vec<OpeningKey>, Problem> {
        match self {
            Self::Text(text) => {
                let key = ServerKey::parse_for_opening(text.expose_secret());
                Ok(vec![key.map_err(unusable)?])
            }
            Self::File(path) => Ok(vec![read(path)?.opening_key()?]),
            Self::ListFile(path) => read(path)?.opening_keys(),
        }
    }

    /// Returns whether one of the keys in a file looks like a mistyped 32-byte key.
    pub(super) fn has_nearly_raw_key(&self) -> Result<bool, Problem> {
        match self {
            // Its setting says so itself.
            Self::Text(_) => Ok(false),
            Self::File(path) | Self::ListFile(path) => read(path)?.has_nearly_raw_key(),
        }
    }

    fn warn_if_nearly_raw(&self) {
        if let (Some(file), Ok(true)) = (self.file(), self.has_nearly_raw_key()) {
            tracing::warn!(file = %file.display(), "{NEARLY_RAW_KEY}");
        }
    }

    fn describe(&self, problem: &Problem) -> String {
        match self {
            Self::Text(_) => format!("a key of the settings {problem}"),
            Self::File(path) | Self::ListFile(path) => {
                format!("{} {problem}", path.display())
            }
        }
    }
}

/// Reads a file as if it were the value of a variable.
fn read(path: &Path) -> Result<Given, Problem> {
    let mut text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Err(format!("cannot be read: {error}").into()),
    };
    drop_line_end(&mut text);
    Ok(Given::new("", Source::Environment, Value::String(text)))
}
