//! Other gateways, measured like the server.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aisbreaker_benches::{process::Process, provider::ReplyOptions};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;

use crate::{
    measure::{ClosedRun, Comparison},
    scenarios::{PartResult, Plan},
    target::{Target, bare_proxy, chat_request, provider},
};

/// How long a gateway may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// How a gateway is started and called. `{port}` and `{provider}` (`host:port`) in the command, the
/// environment, the path and the header fields are replaced.
#[derive(Debug, Deserialize)]
struct Peer {
    name: String,
    /// Run by a shell, in the foreground.
    command: String,
    #[serde(default)]
    environment: HashMap<String, String>,
    path: String,
    #[serde(default)]
    headers: HashMap<String, String>,
    /// How many connections send requests; by default 64.
    connections: Option<usize>,
}

/// Measures each of the gateways in a JSON file against the bare proxy.
pub(crate) fn measure(file: &Path, plan: &Plan) -> PartResult {
    let text = fs::read_to_string(file).expect("the file with the other gateways can be read");
    let peers: Vec<Peer> = serde_json::from_str(&text).expect("a list as --help has it");
    let comparisons = peers.iter().map(|peer| compare(peer, plan)).collect();
    PartResult {
        comparisons,
        ..PartResult::default()
    }
}

fn compare(peer: &Peer, plan: &Plan) -> Comparison {
    let provider = provider(ReplyOptions::default());
    let port = free_port();
    let fill = |text: &str| {
        text.replace("{port}", &port.to_string())
            .replace("{provider}", &provider.address().to_string())
    };
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {}", fill(&peer.command))]);
    for (name, value) in &peer.environment {
        command.env(name, fill(value));
    }
    let child = start(command, port);
    let _group = Group(Pid::from_child(&child));
    let process = Process::adopt(child, ([127, 0, 0, 1], port).into());
    let fields: String = peer
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\r\n", fill(value)))
        .collect();
    let request = chat_request(&fields, &fill(&peer.path));
    let anchor = Target {
        process: bare_proxy(provider.address()),
        request: request.clone(),
    };
    let closed = ClosedRun::new(peer.connections.unwrap_or(64), plan.time);
    let targets = (&Target { process, request }, &anchor);
    Comparison::measure(peer.name.as_str(), targets, plan.rounds, |target| {
        closed.run(target, Some(&provider))
    })
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

/// Starts a gateway, discards its output, and waits until it accepts connections.
fn start(mut command: Command, port: u16) -> Child {
    let mut child = command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("there is a shell");
    drain(child.stdout.take().expect("it is piped"));
    drain(child.stderr.take().expect("it is piped"));
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            started.elapsed() < START_TIMEOUT,
            "it does not listen on its port"
        );
        thread::sleep(Duration::from_millis(100));
    }
    // Some listen before they can respond.
    thread::sleep(Duration::from_secs(2));
    child
}

fn drain(mut output: impl Read + Send + 'static) {
    thread::spawn(move || io::copy(&mut output, &mut io::sink()));
}
