//! The file of revoked keys, in which revocations outlive the process: one line each, the id of the
//! key and the second from which on it need not be known any more.
//!
//! Several processes may share it: each appends under a lock, and reads what others appended. It is
//! rewritten when a server starts: only expired and duplicate lines are dropped. A file with lines
//! that cannot be read is also kept aside as it was.

mod lines;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use aisbreaker_gateway::{Clock as _, Gateway, Revocation, RevocationLog, SystemClock};
use rustix::fs::{FlockOperation, flock};

use self::lines::Lines;
use crate::files::{check_directory, directory, keep_aside, open_lock_file, replace, resolve};

/// How often the file is checked for changes.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A file of revoked keys. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct RevokedFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// What was read last.
    seen: Mutex<Seen>,
    /// Whether the file is known to survive a crash under its name.
    is_named_durably: AtomicBool,
    /// Whether an append failed, and the file must become another one before the next: who has read
    /// the part that was cut off again would miss what takes its place.
    must_be_replaced: AtomicBool,
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
        let shown = path.display().to_string();
        let unusable = |error: io::Error| format!("cannot be used: {shown}: {error}");
        // Under the lock, since both write beside the file.
        let _lock = match lock(&path) {
            Ok(lock) => lock,
            // What is wrong with the directory says more.
            Err(error) => return Err(check_directory(&path).err().unwrap_or(unusable(error))),
        };
        check_directory(&path)?;
        let revocations = rewrite(&path, now).map_err(unusable)?;
        let seen = Seen::of_whole(&path).map_err(unusable)?;
        tracing::info!(
            file = shown,
            keys = revocations.len(),
            "revoked keys are kept in this file"
        );
        let inner = Inner {
            path,
            seen: Mutex::new(seen),
            is_named_durably: AtomicBool::new(false),
            must_be_replaced: AtomicBool::new(false),
        };
        Ok((Self(Arc::new(inner)), revocations))
    }

    /// Reads the file at `path`, which need not exist, and changes nothing.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn read_only(path: &Path, now: SystemTime) -> Result<Vec<Revocation>, String> {
        let path = resolve(path)?;
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(format!("cannot be used: {}: {error}", path.display())),
        };
        Ok(lines::alive(lines::parse(&bytes).revocations, now))
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
                    "the file of revoked keys cannot be read: revocations by other servers are not seen"
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
        let inner = &*self.0;
        let path = &inner.path;
        let _lock = lock(path)?;
        let mut file = open_or_create(path)?;
        let mut length = file.metadata()?.len();
        // A server may have been killed in the middle of a line.
        let must_be_replaced = inner.must_be_replaced.load(Ordering::Relaxed);
        if must_be_replaced || is_torn(&mut file, length)? {
            make_another(path, SystemClock::new().wall())?;
            inner.must_be_replaced.store(false, Ordering::Relaxed);
            file = open_or_create(path)?;
            length = file.metadata()?.len();
        }
        let text = lines::format(revocations);
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_data());
        if let Err(error) = written {
            inner.must_be_replaced.store(true, Ordering::Relaxed);
            // Frees space on a full disk, and leaves no part of a line.
            let _removed_or_not = file.set_len(length);
            return Err(error);
        }
        if !inner.is_named_durably.load(Ordering::Relaxed) {
            File::open(directory(path))?.sync_all()?;
            inner.is_named_durably.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Seen {
    /// Returns the state of a file all of which was read. There need not be one.
    fn of_whole(path: &Path) -> io::Result<Self> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let length = metadata.len();
        Ok(Self {
            file: Some(file),
            inode: metadata.ino(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            length,
            read: length,
        })
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
        // Nothing but appending keeps the file: what else changes it puts another in its place.
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
    let revocations = readable(path, &bytes, now)?;
    let text = lines::format(&revocations);
    if text.as_bytes() != bytes {
        replace(path, |to| to.write_all(text.as_bytes()))?;
    }
    Ok(revocations)
}

/// Puts a new file with the same lines in the place of the file. Requires the lock.
fn make_another(path: &Path, now: SystemTime) -> io::Result<()> {
    let revocations = readable(path, &fs::read(path)?, now)?;
    let text = lines::format(&revocations);
    replace(path, |to| to.write_all(text.as_bytes()))
}

/// Returns what can be read and has not expired. What cannot be read is kept aside.
fn readable(path: &Path, bytes: &[u8], now: SystemTime) -> io::Result<Vec<Revocation>> {
    let read = lines::parse(bytes);
    let revocations = lines::alive(read.revocations, now);
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

/// Waits until no other process appends or rewrites.
fn lock(path: &Path) -> io::Result<File> {
    let file = open_lock_file(path)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
