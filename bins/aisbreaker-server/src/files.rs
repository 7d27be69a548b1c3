//! Files that outlive the process: found, replaced as a whole, and set aside if they are unusable.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Component, Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// The bit of a file's mode that lets everybody read it.
const READABLE_BY_OTHERS: u32 = 0o004;

/// Returns whether everybody on the machine can read this file.
pub(crate) fn is_exposed(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(metadata) => metadata.mode() & READABLE_BY_OTHERS != 0,
        Err(_unreadable) => false,
    }
}

/// Resolves links to the file. A path without a file is returned as it is, if it can name one.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, String> {
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

/// Tests whether files can be created beside this one, and removes what a killed server left.
///
/// # Errors
/// What is wrong with the path, as a continuation of its setting's name.
pub(crate) fn check_directory(path: &Path) -> Result<(), String> {
    let scratch = with_suffix(path, ".tmp");
    match create(&scratch).and_then(|_empty| fs::remove_file(&scratch)) {
        Ok(()) => Ok(()),
        Err(error) => {
            let shown = path.display();
            Err(format!(
                "is in a directory where no file can be created: {shown}: {error}"
            ))
        }
    }
}

/// Renames the file to a name that is not in use, and returns that.
pub(crate) fn set_aside(path: &Path, wall: SystemTime) -> io::Result<PathBuf> {
    let aside = unused_name(path, wall)?;
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// Keeps what is in the file under a name that is not in use, and returns that. The file stays.
pub(crate) fn keep_aside(path: &Path, wall: SystemTime) -> io::Result<PathBuf> {
    let aside = unused_name(path, wall)?;
    if fs::hard_link(path, &aside).is_err() {
        // Some file systems have no links.
        fs::copy(path, &aside)?;
    }
    Ok(aside)
}

fn unused_name(path: &Path, wall: SystemTime) -> io::Result<PathBuf> {
    let seconds = wall
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    for attempt in 0..1_000 {
        let suffix = match attempt {
            0 => format!(".unreadable-{seconds}"),
            _ => format!(".unreadable-{seconds}-{attempt}"),
        };
        let aside = with_suffix(path, &suffix);
        if fs::symlink_metadata(&aside).is_err() {
            return Ok(aside);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Replaces the file atomically by what `write` writes.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let scratch = with_suffix(path, ".tmp");
    let replaced = write_and_rename(&scratch, path, write);
    if replaced.is_err() {
        // Frees space on a full disk at once; the next write would remove it as well.
        let _removed_or_not = fs::remove_file(&scratch);
    }
    replaced
}

fn write_and_rename(
    scratch: &Path,
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut writer = BufWriter::new(create(scratch)?);
    write(&mut writer)?;
    let file = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    fs::rename(scratch, path)?;
    File::open(directory(path))?.sync_all()
}

/// Creates a file for this user only, replacing what a killed server may have left.
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

pub(crate) fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Returns the path with this suffix added to its file name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Opens the file by which processes lock this one out. It is never removed: otherwise two processes
/// could lock one each.
pub(crate) fn open_lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(with_suffix(path, ".lock"))
}

/// Reads a secret, and drops one line end after it.
///
/// # Errors
/// What is wrong with the file, as a continuation of its setting's name.
pub(crate) fn read_secret(path: &Path) -> Result<String, String> {
    match fs::read_to_string(path) {
        Ok(mut text) => {
            drop_line_end(&mut text);
            Ok(text)
        }
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Says why a file cannot be read, as a continuation of its setting's name. The path is shown only if
/// it or its directory exists: otherwise it may be a secret that was given in place of a path.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> String {
    if path.exists() || has_directory(path) {
        return format!("cannot be read: {}: {error}", path.display());
    }
    format!(
        "cannot be read: {error}; the path is not shown, since it may be a secret: it names no \
         directory that exists"
    )
}

/// Returns whether a path names a directory that exists. The root does not count: base64 may begin
/// with a slash.
fn has_directory(path: &Path) -> bool {
    let Some(parent) = path.parent() else {
        return false;
    };
    let names_directory = parent
        .components()
        .any(|component| matches!(component, Component::Normal(_)));
    names_directory && parent.is_dir()
}

/// Drops one line end after a text, as editors and shells leave it.
pub(crate) fn drop_line_end(text: &mut String) {
    for end in ['\n', '\r'] {
        if text.ends_with(end) {
            text.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_that_may_be_a_secret_is_not_shown() {
        let error = io::Error::from(io::ErrorKind::NotFound);
        for secret in [
            "canary",
            "canary.with.dots",
            "redis://:canary@redis:6379/0",
            "aisbreaker_eyJh.canary._-.x",
            "ab/canary+x==",
            "/ab+canary==",
            "//canary",
            "../canary",
        ] {
            let message = unreadable(Path::new(secret), &error);
            assert!(!message.contains("canary"), "{message}");
            assert!(message.starts_with("cannot be read: "), "{message}");
        }
        let missing = std::env::temp_dir().join("aisbreaker-no-such-file");
        let message = unreadable(&missing, &error);
        assert!(
            message.contains(&missing.display().to_string()),
            "{message}"
        );
    }
}
