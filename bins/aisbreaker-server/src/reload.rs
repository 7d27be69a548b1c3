//! What the process reloads on SIGHUP: the files of the server keys, and that of revoked keys.
//!
//! All or nothing: the ring is built as a whole and then replaced, and a file that cannot be used
//! changes nothing.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aisbreaker_gateway::{Clock as _, Gateway, SystemClock};
use aisbreaker_token::KeyRing;
use tokio::signal::unix::Signal;

use crate::{revoked_file::RevokedFile, settings::KeySources};

/// Reloads files whenever the process gets SIGHUP.
pub(crate) struct Reload {
    hangup: Signal,
    keys: Arc<KeySources>,
    max_lifetime: Duration,
}

impl Reload {
    /// Creates it with the signal, which is caught already.
    pub(crate) fn new(hangup: Signal, keys: KeySources, max_lifetime: Duration) -> Self {
        warn_about_files(&keys, SystemClock::new().wall(), max_lifetime);
        Self {
            hangup,
            keys: Arc::new(keys),
            max_lifetime,
        }
    }

    /// Reloads the files at each signal, for as long as it is polled.
    pub(crate) async fn run(&mut self, gateway: &Gateway, revoked: Option<&RevokedFile>) {
        loop {
            if self.hangup.recv().await.is_none() {
                // No further signal can come.
                return std::future::pending().await;
            }
            if self.keys.files().next().is_none() && revoked.is_none() {
                tracing::info!("SIGHUP: no setting names a file to reload");
                continue;
            }
            if let Some(file) = revoked {
                match file.read(gateway).await {
                    Ok(()) => tracing::info!("SIGHUP: the revoked keys are reloaded"),
                    Err(error) => tracing::error!(
                        %error,
                        "SIGHUP: the file of revoked keys cannot be reloaded: keeping the previous list"
                    ),
                }
            }
            if self.keys.files().next().is_some() {
                self.replace_keys(gateway).await;
            }
        }
    }

    async fn replace_keys(&self, gateway: &Gateway) {
        let keys = Arc::clone(&self.keys);
        // Phrases take a fifth of a second each.
        let built = tokio::task::spawn_blocking(move || keys.ring()).await;
        match built {
            Ok(Ok(ring)) => {
                let kid = ring.sealing_key_id();
                warn_about_phrases(&ring);
                gateway.replace_keys(ring);
                tracing::info!(%kid, "SIGHUP: the server keys are reloaded");
                warn_about_files(&self.keys, SystemClock::new().wall(), self.max_lifetime);
            }
            Ok(Err(problem)) => tracing::error!(
                %problem,
                "SIGHUP: the server keys cannot be reloaded: keeping the previous ones"
            ),
            Err(_panicked) => {
                tracing::error!(
                    "SIGHUP: the server keys cannot be reloaded: keeping the previous ones"
                );
            }
        }
    }
}

/// Warns of phrases so short that they can be guessed.
pub(crate) fn warn_about_phrases(ring: &KeyRing) {
    let phrases = ring.short_phrases();
    if phrases > 0 {
        tracing::warn!(
            phrases,
            "phrases under 10 characters open keys of the original server: anybody who guesses one can \
             forge such keys; white space separates phrases, so one that contains some needs a file of \
             its own (keys.opening_files)"
        );
    }
}

/// Warns of files that others can read, and of keys that nobody can need any more.
///
/// How long a key has only opened is known by its file alone: what was sealed after that was written,
/// another server has sealed.
fn warn_about_files(keys: &KeySources, now: SystemTime, max_lifetime: Duration) {
    for file in keys.exposed_files() {
        tracing::warn!(file = %file.display(), "everybody on this machine can read this file of a server key");
    }
    for file in keys.stale_files(now, max_lifetime) {
        warn_about_stale_file(file);
    }
}

fn warn_about_stale_file(file: &Path) {
    tracing::warn!(
        file = %file.display(),
        "no API key that was sealed before this file was written can be alive: unless a server still \
         seals with a key in it, drop it"
    );
}
