//! The configuration file as TOML, and where it is not.

use std::{fs, path::Path};

use toml::Table;

use crate::files;

/// Reads a configuration file.
///
/// # Errors
/// What is wrong with it, as a continuation of "configuration file". It never shows a line of the
/// file, which may hold a secret.
pub(super) fn read(path: &Path) -> Result<Table, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        // No secret ends like this, so its path may be shown, wherever it is.
        Err(error)
            if path
                .extension()
                .is_some_and(|extension| extension == "toml") =>
        {
            return Err(format!("cannot be read: {}: {error}", path.display()));
        }
        Err(error) => return Err(files::unreadable(path, &error)),
    };
    match text.parse::<Table>() {
        Ok(table) => Ok(table),
        Err(error) => {
            let place = match error.span() {
                Some(span) => place(&text, span.start),
                None => place(&text, text.len()),
            };
            // The parser's messages are fixed texts; only its full report quotes the file.
            let reason = error.message();
            let path = path.display();
            Err(format!("{path} is not valid TOML: {place}: {reason}"))
        }
    }
}

/// Returns the line and column of a position in bytes, each counted from 1.
fn place(text: &str, position: usize) -> String {
    let before = text.get(..position).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = match before.rsplit_once('\n') {
        Some((_, last)) => last.chars().count() + 1,
        None => before.chars().count() + 1,
    };
    format!("line {line}, column {column}")
}
