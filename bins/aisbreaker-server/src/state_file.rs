//! The state file, in which quota counters outlive the process. The gateway defines its content;
//! this module decides when it is written and ensures that there is always a complete one.
//!
//! It is written at intervals while requests are charged, and once more at the end: when all
//! requests have finished, when the drain timeout is over, or at once after a second signal. A
//! killed process loses the charges since the last write, so that up to that many more requests are
//! admitted, and none fewer. Ceilings, in a file beside it, keep it from losing what was spent of
//! budgets in all: they hold until the last write has all of it.
//!
//! The file holds no secrets: key ids, client addresses and numbers. It is readable only by the
//! server's user all the same.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aisbreaker_gateway::{Clock, Gateway, SavedCounters};
use rustix::fs::{FlockOperation, flock};

use crate::files::{check_directory, open_lock_file, replace, resolve, set_aside};

/// How long the end of the process waits for the last write: enough for the largest file on a slow
/// disk.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A write at an interval, or the last one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Write {
    Interval,
    Last,
}

/// A state file, locked by this process.
#[derive(Debug)]
pub(crate) struct StateFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// Whether the last write failed. Locked for the whole of a write, so that there is one at a
    /// time.
    has_failed: Mutex<bool>,
    /// Locks out other servers for as long as it is open.
    _lock: File,
}

impl StateFile {
    /// Locks and reads the file at `path`, which need not exist. A file that does not hold counters
    /// is renamed, and counters start empty.
    ///
    /// # Errors
    /// What is wrong with the path, as a continuation of its setting's name: "is a directory".
    pub(crate) fn open(
        path: &Path,
        max_counters: usize,
        clock: &impl Clock,
    ) -> Result<(Self, Option<SavedCounters>), String> {
        let path = resolve(path)?;
        let lock = lock(&path)?;
        check_directory(&path)?;
        let saved = read(&path, max_counters, clock)?;
        Ok((
            Self(Arc::new(Inner {
                path,
                has_failed: Mutex::new(false),
                _lock: lock,
            })),
            saved,
        ))
    }

    /// Writes the file at this interval, if something was charged in it, for as long as it is
    /// polled.
    pub(crate) async fn write_at_intervals(&self, interval: Duration, gateway: &Gateway) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick is immediate, when there is nothing to write yet.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            self.write(gateway, Write::Interval).await;
        }
    }

    /// Writes the file for the last time, if something was charged since the last write. Gives up
    /// after a timeout, so that a disk that hangs does not keep the process.
    pub(crate) async fn write_last(&self, gateway: &Gateway) {
        if tokio::time::timeout(LAST_WRITE_TIMEOUT, self.write(gateway, Write::Last))
            .await
            .is_err()
        {
            let file = self.0.path.display();
            tracing::warn!(
                %file,
                "the state file was not written in time: a restart forgets the charges since the \
                 last write"
            );
        }
    }

    /// Returns the path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    async fn write(&self, gateway: &Gateway, which: Write) {
        let (inner, gateway) = (Arc::clone(&self.0), gateway.clone());
        // A write continues if this future is dropped, and the next one waits for it.
        let _written = tokio::task::spawn_blocking(move || inner.write(&gateway, which)).await;
    }
}

impl Inner {
    fn write(&self, gateway: &Gateway, which: Write) {
        let mut has_failed = self
            .has_failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if which == Write::Last {
            // First, so that nothing is reserved after it is written.
            gateway.close_ceilings();
        }
        if gateway.has_unwritten_counters() {
            *has_failed = !self.write_counters(gateway, *has_failed);
            if *has_failed {
                return;
            }
        } else if which == Write::Interval {
            return;
        }
        let ceilings = match which {
            Write::Interval => gateway.compact_ceilings(),
            Write::Last => gateway.clear_ceilings(),
        };
        if let Err(error) = ceilings {
            let file = self.path.display();
            tracing::warn!(%file, %error, "the ceilings beside the state file cannot be rewritten");
        }
    }

    /// Returns whether it succeeded.
    fn write_counters(&self, gateway: &Gateway, had_failed: bool) -> bool {
        let file = self.path.display();
        match replace(&self.path, |to| gateway.write_counters(to)) {
            Ok(()) if had_failed => tracing::info!(%file, "the state file is written again"),
            Ok(()) => tracing::debug!(%file, "the state file is written"),
            Err(error) => {
                gateway.forget_written_counters();
                if !had_failed {
                    tracing::warn!(
                        %file,
                        %error,
                        "the state file cannot be written: a restart would forget the charges \
                         since the last write"
                    );
                }
                return false;
            }
        }
        true
    }
}

/// Locks out other servers.
fn lock(path: &Path) -> Result<File, String> {
    let shown = path.display();
    let file =
        open_lock_file(path).map_err(|error| format!("cannot be locked: {shown}.lock: {error}"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
            Err(format!("is in use by another server: {shown}"))
        }
        Err(error) => Err(format!("cannot be locked: {shown}.lock: {error}")),
    }
}

fn read(
    path: &Path,
    max_counters: usize,
    clock: &impl Clock,
) -> Result<Option<SavedCounters>, String> {
    let file = path.display();
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::info!(%file, "there is no state file yet: counters start empty");
            return Ok(None);
        }
        Err(error) => return Err(format!("cannot be read: {file}: {error}")),
    };
    match SavedCounters::read(&bytes, max_counters, clock) {
        Ok(saved) => {
            tracing::info!(%file, counters = saved.count(), "counters go on from the state file");
            Ok(Some(saved))
        }
        Err(reason) => {
            let renamed = set_aside(path, clock.wall()).map_err(|error| {
                format!("cannot be read ({reason}) nor set aside: {file}: {error}")
            })?;
            tracing::warn!(
                %file,
                aside = %renamed.display(),
                %reason,
                "the state file was unusable and is set aside: counters start empty"
            );
            Ok(None)
        }
    }
}
