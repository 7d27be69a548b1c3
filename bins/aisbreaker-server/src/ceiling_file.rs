//! The file of ceilings beside the state file, so that a killed server forgets nothing of what keys
//! have spent in all. The gateway defines its content; this module ensures that it survives.
//!
//! What is appended is synced before a request goes on. The file exists only while it is needed: the
//! last write of the state file has all totals, and the file is removed. The lock of the state file
//! is that of this file as well. It holds ids of keys and numbers, no secrets.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use aisbreaker_gateway::{CeilingLog, SavedCeilings};

use crate::files::{directory, keep_aside, replace, with_suffix};

/// A file of ceilings.
#[derive(Debug)]
pub(crate) struct CeilingFile {
    path: PathBuf,
    content: Mutex<Content>,
}

#[derive(Debug)]
struct Content {
    /// `None`: it must be opened, and made to end where the content does.
    file: Option<File>,
    /// Where the content ends. What follows was not appended as a whole.
    length: u64,
}

impl CeilingFile {
    /// Reads the file that belongs to a state file, which is locked. There need not be one.
    ///
    /// # Errors
    /// What is wrong, as a continuation of the setting's name of the state file.
    pub(crate) fn open(
        state_file: &Path,
        now: SystemTime,
    ) -> Result<(Self, SavedCeilings), String> {
        let path = with_suffix(state_file, ".ceilings");
        let shown = path.display();
        let unusable = |error: io::Error| format!("cannot keep ceilings in {shown}: {error}");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(unusable(error)),
        };
        let saved = SavedCeilings::read(&bytes);
        if saved.count() > 0 {
            tracing::info!(
                file = %shown,
                accounts = saved.count(),
                "the server did not end in order: budgets in all go on from what may have been spent"
            );
        }
        if saved.unreadable() > 0 {
            let aside = keep_aside(&path, now).map_err(unusable)?;
            tracing::warn!(
                file = %shown,
                aside = %aside.display(),
                records = saved.unreadable(),
                "the file of ceilings had records that cannot be read: it is set aside, and what could \
                 be read of it counts"
            );
        }
        let content = Content {
            file: None,
            length: u64::try_from(saved.readable_len()).unwrap_or(u64::MAX),
        };
        let file = Self {
            path,
            content: Mutex::new(content),
        };
        Ok((file, saved))
    }
}

impl CeilingLog for CeilingFile {
    fn append(&self, records: &[u8]) -> io::Result<()> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = content.append(&self.path, records);
        if outcome.is_err() {
            content.file = None;
        }
        outcome
    }

    fn replace(&self, records: &[u8]) -> io::Result<()> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        content.file = None;
        if records.is_empty() {
            remove(&self.path)?;
            content.length = 0;
            return Ok(());
        }
        let length = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let outcome = replace(&self.path, |to| io::Write::write_all(to, records));
        // A failure may be one after the file was replaced.
        let is_replaced = || fs::metadata(&self.path).is_ok_and(|file| file.len() == length);
        if outcome.is_ok() || is_replaced() {
            content.length = length;
        }
        outcome
    }
}

impl Content {
    fn append(&mut self, path: &Path, records: &[u8]) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => {
                let file = open_or_create(path)?;
                self.length = self.length.min(file.metadata()?.len());
                file.set_len(self.length)?;
                File::open(directory(path))?.sync_all()?;
                self.file.insert(file)
            }
        };
        file.write_all_at(records, self.length)?;
        file.sync_data()?;
        let length = u64::try_from(records.len()).unwrap_or(u64::MAX);
        self.length = self.length.saturating_add(length);
        Ok(())
    }
}

fn open_or_create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Removes the file, durably. There need not be one.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    File::open(directory(path))?.sync_all()
}
