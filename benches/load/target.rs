//! What is measured: processes with their requests.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
};

use aisbreaker_benches::{
    calls,
    gateway::{DUMMY_REQUEST, UNLIMITED, chat_body, chat_mint_request},
    process::Process,
    provider::Answers,
};

/// A server and the request that is sent to it.
pub(crate) struct Target {
    pub(crate) process: Process,
    pub(crate) request: Vec<u8>,
}

/// A provider, ours before it, and the floor before it.
pub(crate) struct Setup {
    pub(crate) provider: Process,
    pub(crate) ours: Target,
    pub(crate) floor: Target,
}

impl Setup {
    /// All of them, each in a process of its own.
    pub(crate) fn start(server: &Path, answers: Answers) -> Self {
        let provider = provider(answers);
        let ours = ours(server, provider.address());
        let floor = role(&["floor", &provider.address().to_string()]);
        // The same bytes, so that both have the same to read.
        let floor = Target {
            process: floor,
            request: ours.request.clone(),
        };
        Self {
            provider,
            ours,
            floor,
        }
    }
}

/// A provider with these answers.
pub(crate) fn provider(answers: Answers) -> Process {
    let (chunks, pause) = (answers.chunks.to_string(), answers.pause_millis.to_string());
    let mut arguments = vec!["provider", "--chunks", &chunks, "--pause-millis", &pause];
    if answers.at_once {
        arguments.push("--at-once");
    }
    role(&arguments)
}

/// This program in another role.
pub(crate) fn role(arguments: &[&str]) -> Process {
    let this = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(this);
    command.args(arguments);
    let (process, _log) = Process::spawn(command);
    process
}

/// The server, with its defaults but for quotas that nobody spends and a provider on this machine;
/// it writes its log, and somebody reads it.
pub(crate) fn server(server: &Path, more: &[(&str, &str)]) -> Process {
    let mut environment = vec![
        ("AISBREAKER_SERVER_QUOTAS", UNLIMITED),
        ("AISBREAKER_DEFAULT_QUOTAS", UNLIMITED),
        ("AISBREAKER_EGRESS_ALLOW", "127.0.0.0/8"),
    ];
    environment.extend_from_slice(more);
    let (process, mut log) = Process::start(server, &environment);
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    process
}

fn ours(path: &Path, provider: SocketAddr) -> Target {
    let process = server(path, &[]);
    let key = calls::minted(
        process.address(),
        &chat_mint_request(&format!("http://{provider}")),
    );
    let request = chat(
        &format!("authorization: Bearer {key}\r\n"),
        "/v1/chat/completions",
    );
    Target { process, request }
}

/// A chat request of 1 kB with these further fields.
pub(crate) fn chat(fields: &str, path: &str) -> Vec<u8> {
    let body = chat_body(false);
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{fields}content-type: application/json\r\naccept: application/json\r\n\
         user-agent: load/1.0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The server and a constant, both without a provider.
pub(crate) fn dummies(path: &Path) -> (Target, Target) {
    let process = server(path, &[]);
    let request = calls::dummy(&calls::mint(process.address()));
    let constant = Target {
        process: role(&["constant"]),
        request: request.clone(),
    };
    (Target { process, request }, constant)
}

/// The server behind a proxy that tells it of a client; the place of the client's address in the
/// request is fixed.
pub(crate) fn behind_a_proxy(path: &Path) -> Target {
    let process = server(path, &[("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8")]);
    let key = calls::mint(process.address());
    let framing = format!(
        "{FORWARDED}010.000.000.000\r\ncontent-length: {}\r\n\r\n",
        DUMMY_REQUEST.len()
    );
    let request = format!("{}{DUMMY_REQUEST}", calls::head(&key, &framing)).into_bytes();
    Target { process, request }
}

const FORWARDED: &str = "x-forwarded-for: ";

/// Makes this the request of another client, of a million.
pub(crate) fn of_client(request: &mut [u8], number: u64) {
    let at = memchr::memmem::find(request, FORWARDED.as_bytes()).expect("it names a client")
        + FORWARDED.len();
    let number = u32::try_from(number % 1_000_000).expect("a million is not much");
    let address = Ipv4Addr::from_bits(0x0b00_0000 + number).to_string();
    request[at..at + 15].copy_from_slice(format!("{address:15}").as_bytes());
}
