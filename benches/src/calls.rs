//! HTTP requests to a server in another process, over sockets.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use aisbreaker_token::SealingPublicKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    gateway::{DUMMY_REQUEST, MINT_REQUEST},
    process::is_complete,
};

/// Mints a key with quotas that are never exceeded.
#[must_use]
pub fn mint(address: SocketAddr) -> String {
    mint_with(address, MINT_REQUEST)
}

/// Mints a key with this request body.
#[must_use]
pub fn mint_with(address: SocketAddr, body: &str) -> String {
    let request = format!(
        "POST /api/v1/oauth/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let token: serde_json::Value =
        serde_json::from_str(&exchange(address, &request)).expect("it is JSON");
    token["access_token"]
        .as_str()
        .expect("it has a key")
        .to_owned()
}

/// Returns the public key of a server.
#[must_use]
pub fn public_key(address: SocketAddr) -> SealingPublicKey {
    let request = "GET /.well-known/jwks.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    SealingPublicKey::from_jwk_set(&exchange(address, request)).expect("it has one key")
}

/// Sends a request on a new connection and returns the body of the response.
#[must_use]
pub fn exchange(address: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("it accepts");
    socket
        .write_all(request.as_bytes())
        .expect("it takes the request");
    let (mut response, mut buffer) = (Vec::new(), [0; 4096]);
    while !is_complete(&response) {
        let read = socket.read(&mut buffer).expect("it responds");
        response.extend_from_slice(&buffer[..read]);
    }
    let text = String::from_utf8(response).expect("it responds in UTF-8");
    let (_, body) = text.split_once("\r\n\r\n").expect("it has a body");
    body.to_owned()
}

/// Returns the head of a `process` request with this key, up to and including `framing`: further
/// header fields and, if the head is to end there, the empty line.
#[must_use]
pub fn request_head(key: &str, framing: &str) -> String {
    format!(
        "POST /api/v1/process HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\n{framing}"
    )
}

/// Returns a whole `process` request with this key and body.
#[must_use]
pub fn request(key: &str, body: &str) -> Vec<u8> {
    let framing = format!("content-length: {}\r\n\r\n", body.len());
    format!("{}{body}", request_head(key, &framing)).into_bytes()
}

/// Returns a whole request to `chat:dummy`.
#[must_use]
pub fn dummy_request(key: &str) -> Vec<u8> {
    request(key, DUMMY_REQUEST)
}

/// Connects to this address, without Nagle's algorithm.
///
/// # Errors
/// When the connection cannot be made.
pub async fn connect(address: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request and waits for the complete response.
///
/// # Errors
/// When the response is cut short or not 200.
pub async fn send(stream: &mut tokio::net::TcpStream, request: &[u8]) -> io::Result<()> {
    stream.write_all(request).await?;
    let (mut response, mut buffer) = (Vec::new(), [0; 4096]);
    while !is_complete(&response) {
        match stream.read(&mut buffer).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => response.extend_from_slice(&buffer[..read]),
        }
    }
    if response.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}
