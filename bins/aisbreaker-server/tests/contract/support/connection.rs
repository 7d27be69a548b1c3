//! A client connection that writes its own bytes, so that it can also be slow or invalid.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use openssl::ssl::SslStream;

use tokio::net::TcpSocket;

use super::{
    Event, PATIENCE, Request, Response, client_socket::ClientSocket, current_thread_runtime,
};

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Connection {
    reader: BufReader<ClientSocket>,
    /// Events that were read but not yet returned.
    events: VecDeque<Event>,
}

/// How the body of a response is delimited.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Empty,
    Length(usize),
    Chunked,
    UntilClosed,
}

impl Connection {
    /// Connects to a server.
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("a connection to the server"))
    }

    /// Connects from this loopback address, which the server counts as a client of its own.
    pub(crate) fn open_from(client: Ipv4Addr, server: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(SocketAddr::from((client, 0)))
            .expect("a loopback address");
        Self::connect(socket, server)
    }

    /// Connects with a receive buffer of about this size, which bounds what the system reads ahead
    /// of the client.
    pub(crate) fn open_with_receive_buffer(address: SocketAddr, bytes: u32) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(bytes).expect("a small buffer");
        Self::connect(socket, address)
    }

    fn connect(socket: TcpSocket, address: SocketAddr) -> Self {
        let stream = current_thread_runtime()
            .block_on(socket.connect(address))
            .expect("a connection to the server")
            .into_std()
            .expect("a socket without a runtime");
        stream.set_nonblocking(false).expect("a blocking socket");
        Self::over(stream)
    }

    fn over(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
        stream.set_nodelay(true).expect("no delay");
        Self::on(ClientSocket::Plain(stream))
    }

    /// Goes on with a connection whose TLS handshake is done.
    pub(crate) fn over_tls(stream: SslStream<TcpStream>) -> Self {
        Self::on(ClientSocket::Tls(stream))
    }

    fn on(socket: ClientSocket) -> Self {
        Self {
            reader: BufReader::new(socket),
            events: VecDeque::new(),
        }
    }

    /// Writes bytes. A server that has already responded and closed is no failure.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _written = self.try_write(bytes);
    }

    /// Writes bytes, and returns whether the server accepted them all.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.reader.get_mut().write_all(bytes).is_ok()
    }

    /// Reads this many bytes of a body whose head was read. Panics if the body is truncated.
    pub(crate) fn read_exact(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.reader
            .read_exact(&mut bytes)
            .expect("a body that is not truncated");
        bytes
    }

    /// Waits for bytes for this long, of which none may come.
    pub(crate) fn wait_in_vain(&mut self, time: Duration) {
        let socket = self.reader.get_ref().tcp();
        socket.set_read_timeout(Some(time)).expect("a read timeout");
        let peeked = socket.peek(&mut [0]);
        assert!(peeked.is_err(), "something came: {peeked:?}");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
    }

    /// Takes the socket, with the bytes that were read but not returned.
    pub(super) fn into_socket(self) -> (ClientSocket, Vec<u8>) {
        let read = self.reader.buffer().to_vec();
        (self.reader.into_inner(), read)
    }

    /// Returns a second handle of the socket, to write while another thread reads.
    pub(crate) fn writer(&self) -> TcpStream {
        self.reader
            .get_ref()
            .tcp()
            .try_clone()
            .expect("a second handle of the socket")
    }

    /// Shuts down the writing half.
    pub(crate) fn finish_writing(&mut self) {
        let _ended = self.reader.get_ref().tcp().shutdown(Shutdown::Write);
    }

    /// Sends a request and reads the whole response.
    pub(crate) fn send(&mut self, request: &Request) -> Response {
        self.write(&request.to_bytes());
        self.response_to(request.method())
    }

    /// Reads the whole response to a request with this method.
    pub(crate) fn response_to(&mut self, method: &str) -> Response {
        let mut response = self.head();
        let has_no_body = matches!(response.status, 100..200 | 204 | 304);
        let is_empty = method == "HEAD" || has_no_body;
        let framing = if is_empty {
            Framing::Empty
        } else {
            framing_of(&response)
        };
        (response.body, response.is_truncated) = self.body(framing);
        response
    }

    /// Reads the head of the next response, which may be an interim one.
    pub(crate) fn head(&mut self) -> Response {
        let status_line = self
            .line()
            .expect("a status line before the end of the connection");
        let mut words = status_line.splitn(3, ' ');
        let version = words.next().unwrap_or_default().to_owned();
        let Some(status) = words.next().and_then(|word| word.parse().ok()) else {
            panic!("not a status line: {status_line:?}")
        };
        let mut headers = Vec::new();
        while let Some(line) = self.line().filter(|line| !line.is_empty()) {
            let (name, value) = line
                .split_once(':')
                .unwrap_or_else(|| panic!("not a header: {line:?}"));
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Response {
            status,
            version,
            headers,
            body: Vec::new(),
            is_truncated: false,
        }
    }

    /// Reads the status of the next response. Returns `None` if the connection ends without one.
    pub(crate) fn status_or_end(&mut self) -> Option<u16> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(_) => line.split(' ').nth(1)?.parse().ok(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("the server neither responds nor closes: {error}"),
        }
    }

    /// Reads the next event of a stream whose head was read. Returns `None` at its end.
    pub(crate) fn event(&mut self) -> Option<Event> {
        let mut blocks = Vec::new();
        while self.events.is_empty() {
            let chunk = self.try_chunk().expect("a body that is not truncated");
            if chunk.is_empty() {
                return None;
            }
            blocks.extend(chunk);
            if blocks.ends_with(b"\n\n") {
                let text = String::from_utf8(std::mem::take(&mut blocks)).expect("events in UTF-8");
                self.events.extend(Event::parse_all(&text));
            }
        }
        self.events.pop_front()
    }

    /// Reads until the server closes the connection, which it must do.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.reader.read_to_end(&mut bytes) {
            Ok(_) => bytes,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => bytes,
            Err(error) => panic!("the server did not close the connection: {error}"),
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.reader
            .read_until(b'\n', &mut line)
            .expect("a response in time");
        let text = line.strip_suffix(b"\r\n")?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Reads a body, and returns it with whether it is truncated.
    fn body(&mut self, framing: Framing) -> (Vec<u8>, bool) {
        match framing {
            Framing::Empty => (Vec::new(), false),
            Framing::UntilClosed => (self.read_to_end(), false),
            Framing::Length(length) => {
                let mut body = vec![0; length];
                let is_truncated = self.reader.read_exact(&mut body).is_err();
                (body, is_truncated)
            }
            Framing::Chunked => {
                let mut body = Vec::new();
                loop {
                    match self.try_chunk() {
                        Some(chunk) if chunk.is_empty() => return (body, false),
                        Some(chunk) => body.extend(chunk),
                        None => return (body, true),
                    }
                }
            }
        }
    }

    /// Reads the next chunk; the last one is empty. Returns `None` if the body is truncated.
    pub(crate) fn try_chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).ok()?;
        let text = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
        let size = usize::from_str_radix(text.split(';').next()?, 16).ok()?;
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk).ok()?;
        chunk.truncate(size);
        Some(chunk)
    }
}

fn framing_of(response: &Response) -> Framing {
    if response.header("transfer-encoding").is_some() {
        return Framing::Chunked;
    }
    match response.header("content-length") {
        Some(length) => Framing::Length(length.parse().expect("a length")),
        None => Framing::UntilClosed,
    }
}
