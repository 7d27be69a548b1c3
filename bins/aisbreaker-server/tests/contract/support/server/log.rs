//! The server's log, line by line as it is written.

use std::{
    io::{BufRead as _, BufReader, PipeReader},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
};

use serde_json::{Value, json};

use crate::support::PATIENCE;

/// The lines of a log, which a thread reads while tests wait for them.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Shared>);

#[derive(Default)]
struct Shared {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    is_complete: bool,
}

impl Log {
    /// Reads the pipe until the server closes it.
    pub(super) fn spawn_reader(self, pipe: BufReader<PipeReader>) -> JoinHandle<()> {
        std::thread::spawn(move || {
            for bytes in pipe.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&bytes).into_owned();
                self.change(|log| log.lines.push(line));
            }
            self.change(|log| log.is_complete = true);
        })
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().expect("no panic while logging")
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.lines());
        self.0.changed.notify_all();
    }

    /// Waits for a line. A line that is no JSON is the member `text` of an object.
    pub(super) fn wait_for(&self, what: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        let mut seen = 0;
        let mut found = None;
        self.wait_while(|log| {
            found = log.lines[seen..]
                .iter()
                .map(|line| serde_json::from_str(line).unwrap_or_else(|_| json!({"text": line})))
                .find(|line| is_it(line));
            seen = log.lines.len();
            found.is_none() && !log.is_complete
        });
        found.unwrap_or_else(|| panic!("waited in vain for {what} in the log:\n{}", self.text()))
    }

    /// Waits until the server has closed its log.
    pub(super) fn wait_for_end(&self) {
        self.wait_while(|log| !log.is_complete);
        let is_complete = self.lines().is_complete;
        assert!(is_complete, "the server did not exit:\n{}", self.text());
    }

    fn wait_while(&self, mut is_waiting: impl FnMut(&Lines) -> bool) {
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.lines(), PATIENCE, |lines| is_waiting(lines));
        drop(waited.expect("no panic while logging"));
    }

    /// Returns everything that was logged so far.
    pub(super) fn text(&self) -> String {
        self.lines().lines.join("\n")
    }
}
