//! The real server in its own process.

mod command;
mod inspection;
mod log;

use std::{
    fmt,
    io::{BufRead as _, BufReader, PipeReader, PipeWriter, Read as _, pipe},
    net::SocketAddr,
    os::fd::AsRawFd as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread::JoinHandle,
};

use serde_json::{Value, json};

pub(crate) use self::{
    command::{refused_start, run},
    inspection::open_files_limit,
};
use self::{
    command::{server_command, set_environment, shell_command},
    log::Log,
};
use super::{Connection, PATIENCE, Request, Response, ample_quotas, current_thread_runtime, grant};

/// A 32-byte server key, which needs no derivation from a phrase.
pub(crate) const KEY: &str = "c2VydmVyLWtleS1mb3ItdGhlLXRlc3RzLTMyLWJ5dGU";

/// A server that is killed on drop.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    log: Log,
    log_reader: Option<JoinHandle<()>>,
    /// The reading end of the log's pipe, unless a thread reads it.
    unread_log: Option<BufReader<PipeReader>>,
}

/// How a server is started.
impl Server {
    /// Starts a server with quotas that no test exhausts, a fixed key and this environment, which
    /// takes precedence.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        let ample = ample_quotas().to_string();
        let defaults = [
            ("AISBREAKER_SERVER_QUOTAS", &*ample),
            ("AISBREAKER_DEFAULT_QUOTAS", &*ample),
            ("AISBREAKER_MINT_QUOTAS", &*ample),
        ];
        Self::start_with_built_in_quotas(&[&defaults, environment].concat())
    }

    /// Starts a server with the quotas that it has without configuration.
    pub(crate) fn start_with_built_in_quotas(environment: &[(&str, &str)]) -> Self {
        let environment = [&[("AUTH_ENCRYPTION_KEYPHRASE", KEY)], environment].concat();
        Self::start_with(&["--listen", "127.0.0.1:0"], &environment)
    }

    /// Starts a server that may call loopback addresses, whoever names them.
    pub(crate) fn with_loopback_egress(environment: &[(&str, &str)]) -> Self {
        let defaults = [
            ("AISBREAKER_EGRESS_ALLOW", "127.0.0.0/8"),
            ("AISBREAKER_EGRESS_ALLOW_CALLERS", "true"),
        ];
        Self::start(&[&defaults, environment].concat())
    }

    /// Starts a server with only these arguments and this environment. Its log includes what it
    /// prints on standard output.
    pub(crate) fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = [
            ("AISBREAKER_LOG_FORMAT", "json"),
            ("AISBREAKER_LOG_MAX_PER_SECOND", "1000000"),
        ];
        let environment = [&log, environment].concat();
        Self::start_command(server_command(arguments), &environment)
    }

    /// Starts a server whose process may open at most this many files, by its soft and hard limit.
    pub(crate) fn start_with_open_files_limit(soft: u32, hard: u32) -> Self {
        let command = shell_command(&format!("ulimit -Sn {soft} && ulimit -Hn {hard}"));
        Self::start_command(command, &[("AISBREAKER_LOG_FORMAT", "json")])
    }

    /// Starts a server whose files cannot grow beyond this many blocks of 512 bytes, as on a full
    /// disk.
    pub(crate) fn start_with_file_size_limit(blocks: u32, environment: &[(&str, &str)]) -> Self {
        let command = shell_command(&format!("trap '' XFSZ && ulimit -Sf {blocks}"));
        let defaults = [
            ("AISBREAKER_LOG_FORMAT", "json"),
            ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
        ];
        Self::start_command(command, &[&defaults, environment].concat())
    }

    fn start_command(command: Command, environment: &[(&str, &str)]) -> Self {
        let mut server = Self::spawn(command, environment);
        let pipe = server.unread_log.take().expect("the log's pipe");
        server.log_reader = Some(server.log.clone().spawn_reader(pipe));
        let line = server.wait_for_log("the server to listen", |line| {
            listen_address(line).is_some()
        });
        server.address = listen_address(&line).expect("the address that was waited for");
        server
    }

    /// Starts a server whose standard output and log share a pipe that nobody reads once the server
    /// listens.
    pub(crate) fn start_with_unread_log() -> Self {
        let ample = ample_quotas().to_string();
        let environment = [
            ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
            ("AISBREAKER_SERVER_QUOTAS", &*ample),
            ("AISBREAKER_LOG_MAX_PER_SECOND", "1000000"),
        ];
        let mut server = Self::spawn(server_command(&["--listen", "127.0.0.1:0"]), &environment);
        let pipe = server.unread_log.as_mut().expect("the log's pipe");
        let mut lines = pipe.by_ref().lines().map_while(Result::ok);
        let address = lines.find_map(|line| listen_address(&json!({"text": line})));
        server.address = address.expect("the server to listen");
        server
    }

    /// Spawns the process with its standard output and its log on one pipe.
    fn spawn(mut command: Command, environment: &[(&str, &str)]) -> Self {
        let (reader, log) = pipe().expect("a pipe");
        set_environment(&mut command, environment);
        let stdout: PipeWriter = log.try_clone().expect("a second handle of the pipe");
        let child = command
            .stdout(Stdio::from(stdout))
            .stderr(log)
            .spawn()
            .expect("the server's binary starts");
        Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            log: Log::default(),
            log_reader: None,
            unread_log: Some(BufReader::new(reader)),
        }
    }
}

/// Requests to the server.
impl Server {
    /// Returns the address on which it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL by address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connects to it.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// Sends one request on a new connection.
    pub(crate) fn send(&self, request: &Request) -> Response {
        self.connect().send(request)
    }

    /// Sends a `GET` request.
    pub(crate) fn get(&self, path: &str) -> Response {
        self.send(&Request::get(path))
    }

    /// Calls `process` with a bearer value, or without one if it is empty.
    pub(crate) fn process(&self, bearer: &str, body: &Value) -> Response {
        self.send(&Request::process(body).bearer(bearer))
    }

    /// Mints a key for the host `localhost`.
    pub(crate) fn mint(&self, body: &Value) -> String {
        self.mint_at("localhost", body)
    }

    /// Mints a key for this host.
    pub(crate) fn mint_at(&self, host: &str, body: &Value) -> String {
        let response = self.send(&Request::mint(body).set("Host", host));
        assert_eq!(response.status, 200, "minting: {response:?}");
        response.json()["access_token"]
            .as_str()
            .expect("a key")
            .to_owned()
    }

    /// Mints a key with ample quotas and these secrets.
    pub(crate) fn mint_with_secrets(&self, secrets: &Value) -> String {
        self.mint(&grant(&ample_quotas(), secrets))
    }
}

/// The log, signals and the exit.
impl Server {
    /// Waits for a line of the log. Each line is tested once.
    pub(crate) fn wait_for_log(&self, what: &str, is_it: impl FnMut(&Value) -> bool) -> Value {
        self.log.wait_for(what, is_it)
    }

    /// Waits for the log line of the request with this id.
    pub(crate) fn wait_for_request(&self, id: &str) -> Value {
        self.wait_for_log(id, |line| {
            line["message"] == "request" && line["request_id"] == id
        })
    }

    /// Returns everything that was logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Fills the unread pipe of the log to its last byte, so that every writer blocks.
    pub(crate) fn fill_unread_log(&self) {
        let unread = self.unread_log.as_ref().expect("an unread pipe").get_ref();
        // A second open file description, so that the server's own stays a blocking one.
        let path = format!("/proc/self/fd/{}", unread.as_raw_fd());
        current_thread_runtime().block_on(async {
            let pipe = tokio::net::unix::pipe::OpenOptions::new()
                .open_sender(path)
                .expect("the pipe");
            pipe.writable().await.expect("an empty pipe");
            while pipe.try_write(b"\n").is_ok() {}
        });
    }

    /// Sends a signal such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh")
            .args(["-c", &script])
            .status()
            .expect("a shell");
        assert!(status.success(), "{script}: {status}");
    }

    /// Sends `TERM` and waits until the server drains.
    pub(crate) fn start_draining(&self) {
        self.signal("TERM");
        self.wait_for_draining();
    }

    /// Waits until the server drains.
    pub(crate) fn wait_for_draining(&self) {
        self.wait_for_log("the drain", |line| line["message"] == "draining");
    }

    /// Waits for the exit, and returns the status and everything that was logged.
    pub(crate) fn wait_for_exit(&mut self) -> (ExitStatus, String) {
        self.log.wait_for_end();
        if let Some(reader) = self.log_reader.take() {
            reader.join().expect("the log was read");
        }
        (self.child.wait().expect("a status"), self.log.text())
    }

    /// Waits for the exit of a process whose log nobody reads.
    ///
    /// A process that does not exit in time is killed, so that its status is that of the signal.
    pub(crate) fn wait_for_exit_unread(&mut self) -> ExitStatus {
        let (report_exit, exited) = mpsc::channel();
        let id = self.child.id();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if exited.recv_timeout(PATIENCE).is_err() {
                    let _killed = Command::new("kill")
                        .args(["-KILL", &id.to_string()])
                        .status();
                }
            });
            let status = self.child.wait().expect("a status");
            let _reported = report_exit.send(());
            status
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _waited = self.child.wait();
        if std::thread::panicking() {
            // The test harness shows this for failing tests only.
            println!(
                "log of the server at {}:\n{}",
                self.address,
                self.log.text()
            );
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Returns the address in the log line that says where the server listens, in either format.
fn listen_address(line: &Value) -> Option<SocketAddr> {
    if let Some(text) = line["text"].as_str() {
        if !text.contains("listening") {
            return None;
        }
        return text
            .split(' ')
            .find_map(|word| word.strip_prefix("address=")?.parse().ok());
    }
    if line["message"] != "listening" {
        return None;
    }
    line["address"].as_str()?.parse().ok()
}
