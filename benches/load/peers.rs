//! Other gateways, started as `peers.json` says.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aisbreaker_benches::process::Process;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;

use crate::target::{Target, chat_request};

/// How long a gateway may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(300);

/// How a gateway is started and called. `{port}` and `{provider}` (`host:port`) in the command, the
/// environment, the path and the header fields are replaced.
#[derive(Debug, Deserialize)]
pub(crate) struct Peer {
    pub(crate) name: String,
    /// What it does for a request, for the report.
    pub(crate) work: String,
    /// Whether it is more than a proxy.
    #[serde(default)]
    pub(crate) is_gateway: bool,
    /// Run by a shell; prints the version.
    version: String,
    /// Run by a shell, in the foreground.
    command: String,
    #[serde(default)]
    environment: HashMap<String, String>,
    path: String,
    #[serde(default)]
    headers: HashMap<String, String>,
}

/// A gateway that runs, killed on drop with all of its processes.
pub(crate) struct RunningPeer {
    pub(crate) target: Target,
    _group: Group,
}

/// Reads the list of gateways in a JSON file.
pub(crate) fn read(file: &Path) -> Vec<Peer> {
    let text = fs::read_to_string(file).expect("the file with the other gateways can be read");
    serde_json::from_str(&text).expect("a list as --help has it")
}

impl Peer {
    /// Asks the installed program for its version.
    pub(crate) fn version(&self) -> String {
        let output = Command::new("sh").args(["-c", &self.version]).output();
        let text = output.expect("there is a shell").stdout;
        let version = String::from_utf8_lossy(&text).trim().to_owned();
        assert!(
            !version.is_empty(),
            "{} is not installed; benches/load/peers/README.md says how",
            self.name
        );
        version
    }

    /// Starts it in front of the provider at this address, and waits until it accepts connections.
    pub(crate) fn start(&self, provider: SocketAddr) -> RunningPeer {
        let port = free_port();
        let fill = |text: &str| {
            text.replace("{port}", &port.to_string())
                .replace("{provider}", &provider.to_string())
        };
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {}", fill(&self.command))]);
        for (name, value) in &self.environment {
            command.env(name, fill(value));
        }
        let (child, group) = start(command);
        await_listener(port, &self.name);
        let fields: String = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}\r\n", fill(value)))
            .collect();
        RunningPeer {
            target: Target {
                process: Process::adopt(child, ([127, 0, 0, 1], port).into()),
                request: chat_request(&fields, &fill(&self.path)),
            },
            _group: group,
        }
    }
}

/// All processes of one gateway, killed on drop.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        let _ended_already = kill_process_group(self.0, Signal::KILL);
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Starts a gateway and discards its output.
fn start(mut command: Command) -> (Child, Group) {
    let mut child = command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("there is a shell");
    drain(child.stdout.take().expect("it is piped"));
    drain(child.stderr.take().expect("it is piped"));
    let group = Group(Pid::from_child(&child));
    (child, group)
}

/// Waits until a gateway accepts connections.
fn await_listener(port: u16, name: &str) {
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            started.elapsed() < START_TIMEOUT,
            "{name} does not listen on its port"
        );
        thread::sleep(Duration::from_millis(100));
    }
    // Some listen before they can respond.
    thread::sleep(Duration::from_secs(2));
}

fn drain(mut output: impl Read + Send + 'static) {
    thread::spawn(move || io::copy(&mut output, &mut io::sink()));
}
