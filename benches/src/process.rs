//! Server processes, and their CPU time and memory as Linux reports them in `/proc`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ChildStderr, Command, Stdio},
};

/// A raw 32-byte server key; it seals nothing of value.
const SERVER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// Returns the path of the server's binary, which is by default in the directory of this program.
#[must_use]
pub fn default_server() -> PathBuf {
    sibling("aisbreaker-server")
}

/// Returns the path of another program in the directory of this one.
#[must_use]
pub fn sibling(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program has a path");
    this.with_file_name(name)
}

/// A server process, killed on drop.
#[derive(Debug)]
pub struct Process {
    child: std::process::Child,
    address: SocketAddr,
}

impl Process {
    /// Starts the server with this environment and waits until it listens. Returns the rest of its
    /// log, too.
    #[must_use]
    pub fn start(server: &Path, environment: &[(&str, &str)]) -> (Self, BufReader<ChildStderr>) {
        let mut command = Command::new(server);
        command
            .args(["--listen", "127.0.0.1:0"])
            .env_clear()
            .envs([
                ("AUTH_ENCRYPTION_KEYPHRASE", SERVER_KEY),
                ("AISBREAKER_LOG_FORMAT", "json"),
            ])
            .envs(environment.iter().copied());
        Self::spawn(command)
    }

    /// Starts a program that writes its address to standard error as a JSON member `address`, and
    /// waits for that. Returns the rest of its standard error, too.
    #[must_use]
    pub fn spawn(mut command: Command) -> (Self, BufReader<ChildStderr>) {
        let child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("build the server first: cargo build --profile dist -p aisbreaker-server");
        let mut process = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let mut log = BufReader::new(process.child.stderr.take().expect("it was piped"));
        let address = log
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .find_map(|line| listen_address(&line));
        process.address = address.expect("it listens");
        (process, log)
    }

    /// Creates the handle of a process that listens at this address already.
    #[must_use]
    pub fn adopt(child: std::process::Child, address: SocketAddr) -> Self {
        Self { child, address }
    }

    /// Returns the address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the CPU time in seconds of the process and all below it.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        process_tree(self.id()).into_iter().map(cpu_seconds).sum()
    }

    /// Returns the resident memory in bytes of the process and all below it.
    #[must_use]
    pub fn resident_bytes(&self) -> f64 {
        process_tree(self.id())
            .into_iter()
            .map(resident_bytes)
            .sum()
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn listen_address(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line["address"].as_str()?.parse().ok()
}

/// Returns the ids of a process and all below it.
fn process_tree(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let mut pids = vec![pid];
    for thread in threads {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            pids.extend(child.parse().map(process_tree).unwrap_or_default());
        }
    }
    pids
}

/// Returns the resident memory of a process in bytes.
#[must_use]
pub fn resident_bytes(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("it has memory");
    let kilobytes: f64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("VmRSS is a number");
    kilobytes * 1024.0
}

/// Returns the number of sockets that a process has open.
#[must_use]
pub fn open_sockets(pid: u32) -> usize {
    let files = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("the process lives")
        .flatten();
    files
        .filter_map(|file| fs::read_link(file.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// Returns the CPU time in seconds of all living threads of a process.
#[must_use]
pub fn cpu_seconds(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .expect("the process lives")
        .flatten();
    let mut nanoseconds = 0.0;
    for thread in threads {
        // A thread may have ended meanwhile.
        let schedule = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let spent = schedule.split(' ').next().unwrap_or_default();
        nanoseconds += spent.parse().unwrap_or(0.0);
    }
    nanoseconds / 1e9
}

/// Returns whether this is a complete HTTP/1.1 response. It must have a `content-length`.
#[must_use]
pub fn is_complete(response: &[u8]) -> bool {
    let text = String::from_utf8_lossy(response);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .expect("it has a length");
    body.len() >= length.parse().expect("it is a number")
}
