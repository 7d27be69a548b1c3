//! A Redis or Valkey server for one test, on a free local port.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// A server that is stopped, and its files removed, when it is dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    child: Child,
    /// The port on 127.0.0.1.
    pub(crate) port: u16,
    arguments: Vec<String>,
    directory: PathBuf,
}

impl RedisServer {
    /// Starts a server with these further arguments. Without an installed server, prints that the
    /// test is skipped and returns `None`.
    ///
    /// # Panics
    /// If no server is installed although `AISBREAKER_REQUIRE_REDIS` is set.
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Some(program) = program() else {
            let required = std::env::var_os("AISBREAKER_REQUIRE_REDIS").is_some();
            assert!(
                !required,
                "AISBREAKER_REQUIRE_REDIS is set, and redis-server is not installed"
            );
            skipped("neither redis-server nor valkey-server is installed");
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("aisbreaker-redis-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for the server");
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
        // If another process takes the port first, the next one is tried.
        let started = (0..10).find_map(|_| {
            let port = free_port();
            let directory = directory.to_str()?;
            let child = launch(program, port, directory, &arguments)?;
            Some((port, child))
        });
        let (port, child) = started.expect("the server starts");
        Some(Self {
            child,
            port,
            arguments,
            directory,
        })
    }

    /// Returns the server's address for clients.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Suspends the process: connections stay open, but nothing is answered.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// Resumes the process.
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    /// Kills the process. Its data is lost, unless its arguments have it append to a file.
    pub(crate) fn stop(&mut self) {
        let _ended_already = self.child.kill();
        self.child.wait().expect("its end");
    }

    /// Starts a stopped server again on the same port, with the files of its directory.
    pub(crate) fn start_again(&mut self) {
        let directory = self.directory.to_str().expect("a plain path");
        let program = program().expect("it was there before");
        self.child =
            launch(program, self.port, directory, &self.arguments).expect("the port is still free");
    }

    /// Returns what `redis-cli` prints for this command.
    pub(crate) fn cli(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let answer = Command::new("redis-cli")
            .args(["-p", &port])
            .args(command)
            .output()
            .expect("redis-cli runs");
        String::from_utf8(answer.stdout).expect("text")
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill")
            .args(["-s", signal, &id])
            .status()
            .expect("kill runs");
        assert!(status.success(), "{signal} was not delivered");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
        let _left_behind = std::fs::remove_dir_all(&self.directory);
    }
}

/// Prints that a test is skipped. This writes to standard error directly, since the test harness
/// captures what a passing test prints.
pub(crate) fn skipped(why: &str) {
    let _ignored = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

fn program() -> Option<&'static str> {
    let runs = |program: &&str| {
        Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok()
    };
    ["redis-server", "valkey-server"].into_iter().find(runs)
}

/// Returns a port that is free at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Starts the process and waits until it accepts connections; `None` if it exits before.
fn launch(program: &str, port: u16, directory: &str, arguments: &[String]) -> Option<Child> {
    let mut child = Command::new(program)
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--dir",
            directory,
        ])
        .args(["--save", "", "--appendonly", "no"])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its stdout"))
        .lines()
        .map_while(Result::ok);
    if lines.any(|line| line.contains("Ready to accept connections")) {
        // Keeps reading, so that the server never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        return Some(child);
    }
    child.wait().expect("its end");
    None
}
