//! Configuration files.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

/// A configuration file that is removed on drop.
#[derive(Debug)]
pub(crate) struct ConfigFile(PathBuf);

impl ConfigFile {
    /// Writes `text` to a new temporary file.
    pub(crate) fn new(text: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "aisbreaker-{}-{}.toml",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::SeqCst)
        );
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).expect("a temporary file");
        Self(path)
    }

    /// Replaces the file at once by one with this text.
    pub(crate) fn replace(&self, text: &str) {
        let scratch = self.0.with_extension("tmp");
        fs::write(&scratch, text).expect("a temporary file");
        fs::rename(scratch, &self.0).expect("the file in its place");
    }

    /// Removes the file.
    pub(crate) fn remove(&self) {
        fs::remove_file(&self.0).expect("the file is there");
    }

    /// Returns the path for `--config`.
    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        let _removed = fs::remove_file(&self.0);
    }
}
