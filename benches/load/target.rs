//! The processes that are measured, and their requests.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Command,
    thread,
};

use aisbreaker_benches::{
    calls,
    gateway::{DUMMY_REQUEST, UNLIMITED, chat_body, chat_mint_request, process_body},
    process::Process,
    provider::{ReplyOptions, json_response, request_length},
};

/// The secret of the provider.
pub(crate) const PLAIN_SECRET: &str = "sk_vector_openai_key";

/// The path of a chat request to the provider.
const CHAT_PATH: &str = "/v1/chat/completions";

/// A server process and the request that is sent to it.
pub(crate) struct Target {
    pub(crate) process: Process,
    pub(crate) request: Vec<u8>,
}

/// A provider, with the server and the bare proxy in front of it.
pub(crate) struct Setup {
    pub(crate) provider: Process,
    pub(crate) ours: Target,
    pub(crate) bare_proxy: Target,
}

impl Setup {
    /// Starts all of them, each in its own process.
    pub(crate) fn start(server: &Path, reply: ReplyOptions) -> Self {
        let provider = provider(reply);
        let ours = ours(server, provider.address());
        // Both get the same bytes.
        let bare_proxy = Target {
            process: bare_proxy(provider.address()),
            request: ours.request.clone(),
        };
        Self {
            provider,
            ours,
            bare_proxy,
        }
    }

    /// Starts all of them for a call of `process`, which the server translates for the provider.
    /// The bare proxy gets a request to that provider, with the body that the server sends to it.
    pub(crate) fn for_process(path: &Path) -> Self {
        let provider = provider(ReplyOptions::default());
        let process = server(path, &[]);
        let key = openai_key(process.address(), provider.address());
        let bare_proxy = Target {
            process: bare_proxy(provider.address()),
            request: post(
                &format!("authorization: Bearer {key}\r\n"),
                CHAT_PATH,
                &translated_body(process.address()),
            ),
        };
        let request = calls::request(&key, &process_body());
        Self {
            provider,
            ours: Target { process, request },
            bare_proxy,
        }
    }
}

/// Mints a key whose OpenAI secret is for the provider at this address.
fn openai_key(server: SocketAddr, provider: SocketAddr) -> String {
    calls::mint_with(server, &chat_mint_request(&format!("http://{provider}")))
}

/// Returns the body of the request that the server sends to a provider for [`process_body`].
fn translated_body(server: SocketAddr) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let key = openai_key(server, listener.local_addr().expect("it is bound"));
    let request = calls::request(&key, &process_body());
    thread::scope(|scope| {
        let provider = scope.spawn(|| receive_body(&listener));
        let request = str::from_utf8(&request).expect("it is text");
        let response = calls::exchange(server, request);
        assert!(response.contains("\"outputs\""), "{response}");
        provider.join().expect("it does not panic")
    })
}

/// Returns the body of the first request, and replies to it.
fn receive_body(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().expect("the server connects");
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    while request_length(&received).is_none() {
        let read = stream.read(&mut buffer).expect("it can be read");
        assert!(read > 0, "the server closed the connection");
        received.extend_from_slice(&buffer[..read]);
    }
    let response = json_response();
    stream
        .write_all(response.as_bytes())
        .expect("the server reads");
    let request = String::from_utf8(received).expect("it is text");
    let (_, body) = request.split_once("\r\n\r\n").expect("it has a body");
    body.to_owned()
}

/// Starts a provider that replies like this.
pub(crate) fn provider(reply: ReplyOptions) -> Process {
    let (chunks, pause) = (reply.chunks.to_string(), reply.pause_millis.to_string());
    let mut arguments = vec!["provider", "--chunks", &chunks, "--pause-millis", &pause];
    if reply.at_once {
        arguments.push("--at-once");
    }
    role(&arguments)
}

/// Starts a bare proxy in front of the provider at this address.
pub(crate) fn bare_proxy(provider: SocketAddr) -> Process {
    role(&["floor", &provider.to_string()])
}

/// Starts this program in another role.
fn role(arguments: &[&str]) -> Process {
    let this = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(this);
    command.args(arguments);
    let (process, _log) = Process::spawn(command);
    process
}

/// Starts the server with its defaults, except that quotas are never exceeded and providers may be
/// on this machine. Its log is written and read.
pub(crate) fn server(server: &Path, more: &[(&str, &str)]) -> Process {
    let mut environment = vec![
        ("AISBREAKER_SERVER_QUOTAS", UNLIMITED),
        ("AISBREAKER_DEFAULT_QUOTAS", UNLIMITED),
        ("AISBREAKER_MINT_QUOTAS", UNLIMITED),
        ("AISBREAKER_EGRESS_ALLOW", "127.0.0.0/8"),
        ("AISBREAKER_EGRESS_ALLOW_CALLERS", "true"),
    ];
    environment.extend_from_slice(more);
    let (process, mut log) = Process::start(server, &environment);
    thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    process
}

/// Starts the server with a request whose key has a secret for this provider.
pub(crate) fn ours(path: &Path, provider: SocketAddr) -> Target {
    let process = server(path, &[]);
    let key = openai_key(process.address(), provider);
    let request = chat_request(&format!("authorization: Bearer {key}\r\n"), CHAT_PATH);
    Target { process, request }
}

/// Returns a chat request with the provider's secret itself.
pub(crate) fn plain_request() -> Vec<u8> {
    chat_request(
        &format!("authorization: Bearer {PLAIN_SECRET}\r\n"),
        CHAT_PATH,
    )
}

/// Returns a chat request of 1 kB with these further header fields.
pub(crate) fn chat_request(fields: &str, path: &str) -> Vec<u8> {
    post(fields, path, &chat_body(false))
}

/// Returns a request with these further header fields and this JSON body.
fn post(fields: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{fields}content-type: application/json\r\n\
         accept: application/json\r\n\
         user-agent: load/1.0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Starts the server with a request to `chat:dummy`, and a server that responds with a constant.
pub(crate) fn dummy_and_constant(path: &Path) -> (Target, Target) {
    let process = server(path, &[]);
    let request = calls::dummy_request(&calls::mint(process.address()));
    let constant = Target {
        process: role(&["constant"]),
        request: request.clone(),
    };
    (Target { process, request }, constant)
}

/// Starts the server behind a trusted proxy. The request has room for the address of a client.
pub(crate) fn behind_proxy(path: &Path) -> Target {
    let process = server(path, &[("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8")]);
    let key = calls::mint(process.address());
    let framing = format!(
        "{FORWARDED}010.000.000.000\r\ncontent-length: {}\r\n\r\n",
        DUMMY_REQUEST.len()
    );
    let request = format!("{}{DUMMY_REQUEST}", calls::request_head(&key, &framing)).into_bytes();
    Target { process, request }
}

const FORWARDED: &str = "x-forwarded-for: ";

/// Makes this the request of another client, one of a million.
pub(crate) fn set_client(request: &mut [u8], number: u64) {
    let at = memchr::memmem::find(request, FORWARDED.as_bytes()).expect("it has a client")
        + FORWARDED.len();
    let number = u32::try_from(number % 1_000_000).expect("it is below a million");
    let address = Ipv4Addr::from_bits(0x0b00_0000 + number).to_string();
    request[at..at + 15].copy_from_slice(format!("{address:15}").as_bytes());
}
