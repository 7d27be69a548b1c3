//! Other gateways, measured as ours is.

use std::{
    collections::HashMap,
    fs,
    io::{BufReader, Read as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aisbreaker_benches::{process::Process, provider::Answers};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;

use crate::{
    measure::{Closed, Comparison},
    scenarios::{Outcome, Plan},
    target::{Target, chat, provider, role},
};

/// How long a gateway may take to start.
const PATIENCE: Duration = Duration::from_secs(120);

/// How one is started and called. `{port}` and `{provider}` (`host:port`) in the command, the
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
    /// How many connections send requests; 64 unless it cannot take as many.
    connections: Option<usize>,
}

/// Measures each of the gateways that a file names (JSON) against the floor.
pub(crate) fn measure(file: &Path, plan: &Plan) -> Outcome {
    let text = fs::read_to_string(file).expect("the file with the other gateways can be read");
    let peers: Vec<Peer> = serde_json::from_str(&text).expect("a list as --help has it");
    let comparisons = peers
        .iter()
        .map(|peer| against_the_floor(peer, plan))
        .collect();
    Outcome {
        comparisons,
        ..Outcome::default()
    }
}

fn against_the_floor(peer: &Peer, plan: &Plan) -> Comparison {
    let provider = provider(Answers::default());
    let floor = role(&["floor", &provider.address().to_string()]);
    let port = free_port();
    let fill = |text: &str| {
        text.replace("{port}", &port.to_string())
            .replace("{provider}", &provider.address().to_string())
    };
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {}", fill(&peer.command))]);
    command.envs(
        peer.environment
            .iter()
            .map(|(name, value)| (name, fill(value))),
    );
    let child = started(command, port);
    let _group = Group(Pid::from_child(&child));
    let process = Process::adopt(child, ([127, 0, 0, 1], port).into());
    let fields: String = peer
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\r\n", fill(value)))
        .collect();
    let request = chat(&fields, &fill(&peer.path));
    let floor = Target {
        process: floor,
        request: request.clone(),
    };
    let closed = Closed::of(peer.connections.unwrap_or(64), plan.time);
    let targets = (&Target { process, request }, &floor);
    Comparison::measure(peer.name.as_str(), targets, plan.rounds, |target| {
        closed.run(target, Some(&provider))
    })
}

/// All processes of one gateway, which end with it.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // What has ended already need not be ended.
        let _ended = kill_process_group(self.0, Signal::KILL);
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Starts it, drops what it prints, and waits until it accepts connections.
fn started(mut command: Command, port: u16) -> Child {
    let mut child = command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("there is a shell");
    for output in [
        child
            .stdout
            .take()
            .map(|output| Box::new(output) as Box<dyn std::io::Read + Send>),
        child
            .stderr
            .take()
            .map(|output| Box::new(output) as Box<dyn std::io::Read + Send>),
    ] {
        let mut output = BufReader::new(output.expect("it is piped"));
        thread::spawn(move || std::io::copy(&mut output.by_ref(), &mut std::io::sink()));
    }
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "it does not listen at its port");
        thread::sleep(Duration::from_millis(100));
    }
    // Some listen before they can answer.
    thread::sleep(Duration::from_secs(2));
    child
}
