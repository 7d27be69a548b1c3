//! Calls to a server in a process of its own, over sockets.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    gateway::{DUMMY_REQUEST, MINT_REQUEST},
    process::is_whole,
};

/// A key that is never spent, of the server at this address.
#[must_use]
pub fn mint(address: SocketAddr) -> String {
    minted(address, MINT_REQUEST)
}

/// The key that the server at this address makes of a request.
#[must_use]
pub fn minted(address: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("it accepts");
    let request = format!(
        "POST /api/v1/oauth/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{request}",
        request.len()
    );
    socket
        .write_all(request.as_bytes())
        .expect("it takes the request");
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !is_whole(&answer) {
        let read = socket.read(&mut piece).expect("it answers");
        answer.extend_from_slice(&piece[..read]);
    }
    let text = String::from_utf8(answer).expect("it answers in UTF-8");
    let (_, body) = text.split_once("\r\n\r\n").expect("it has a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("it is JSON");
    body["access_token"]
        .as_str()
        .expect("it has a key")
        .to_owned()
}

/// The head of a call with this key, without its end, and with whatever framing is named.
#[must_use]
pub fn head(key: &str, framing: &str) -> String {
    format!(
        "POST /api/v1/process HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\n{framing}"
    )
}

/// A whole call with this key and body.
#[must_use]
pub fn call(key: &str, body: &str) -> Vec<u8> {
    format!(
        "{}{body}",
        head(key, &format!("content-length: {}\r\n\r\n", body.len()))
    )
    .into_bytes()
}

/// A call of `chat:dummy`.
#[must_use]
pub fn dummy(key: &str) -> Vec<u8> {
    call(key, DUMMY_REQUEST)
}

/// A connection to this address that sends at once what it is given.
///
/// # Errors
/// If there is none.
pub async fn connect(address: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a call and waits for the whole of its answer.
///
/// # Errors
/// If the answer is cut short, or is not 200.
pub async fn answered(stream: &mut tokio::net::TcpStream, request: &[u8]) -> io::Result<()> {
    stream.write_all(request).await?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !is_whole(&answer) {
        match stream.read(&mut piece).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
    let is_ok = answer.starts_with(b"HTTP/1.1 200");
    if is_ok {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}
