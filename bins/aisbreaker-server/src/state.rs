//! The state file: counters that outlive the process. What is in it is up to the gateway; here is
//! when it is written, and that there is always a whole one.
//!
//! It is written at an even pace while requests are charged, and once more when all requests have
//! ended, when the time to drain is over, or at once after a second signal. A process that is
//! killed loses what was charged since the file was last written: so many requests more are
//! admitted, none less.
//!
//! Nothing in it is secret: ids of keys, addresses of clients, numbers. It is for the server's user
//! only all the same.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aisbreaker_gateway::{Clock, Gateway, SavedCounters};
use rustix::fs::{FlockOperation, flock};

/// How long the end of the process waits for the last write: enough for the largest file on a slow
/// disk.
const LAST_WRITE: Duration = Duration::from_secs(10);

/// A state file that belongs to this process.
#[derive(Debug)]
pub(crate) struct StateFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// Held by one writer at a time: whether the last write failed.
    has_failed: Mutex<bool>,
    /// Keeps other servers out for as long as it is open.
    _lock: File,
}

impl StateFile {
    /// Takes hold of the file at `path`, which need not exist, and reads it. What cannot be read as
    /// counters is set aside, and counters start empty.
    ///
    /// The error says what is wrong with the path, as what follows its name.
    pub(crate) fn open(
        path: &Path,
        max_counters: usize,
        clock: &impl Clock,
    ) -> Result<(Self, Option<SavedCounters>), String> {
        let path = target(path)?;
        let lock = lock(&path)?;
        // Whether files can be made here; this also takes away what a killed server left.
        let scratch = beside(&path, ".tmp");
        create(&scratch)
            .and_then(|_empty| fs::remove_file(&scratch))
            .map_err(|error| {
                format!(
                    "is in a directory where no file can be made: {}: {error}",
                    path.display()
                )
            })?;
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

    /// Writes the file each time this span is over, if something was charged in it, for as long as
    /// it is polled.
    pub(crate) async fn write_each(&self, interval: Duration, gateway: &Gateway) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first one is at once, when there is nothing to write yet.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            self.write(gateway).await;
        }
    }

    /// Writes the file for the last time, if something was charged since the time before. A disk
    /// that hangs does not keep the process.
    pub(crate) async fn write_last(&self, gateway: &Gateway) {
        if tokio::time::timeout(LAST_WRITE, self.write(gateway))
            .await
            .is_err()
        {
            let file = self.0.path.display();
            tracing::warn!(%file, "the state file was not written in time: a restart forgets what was charged since it last was");
        }
    }

    async fn write(&self, gateway: &Gateway) {
        let (inner, gateway) = (Arc::clone(&self.0), gateway.clone());
        // One that is under way goes on though nobody waits for it; the next one waits for it.
        let _written = tokio::task::spawn_blocking(move || inner.write(&gateway)).await;
    }
}

impl Inner {
    fn write(&self, gateway: &Gateway) {
        let mut has_failed = self
            .has_failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !gateway.has_unwritten_counters() {
            return;
        }
        let file = self.path.display();
        match replace(&self.path, |to| gateway.write_counters(to)) {
            Ok(()) if *has_failed => tracing::info!(%file, "the state file is written again"),
            Ok(()) => tracing::debug!(%file, "the state file is written"),
            Err(error) => {
                gateway.forget_written_counters();
                if !*has_failed {
                    tracing::warn!(%file, %error, "the state file cannot be written: a restart would forget what was charged \
                        since it last was");
                }
                *has_failed = true;
                return;
            }
        }
        *has_failed = false;
    }
}

/// The file itself, if the path is a link to one. A path without a file must be one where a file
/// can be.
fn target(path: &Path) -> Result<PathBuf, String> {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {
            fs::canonicalize(path).map_err(|error| format!("cannot be found: {shown}: {error}"))
        }
        Ok(found) if found.is_dir() => Err(format!("is a directory, not a file: {shown}")),
        Ok(_) => Err(format!("is not a regular file: {shown}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::symlink_metadata(path).is_ok() {
                return Err(format!("is a link to nothing: {shown}"));
            }
            if path.file_name().is_none() {
                return Err(format!("is not the path of a file: {shown}"));
            }
            Ok(path.to_owned())
        }
        Err(error) => Err(format!("cannot be used: {shown}: {error}")),
    }
}

/// Keeps other servers from this state file. The lock file stays: if it went away, two servers
/// could lock one each.
fn lock(path: &Path) -> Result<File, String> {
    let lock_path = beside(path, ".lock");
    let mut options = OpenOptions::new();
    let opened = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path);
    let file =
        opened.map_err(|error| format!("cannot be locked: {}: {error}", lock_path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
            Err(format!("is in use by another server: {}", path.display()))
        }
        Err(error) => Err(format!(
            "cannot be locked: {}: {error}",
            lock_path.display()
        )),
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
            let aside = set_aside(path, clock.wall()).map_err(|error| {
                format!("cannot be read ({reason}) nor set aside: {file}: {error}")
            })?;
            let aside = aside.display();
            tracing::warn!(%file, %aside, %reason, "the state file was unusable and is set aside: counters start empty");
            Ok(None)
        }
    }
}

/// Gives the file a name that no other has.
fn set_aside(path: &Path, wall: SystemTime) -> io::Result<PathBuf> {
    let seconds = wall
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let names = (0..1_000).map(|turn| match turn {
        0 => beside(path, &format!(".unreadable-{seconds}")),
        turn => beside(path, &format!(".unreadable-{seconds}-{turn}")),
    });
    let mut free = names.filter(|name| fs::symlink_metadata(name).is_err());
    let aside = free.next().ok_or(io::ErrorKind::AlreadyExists)?;
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// Replaces the file by what is written, whole or not at all.
fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let scratch = beside(path, ".tmp");
    let replaced = create(&scratch).and_then(|file| {
        let mut to = BufWriter::new(file);
        write(&mut to)?;
        to.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        fs::rename(&scratch, path)?;
        File::open(directory(path))?.sync_all()
    });
    if replaced.is_err() {
        // A full disk has the more room the sooner it is gone; the next write takes it away as
        // well.
        let _gone_or_not = fs::remove_file(&scratch);
    }
    replaced
}

/// A new file for this user only, in place of what a killed server may have left.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// The path of a file in the same directory, whose name goes on like this.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
