//! The connection on which a script sends any bytes.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use serde_json::Value;
use tokio::net::TcpSocket;

use crate::support::PATIENCE;

/// The connection on which a provider responds.
pub(crate) struct Wire {
    stream: TcpStream,
    /// Whether the provider has ended the connection.
    has_ended: bool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            has_ended: false,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Sends a whole response.
    pub(crate) fn respond(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) {
        let body = body.as_ref();
        let length = body.len().to_string();
        self.head(status, &[headers, &[("Content-Length", &length)]].concat());
        self.write(body);
    }

    /// Sends a whole JSON response.
    pub(crate) fn json(&mut self, status: u16, body: &Value) {
        self.respond(
            status,
            &[("Content-Type", "application/json")],
            body.to_string(),
        );
    }

    /// Returns the socket, to go on in another protocol.
    pub(crate) fn socket(&mut self) -> TcpStream {
        self.has_ended = true;
        self.stream
            .try_clone()
            .expect("a second handle of the socket")
    }

    /// Sends the head of a response.
    pub(crate) fn head(&mut self, status: u16, headers: &[(&str, &str)]) {
        let fields: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        self.write(format!("HTTP/1.1 {status} Whatever\r\n{fields}\r\n"));
    }

    /// Sends the head of a chunked event stream.
    pub(crate) fn stream(&mut self) {
        self.head(
            200,
            &[
                ("Content-Type", "text/event-stream"),
                ("Transfer-Encoding", "chunked"),
            ],
        );
    }

    /// Sends one chunk.
    pub(crate) fn chunk(&mut self, bytes: impl AsRef<[u8]>) {
        self.write(framed(bytes.as_ref()));
    }

    /// Sends one chunk, and returns whether the peer accepted it within half a second.
    pub(crate) fn chunk_in_time(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream
            .set_write_timeout(Some(Duration::from_millis(500)))
            .expect("a write timeout");
        self.stream.write_all(&framed(bytes.as_ref())).is_ok()
    }

    /// Repeats one chunk until the server closes the connection, which it must do.
    pub(crate) fn chunk_until_closed(&mut self, bytes: impl AsRef<[u8]>) {
        let chunk = framed(bytes.as_ref());
        while self.stream.write_all(&chunk).is_ok() {}
    }

    /// Ends a chunked body.
    pub(crate) fn end(&mut self) {
        self.write("0\r\n\r\n");
    }

    /// Sends a whole event stream.
    pub(crate) fn whole_stream(&mut self, events: impl AsRef<[u8]>) {
        self.stream();
        self.chunk(events);
        self.end();
    }

    /// Closes the connection, at any point of the response.
    pub(crate) fn close(&mut self) {
        let _closed = self.stream.shutdown(Shutdown::Both);
        self.has_ended = true;
    }

    /// Resets the connection.
    pub(crate) fn reset(&mut self) {
        let stream = self
            .stream
            .try_clone()
            .expect("a second handle of the socket");
        let _set = TcpSocket::from_std_stream(stream).set_zero_linger();
        self.has_ended = true;
    }

    /// Does nothing for this long, or until the server closes the connection.
    pub(crate) fn pause(&mut self, time: Duration) {
        self.stream
            .set_read_timeout(Some(time))
            .expect("a read timeout");
        let _closed_or_not = self.stream.peek(&mut [0]);
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
    }

    /// Writes every byte by itself, and pauses after every sixteenth.
    pub(crate) fn trickle(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) {
        for group in bytes.as_ref().chunks(16) {
            for byte in group {
                self.write([*byte]);
            }
            self.pause(pause);
        }
    }

    /// Repeats these bytes until the server closes the connection, which it must do before it has
    /// accepted `limit` bytes.
    pub(crate) fn flood(&mut self, bytes: impl AsRef<[u8]>, limit: usize) {
        let bytes = bytes.as_ref();
        self.stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a write timeout");
        let repetitions = limit / bytes.len();
        let is_accepted = |_: &usize| self.stream.write_all(bytes).is_ok();
        let written = (0..repetitions).take_while(is_accepted).count();
        assert!(
            written < repetitions,
            "the server accepts more than {limit} bytes"
        );
        self.has_ended = true;
    }

    /// Writes bytes. A server that has closed the connection is no failure.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _written = self.stream.write_all(bytes.as_ref());
    }

    /// Waits until the server closes the connection, however long that takes.
    pub(crate) fn hold(&mut self) {
        self.stream.set_read_timeout(None).expect("no read timeout");
        self.wait_until_closed();
        self.has_ended = true;
    }

    /// Waits until the server closes the connection, and returns whether it did in time.
    pub(crate) fn wait_until_closed(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
