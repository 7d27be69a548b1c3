//! What the operating system knows about the server's process.

use std::{fs, net::SocketAddr};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::Server;
use crate::support::{Canaries, process_memory};

impl Server {
    /// Returns the highest resident memory of the process so far, in bytes.
    pub(crate) fn peak_memory(&self) -> usize {
        self.memory("VmHWM:")
    }

    /// Returns the resident memory of the process, in bytes.
    pub(crate) fn resident_memory(&self) -> usize {
        self.memory("VmRSS:")
    }

    /// Returns the resident memory of the process without pages of files, such as its code, in bytes.
    pub(crate) fn anonymous_memory(&self) -> usize {
        self.memory("RssAnon:")
    }

    /// Returns where the metrics are served, once they are.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        let line = self.wait_for_log("the address of the metrics", |line| {
            let text = line["message"].as_str().unwrap_or_default();
            text.contains("/metrics")
        });
        let address = line["address"].as_str().expect("an address");
        address.parse().expect("a socket address")
    }

    fn memory(&self, name: &str) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("the status of the process");
        let kilobytes = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"))
            .expect("its memory");
        kilobytes.parse::<usize>().expect("a number") << 10
    }

    /// Returns how many sockets the process has open.
    pub(crate) fn sockets(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("its files");
        files
            // A file that was closed meanwhile has no target any more.
            .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// Returns how many files and sockets the process has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .expect("its files")
            .count()
    }

    /// Returns how many threads the process has.
    pub(crate) fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.child.id()))
            .expect("its threads")
            .count()
    }

    /// Returns the soft limit on files that the process may have open.
    pub(crate) fn open_files_limit(&self) -> u32 {
        open_files_limit(self.child.id())
    }

    /// Removes the limit of [`start_with_file_size_limit`](Self::start_with_file_size_limit).
    pub(crate) fn remove_file_size_limit(&self) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let process = Pid::from_raw(id).expect("a process id");
        let unlimited = Rlimit {
            current: None,
            maximum: None,
        };
        prlimit(Some(process), Resource::Fsize, unlimited).expect("the limit removed");
    }

    /// Finds all canaries in the memory of the process. Returns `None` where the system does not
    /// let one process read the memory of another.
    pub(crate) fn search_memory(&self, canaries: &Canaries) -> Option<Vec<String>> {
        process_memory::search(self.child.id(), canaries)
    }
}

/// Returns the soft limit on files that this process may have open.
pub(crate) fn open_files_limit(process: u32) -> u32 {
    let limits =
        fs::read_to_string(format!("/proc/{process}/limits")).expect("the limits of the process");
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|columns| columns.split_whitespace().next()?.parse().ok())
        .expect("its limit on open files")
}
