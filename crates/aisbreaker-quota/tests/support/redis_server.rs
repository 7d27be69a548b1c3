//! A Redis or Valkey server of a test's own, on a free port of this machine.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// A server that ends when it is dropped. Nothing of it is left behind.
#[derive(Debug)]
pub(crate) struct RedisServer {
    child: Child,
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    arguments: Vec<String>,
    directory: PathBuf,
}

impl RedisServer {
    /// A server with these further arguments; `None`, said loudly, where there is no program for
    /// it.
    ///
    /// # Panics
    /// If there is none although `AISBREAKER_REQUIRE_REDIS` is set.
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Some(program) = program() else {
            let required = std::env::var_os("AISBREAKER_REQUIRE_REDIS").is_some();
            assert!(
                !required,
                "AISBREAKER_REQUIRE_REDIS is set, and there is no redis-server"
            );
            skipped("no redis-server or valkey-server to test against; install redis-server");
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
        // The port is free now; if somebody else takes it first, the next one is tried.
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

    /// Its address as a client is told it.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Stops its process where it is: connections stay open, nothing is answered.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// Ends a pause.
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    /// Ends its process; what it knew is gone.
    pub(crate) fn stop(&mut self) {
        let _ended_already = self.child.kill();
        self.child.wait().expect("its end");
    }

    /// Starts it again on the same port, empty.
    pub(crate) fn start_again(&mut self) {
        let directory = self.directory.to_str().expect("a plain path");
        let program = program().expect("it was there before");
        self.child =
            launch(program, self.port, directory, &self.arguments).expect("the port is still free");
    }

    /// What `redis-cli` prints for this command.
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

/// Says it past the test harness, which keeps what a test prints to itself unless it fails.
pub(crate) fn skipped(why: &str) {
    let _unheard = writeln!(std::io::stderr(), "SKIPPED: {why}");
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

/// A port that nobody has at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The process, once it takes connections; `None` if it ends before.
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
        .expect("the server's program runs");
    let mut lines = BufReader::new(child.stdout.take().expect("its output"))
        .lines()
        .map_while(Result::ok);
    if lines.any(|line| line.contains("Ready to accept connections")) {
        // Reads on, so that the server never waits for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        return Some(child);
    }
    child.wait().expect("its end");
    None
}
