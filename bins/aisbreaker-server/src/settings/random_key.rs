//! The key that seals API keys where none is set.

use aisbreaker_token::{KeyError, ServerKey};
use secrecy::{ExposeSecret as _, SecretString};

use super::faults::Faults;

/// A random server key, which lives as long as the process.
#[derive(Debug)]
pub(crate) struct RandomKey(SecretString);

impl RandomKey {
    /// Generates a key.
    ///
    /// # Errors
    /// [`Faults`] if the operating system returns no random bytes.
    pub(crate) fn generate() -> Result<Self, Faults> {
        let text = ServerKey::generate().map(|key| key.expose_text());
        match text {
            // A generated key always has a text.
            Ok(text) => Ok(Self(text.unwrap_or_default())),
            Err(error) => Err(unusable(&error)),
        }
    }

    /// Returns the key.
    pub(super) fn server_key(&self) -> Result<ServerKey, Faults> {
        ServerKey::parse(self.0.expose_secret()).map_err(|error| unusable(&error))
    }
}

fn unusable(error: &KeyError) -> Faults {
    let mut faults = Faults::default();
    faults.add(
        "random sealing key",
        format_args!("cannot be generated: {error}"),
    );
    faults
}
