//! The server under attack, and what a client needs to call it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};

use aisbreaker_benches::{
    gateway::{MINT_REQUEST, UNLIMITED},
    process::{Process, is_whole},
};

/// Where and with which key to call.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) key: Arc<str>,
}

/// A server with its defaults, but for quotas that nobody spends and providers on this machine.
pub(crate) fn start(server: &Path) -> (Process, Target) {
    let environment = [
        ("AISBREAKER_SERVER_QUOTAS", UNLIMITED),
        ("AISBREAKER_DEFAULT_QUOTAS", UNLIMITED),
        ("AISBREAKER_EGRESS_ALLOW", "127.0.0.0/8"),
    ];
    let (process, mut log) = Process::start(server, &environment);
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    let address = process.address();
    let key = mint(address);
    (process, Target { address, key: key.into() })
}

fn mint(address: SocketAddr) -> String {
    let mut socket = TcpStream::connect(address).expect("it accepts");
    let request = format!(
        "POST /api/v1/oauth/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{MINT_REQUEST}",
        MINT_REQUEST.len()
    );
    socket.write_all(request.as_bytes()).expect("it takes the request");
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !is_whole(&answer) {
        let read = socket.read(&mut piece).expect("it answers");
        answer.extend_from_slice(&piece[..read]);
    }
    let text = String::from_utf8(answer).expect("it answers in UTF-8");
    let (_, body) = text.split_once("\r\n\r\n").expect("it has a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("it is JSON");
    body["access_token"].as_str().expect("it has a key").to_owned()
}
