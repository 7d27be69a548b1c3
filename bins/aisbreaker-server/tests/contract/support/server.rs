//! The real server in a process of its own.

use std::{
    fmt, fs,
    io::{BufRead as _, BufReader, PipeReader, PipeWriter, Read as _, pipe},
    net::SocketAddr,
    os::fd::AsRawFd as _,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex, mpsc},
    thread::JoinHandle,
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use super::{Answer, Canaries, Connection, PATIENCE, Request, grant, memory, roomy};

/// A 32-byte server key, which needs no derivation from a phrase.
pub(crate) const KEY: &str = "c2VydmVyLWtleS1mb3ItdGhlLXRlc3RzLTMyLWJ5dGU";

/// A server that is killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    log: Log,
    reader: Option<JoinHandle<()>>,
    /// Standard error, if nobody reads it any more.
    unread: Option<BufReader<PipeReader>>,
}

impl Server {
    /// A server with quotas that no test exhausts, a fixed key and this environment, which comes
    /// last.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        let roomy = roomy().to_string();
        let basis = [
            ("AISBREAKER_SERVER_QUOTAS", &*roomy),
            ("AISBREAKER_DEFAULT_QUOTAS", &*roomy),
        ];
        Self::start_as_delivered(&[&basis, environment].concat())
    }

    /// A server with the quotas that it has by itself.
    pub(crate) fn start_as_delivered(environment: &[(&str, &str)]) -> Self {
        let environment = [&[("AUTH_ENCRYPTION_KEYPHRASE", KEY)], environment].concat();
        Self::start_with(&["--listen", "127.0.0.1:0"], &environment)
    }

    /// A server that may call loopback addresses.
    pub(crate) fn with_egress(environment: &[(&str, &str)]) -> Self {
        Self::start(&[&[("AISBREAKER_EGRESS_ALLOW", "127.0.0.0/8")], environment].concat())
    }

    /// A server with nothing but these arguments and this environment. What it prints is in its
    /// log.
    pub(crate) fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = [
            ("AISBREAKER_LOG_FORMAT", "json"),
            ("AISBREAKER_LOG_MAX_PER_SECOND", "1000000"),
        ];
        let environment = [&log, environment].concat();
        Self::start_command(command(arguments), &environment)
    }

    fn start_command(command: Command, environment: &[(&str, &str)]) -> Self {
        let mut server = Self::spawn(command, environment, |log| {
            log.try_clone().expect("the pipe a second time").into()
        });
        let stderr = server.unread.take().expect("its standard error");
        server.reader = Some(server.log.clone().read(stderr));
        let line = server.wait_for_log("the server to listen", |line| address_in(line).is_some());
        server.address = address_in(&line).expect("the address that was waited for");
        server
    }

    /// A server whose standard output and log share a pipe, which is read up to the line that tells
    /// that it listens, and then no more.
    pub(crate) fn start_unread() -> Self {
        let roomy = roomy().to_string();
        let environment = [
            ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
            ("AISBREAKER_SERVER_QUOTAS", &*roomy),
            ("AISBREAKER_LOG_MAX_PER_SECOND", "1000000"),
        ];
        let mut server = Self::spawn(command(&["--listen", "127.0.0.1:0"]), &environment, |log| {
            log.try_clone().expect("the pipe a second time").into()
        });
        let stderr = server.unread.as_mut().expect("its standard error");
        let mut lines = stderr.by_ref().lines().map_while(Result::ok);
        let address = lines.find_map(|line| address_in(&json!({"text": line})));
        server.address = address.expect("the server to listen");
        server
    }

    /// `stdout` makes the standard output of the log's end of a pipe.
    fn spawn(
        mut command: Command,
        environment: &[(&str, &str)],
        stdout: impl FnOnce(&PipeWriter) -> Stdio,
    ) -> Self {
        let (reader, log) = pipe().expect("a pipe");
        set_environment(&mut command, environment);
        let child = command
            .stdout(stdout(&log))
            .stderr(log)
            .spawn()
            .expect("the server's binary starts");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            child,
            address,
            log: Log::default(),
            reader: None,
            unread: Some(BufReader::new(reader)),
        }
    }

    /// Fills the pipe that nobody reads to its last byte, so that whoever writes to it waits.
    pub(crate) fn fill_unread(&self) {
        let unread = self
            .unread
            .as_ref()
            .expect("a pipe that nobody reads")
            .get_ref();
        // Opened once more, so that the server's end is still one that waits.
        let path = format!("/proc/self/fd/{}", unread.as_raw_fd());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let pipe = tokio::net::unix::pipe::OpenOptions::new()
                .open_sender(path)
                .expect("the pipe");
            pipe.writable().await.expect("an empty pipe");
            while pipe.try_write(b"\n").is_ok() {}
        });
    }

    /// A server whose process may have so many files open; both limits are set.
    pub(crate) fn start_with_files(soft: u32, hard: u32) -> Self {
        let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args([
            "-c",
            &script,
            env!("CARGO_BIN_EXE_aisbreaker-server"),
            "--listen",
            "127.0.0.1:0",
        ]);
        Self::start_command(command, &[("AISBREAKER_LOG_FORMAT", "json")])
    }

    /// A server whose files the system lets grow to so many blocks of 512 bytes and no more, as if
    /// the disk were full.
    pub(crate) fn start_with_file_size(blocks: u32, environment: &[(&str, &str)]) -> Self {
        let script = format!("trap '' XFSZ && ulimit -Sf {blocks} && exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args([
            "-c",
            &script,
            env!("CARGO_BIN_EXE_aisbreaker-server"),
            "--listen",
            "127.0.0.1:0",
        ]);
        let basis = [
            ("AISBREAKER_LOG_FORMAT", "json"),
            ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
        ];
        Self::start_command(command, &[&basis, environment].concat())
    }

    /// Lets the files of the process grow again.
    pub(crate) fn free_file_size(&self) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("the process");
        let unlimited = Rlimit {
            current: None,
            maximum: None,
        };
        prlimit(Some(pid), Resource::Fsize, unlimited).expect("the limit raised");
    }

    /// The soft limit on the files that the process may have open.
    pub(crate) fn files_limit(&self) -> u32 {
        files_limit(self.child.id())
    }
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL by address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// The most memory that the process ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> usize {
        self.memory("VmHWM:")
    }

    /// The memory that the process has now, in bytes.
    pub(crate) fn resident_memory(&self) -> usize {
        self.memory("VmRSS:")
    }

    fn memory(&self, name: &str) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("the status of the process");
        let told = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        told.and_then(|kilobytes| kilobytes.parse::<usize>().ok())
            .expect("its memory")
            << 10
    }

    /// How many sockets the process has open.
    pub(crate) fn sockets(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("its files");
        // One that is closed meanwhile has no target any more.
        let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        targets
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// How many threads the process has.
    pub(crate) fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.child.id()))
            .expect("its threads")
            .count()
    }

    /// All pieces of these in the memory of the process; `None` where the system lets nobody look.
    pub(crate) fn search_memory(&self, canaries: &Canaries) -> Option<Vec<String>> {
        memory::search(self.child.id(), canaries)
    }

    /// How many files and sockets the process has open.
    pub(crate) fn open_files(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(path)
            .expect("the files of the process")
            .count()
    }

    /// The answer to one request on a connection of its own.
    pub(crate) fn send(&self, request: &Request) -> Answer {
        self.connect().send(request)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(&Request::get(path))
    }

    /// The key that the server mints for this request.
    pub(crate) fn mint(&self, body: &Value) -> String {
        self.mint_at("localhost", body)
    }

    pub(crate) fn mint_at(&self, host: &str, body: &Value) -> String {
        let answer = self.send(&Request::mint(body).set("Host", host));
        assert_eq!(answer.status, 200, "minting: {answer:?}");
        answer.json()["access_token"]
            .as_str()
            .expect("a key")
            .to_owned()
    }

    /// A key with roomy quotas and these secrets.
    pub(crate) fn mint_secrets(&self, secrets: &Value) -> String {
        self.mint(&grant(&roomy(), secrets))
    }

    /// Calls `process` with a bearer value, or without one if it is empty.
    pub(crate) fn process(&self, bearer: &str, body: &Value) -> Answer {
        let request = Request::process(body);
        self.send(&if bearer.is_empty() {
            request
        } else {
            request.bearer(bearer)
        })
    }

    /// Waits for a line of the log; each is asked about once.
    pub(crate) fn wait_for_log(&self, what: &str, is_it: impl FnMut(&Value) -> bool) -> Value {
        self.log.wait_for(what, is_it)
    }

    /// Waits for the line of the request with this id.
    pub(crate) fn wait_for_request(&self, id: &str) -> Value {
        self.wait_for_log(id, |line| {
            line["message"] == "request" && line["request_id"] == id
        })
    }

    /// All that was logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
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

    /// Waits for the end of the process: its status and all that it logged.
    pub(crate) fn wait(&mut self) -> (ExitStatus, String) {
        self.log.wait_for_end();
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log was read");
        }
        (self.child.wait().expect("a status"), self.log.text())
    }

    /// Waits for the end of a process whose log nobody reads.
    pub(crate) fn wait_unread(&mut self) -> ExitStatus {
        // A process that does not end is ended here rather than waited for; its status is not a
        // good one then.
        let (ended, end) = mpsc::channel();
        std::thread::scope(|scope| {
            let id = self.child.id();
            scope.spawn(move || {
                if end.recv_timeout(PATIENCE).is_err() {
                    let _killed = Command::new("kill")
                        .args(["-KILL", &id.to_string()])
                        .status();
                }
            });
            let status = self.child.wait().expect("a status");
            let _told = ended.send(());
            status
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _waited = self.child.wait();
        if std::thread::panicking() {
            // Only shown for tests that fail.
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

/// The soft limit on the files that this process may have open.
pub(crate) fn files_limit(process: u32) -> u32 {
    let limits =
        fs::read_to_string(format!("/proc/{process}/limits")).expect("the limits of the process");
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    soft.expect("its limit on open files")
}

/// The address in the line that tells that the server listens, in either format.
fn address_in(line: &Value) -> Option<SocketAddr> {
    if let Some(text) = line["text"]
        .as_str()
        .filter(|text| text.contains("listening"))
    {
        return text
            .split(' ')
            .find_map(|word| word.strip_prefix("address=")?.parse().ok());
    }
    line["address"]
        .as_str()
        .filter(|_| line["message"] == "listening")?
        .parse()
        .ok()
}

/// Runs the server to its end, which must come by itself.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = command(arguments);
    set_environment(&mut command, environment);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdout = child.stdout.take().expect("its standard output");
    // A server that starts though it should not is ended here rather than waited for.
    let mut stderr = BufReader::new(child.stderr.take().expect("its standard error"));
    let mut told = Vec::new();
    while stderr
        .read_until(b'\n', &mut told)
        .expect("its standard error")
        > 0
    {
        if String::from_utf8_lossy(&told).contains("listening") {
            let _killed = child.kill();
        }
    }
    let mut printed = Vec::new();
    stdout
        .read_to_end(&mut printed)
        .expect("its standard output");
    Output {
        status: child.wait().expect("a status"),
        stdout: printed,
        stderr: told,
    }
}

/// What a server says that must not start with these settings.
pub(crate) fn refused_start(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    let told = String::from_utf8(output.stderr).expect("an explanation in UTF-8");
    assert!(
        !output.status.success() && output.status.code().is_some(),
        "it started: {told}"
    );
    told
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aisbreaker-server"));
    command.args(arguments);
    command
}

/// Nothing else of the environment of the tests reaches the server.
fn set_environment(command: &mut Command, environment: &[(&str, &str)]) {
    command.env_clear().envs(environment.iter().copied());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
}

/// The lines of a log as they come.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    is_over: bool,
}

impl Log {
    fn read(self, stderr: BufReader<PipeReader>) -> JoinHandle<()> {
        std::thread::spawn(move || {
            for line in stderr.split(b'\n').map_while(Result::ok) {
                self.change(|lines| {
                    lines
                        .lines
                        .push(String::from_utf8_lossy(&line).into_owned())
                });
            }
            self.change(|lines| lines.is_over = true);
        })
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.0.0.lock().expect("no panic while logging"));
        self.0.1.notify_all();
    }

    fn wait_for(&self, what: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        let mut seen = 0;
        let mut found = None;
        self.wait_while(|lines| {
            let fresh = lines.lines.iter().skip(seen);
            // A line that is no JSON is the member `text` of an object.
            let parse = |line: &String| {
                serde_json::from_str(line).unwrap_or_else(|_| json!({"text": line}))
            };
            found = fresh.map(parse).find(|line| is_it(line));
            seen = lines.lines.len();
            found.is_none() && !lines.is_over
        });
        found.unwrap_or_else(|| panic!("waited in vain for {what} in the log:\n{}", self.text()))
    }

    fn wait_for_end(&self) {
        self.wait_while(|lines| !lines.is_over);
        let is_over = self.0.0.lock().expect("no panic while logging").is_over;
        assert!(is_over, "the server did not end:\n{}", self.text());
    }

    fn wait_while(&self, mut is_waiting: impl FnMut(&Lines) -> bool) {
        let lines = self.0.0.lock().expect("no panic while logging");
        let waited = self
            .0
            .1
            .wait_timeout_while(lines, PATIENCE, |lines| is_waiting(lines));
        drop(waited.expect("no panic while logging"));
    }

    fn text(&self) -> String {
        self.0
            .0
            .lock()
            .expect("no panic while logging")
            .lines
            .join("\n")
    }
}
