//! The server's release binary in a process of its own, and what that takes, as Linux tells it in
//! `/proc`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ChildStderr, Command, Stdio},
};

/// A raw 32-byte server key; it seals nothing of worth.
const SERVER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// Where the server's binary is unless told: beside this program.
#[must_use]
pub fn beside_this_program() -> PathBuf {
    let this = std::env::current_exe().expect("this program has a path");
    this.with_file_name("aisbreaker-server")
}

/// A server process that ends with its owner.
#[derive(Debug)]
pub struct Process {
    child: std::process::Child,
    address: SocketAddr,
}

impl Process {
    /// Starts the server with this environment and waits until it listens; with it, the rest of its
    /// log.
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

    /// Starts a server that tells in JSON on its standard error where it listens, and waits for
    /// that; with it, the rest of what it tells there.
    #[must_use]
    pub fn spawn(mut command: Command) -> (Self, BufReader<ChildStderr>) {
        let child = command.stderr(Stdio::piped()).spawn();
        let child =
            child.expect("build the server first: cargo build --release -p aisbreaker-server");
        let mut process = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let mut log = BufReader::new(process.child.stderr.take().expect("it was piped"));
        let address = log
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .find_map(|line| listening_at(&line));
        process.address = address.expect("it listens");
        (process, log)
    }

    /// A process that was started already, and listens at this address.
    #[must_use]
    pub fn adopt(child: std::process::Child, address: SocketAddr) -> Self {
        Self { child, address }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Seconds of CPU time that it and the processes that it has started have had.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        family(self.id()).into_iter().map(cpu_seconds).sum()
    }

    /// Resident memory of all of them in bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> f64 {
        family(self.id()).into_iter().map(resident_bytes).sum()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn listening_at(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line["address"].as_str()?.parse().ok()
}

/// A process and all below it.
fn family(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let children =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> = children
        .flat_map(|text| {
            text.split(' ')
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect();
    std::iter::once(pid)
        .chain(children.into_iter().flat_map(family))
        .collect()
}

/// Resident memory of a process in bytes.
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

/// How many sockets a process has open.
#[must_use]
pub fn open_sockets(pid: u32) -> usize {
    let files = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("the process lives")
        .flatten();
    let is_socket = |path: PathBuf| path.to_string_lossy().starts_with("socket:");
    files
        .filter_map(|file| fs::read_link(file.path()).ok())
        .filter(|path| is_socket(path.clone()))
        .count()
}

/// Seconds of CPU time that all threads of a process have had.
#[must_use]
pub fn cpu_seconds(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .expect("the process lives")
        .flatten();
    let spent = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("schedstat")).ok();
    let nanoseconds = |text: String| {
        text.split(' ')
            .next()
            .and_then(|figure| figure.parse::<f64>().ok())
    };
    threads
        .filter_map(spent)
        .filter_map(nanoseconds)
        .sum::<f64>()
        / 1e9
}

/// Whether this is an answer of HTTP/1 from its first to its last byte; its length must be
/// announced.
#[must_use]
pub fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .expect("it says its length");
    body.len() >= length.parse().expect("it is a number")
}
