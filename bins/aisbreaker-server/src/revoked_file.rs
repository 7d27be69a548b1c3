//! The file of revoked keys, in which revocations outlive the process: one line each, the id of the
//! key and the second from which on it need not be known any more.
//!
//! Several processes may share it: each appends under a lock, and reads what others appended. It is
//! rewritten without expired lines when a server starts. What does not belong into it is set aside,
//! and no line of it that can be read is ever dropped.

mod lines;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use aisbreaker_gateway::{Clock as _, Gateway, Revocation, RevocationLog, SystemClock};
use rustix::fs::{FlockOperation, flock};

use self::lines::Lines;
use crate::files::{check_directory, directory, keep_aside, replace, resolve, with_suffix};

/// How often it is looked whether the file has changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A file of revoked keys. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct RevokedFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// What was read last.
    seen: Mutex<Seen>,
}

/// A state of the file, as far as it was read.
#[derive(Debug, Default)]
struct Seen {
    /// Kept open, so that no other file gets its inode.
    file: Option<File>,
    inode: u64,
    changed: (i64, i64),
    length: u64,
    /// Where the first line begins that was not read, or not whole.
    read: u64,
}

impl RevokedFile {
    /// Reads the file at `path`, which need not exist, and rewrites it without what has expired.
    ///
    /// # Errors
    /// What is wrong with the path, as a continuation of its setting's name: "is a directory".
    pub(crate) fn open(path: &Path, now: SystemTime) -> Result<(Self, Vec<Revocation>), String> {
        let path = resolve(path)?;
        check_directory(&path)?;
        let shown = path.display().to_string();
        let rewritten = lock(&path).and_then(|_lock| rewrite(&path, now));
        let revocations = rewritten.map_err(|error| format!("cannot be used: {shown}: {error}"))?;
        tracing::info!(
            file = shown,
            keys = revocations.len(),
            "revoked keys are kept in this file"
        );
        let seen = Mutex::default();
        Ok((Self(Arc::new(Inner { path, seen })), revocations))
    }

    /// Passes to the gateway what others append, for as long as it is polled.
    pub(crate) async fn follow(&self, gateway: &Gateway) {
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut had_failed = false;
        loop {
            ticks.tick().await;
            let outcome = self.read(gateway).await;
            if let Err(error) = &outcome
                && !had_failed
            {
                let file = self.0.path.display();
                tracing::warn!(
                    %file,
                    %error,
                    "the file of revoked keys cannot be read: those that others revoke are not known"
                );
            }
            had_failed = outcome.is_err();
        }
    }

    /// Passes to the gateway what was appended since the file was last read.
    pub(crate) async fn read(&self, gateway: &Gateway) -> io::Result<()> {
        let inner = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || inner.read_new()).await;
        gateway.restore_revoked(read??);
        Ok(())
    }
}

impl RevocationLog for RevokedFile {
    fn append(&self, revocations: &[Revocation]) -> io::Result<()> {
        let path = &self.0.path;
        let _lock = lock(path)?;
        let is_new = !path.exists();
        let mut file = open_or_create(path)?;
        let mut length = file.metadata()?.len();
        if is_torn(&mut file, length)? {
            // A server was killed in the middle of a line.
            rewrite(path, SystemClock::new().wall())?;
            file = open_or_create(path)?;
            length = file.metadata()?.len();
        }
        let text = lines::format(revocations);
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_data());
        if let Err(error) = written {
            // Frees space on a full disk, and leaves no part of a line.
            let _removed_or_not = file.set_len(length);
            return Err(error);
        }
        if is_new {
            File::open(directory(path))?.sync_all()?;
        }
        Ok(())
    }
}

impl Inner {
    fn read_new(&self) -> io::Result<Vec<Revocation>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                *seen = Seen::default();
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let changed = (metadata.mtime(), metadata.mtime_nsec());
        let (inode, length) = (metadata.ino(), metadata.len());
        let is_same = seen.file.is_some() && seen.inode == inode;
        if is_same && (seen.changed, seen.length) == (changed, length) {
            return Ok(Vec::new());
        }
        // Nothing but appending keeps the file and what was read of it.
        let start = if is_same && seen.read <= length {
            seen.read
        } else {
            0
        };
        let mut file = File::open(&self.path)?;
        if file.metadata()?.ino() != inode {
            // Replaced this very moment: read the next time.
            return Ok(Vec::new());
        }
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = lines::whole(&bytes);
        let Lines {
            revocations,
            unreadable,
            ..
        } = lines::parse(whole);
        if unreadable > 0 {
            let file = self.path.display();
            tracing::warn!(%file, lines = unreadable, "lines of the file of revoked keys cannot be read");
        }
        *seen = Seen {
            file: Some(file),
            inode,
            changed,
            length,
            read: start.saturating_add(u64::try_from(whole.len()).unwrap_or(u64::MAX)),
        };
        Ok(revocations)
    }
}

/// Reads the file, and rewrites it if it has lines that are expired, doubled or torn, or no lines.
/// Requires the lock.
fn rewrite(path: &Path, now: SystemTime) -> io::Result<Vec<Revocation>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let read = lines::parse(&bytes);
    let revocations = lines::alive(read.revocations, now);
    let text = lines::format(&revocations);
    if read.unreadable > 0 || read.is_torn {
        let aside = keep_aside(path, now)?;
        let file = path.display();
        tracing::warn!(
            %file,
            aside = %aside.display(),
            lines = read.unreadable,
            is_torn = read.is_torn,
            keys = revocations.len(),
            "the file of revoked keys had lines that cannot be read, or a torn one: it is set aside, \
             and what could be read of it is kept"
        );
    }
    if text.as_bytes() != bytes {
        replace(path, |to| to.write_all(text.as_bytes()))?;
    }
    Ok(revocations)
}

/// Returns whether the last line does not end.
fn is_torn(file: &mut File, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn open_or_create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// Waits until no other process appends or rewrites. The lock file is never removed: otherwise two
/// processes could lock one each.
fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(with_suffix(path, ".lock"))?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
