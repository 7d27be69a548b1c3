//! A client that writes every byte itself, so that it can also be slow, rude or broken.

use std::{
    collections::VecDeque,
    fmt,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
};

use serde_json::Value;

use super::PATIENCE;

/// A request before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A call of `process` with this JSON.
    pub(crate) fn process(body: &Value) -> Self {
        Self::new("POST", "/api/v1/process").json(body)
    }

    /// A minting call with this JSON.
    pub(crate) fn mint(body: &Value) -> Self {
        Self::new("POST", "/api/v1/oauth/token").json(body)
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets a header that must be there only once.
    pub(crate) fn set(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .retain(|(present, _)| !present.eq_ignore_ascii_case(name));
        self.header(name, value)
    }

    pub(crate) fn bearer(self, value: &str) -> Self {
        self.set("Authorization", format!("Bearer {value}"))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
            .set("Content-Type", "application/json")
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same request for another path.
    pub(crate) fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(present, _)| present.eq_ignore_ascii_case(name))
    }

    /// The head and the body as they go over the wire. `Host` is `localhost` unless named.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        let mut line = |name: &str, value: &[u8]| {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        };
        if !self.has("Host") {
            line("Host", b"localhost");
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        let is_framed = self.has("Content-Length") || self.has("Transfer-Encoding");
        if !is_framed && (!self.body.is_empty() || self.method == "POST") {
            line("Content-Length", self.body.len().to_string().as_bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}

/// A whole answer.
#[derive(Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) version: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended before its announced end.
    pub(crate) is_cut: bool,
}

impl Answer {
    /// The value of a header that is there at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(present, _)| present.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The message of an error.
    pub(crate) fn message(&self) -> String {
        let message = self.json()["error"]["message"].clone();
        message
            .as_str()
            .unwrap_or_else(|| panic!("no error message: {self:?}"))
            .to_owned()
    }

    /// The text of the first output of a final answer.
    pub(crate) fn content(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        content_of(&self.json())
    }

    /// The events of a stream that ended properly.
    pub(crate) fn events(&self) -> Vec<Event> {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(!self.is_cut, "the stream was cut: {self:?}");
        let content_type = self.header("content-type").unwrap_or_default();
        assert!(
            content_type.starts_with("text/event-stream"),
            "not a stream: {self:?}"
        );
        assert!(
            self.body.ends_with(b"\n\n"),
            "the last event is not closed: {self:?}"
        );
        let blocks = self.text().split("\n\n").filter(|block| !block.is_empty());
        blocks.filter_map(Event::parse).collect()
    }

    /// The events of a stream that ends well: the progress and the final answer.
    pub(crate) fn stream(&self) -> (Vec<Value>, Value) {
        let mut events = self.events();
        let last = events
            .pop()
            .unwrap_or_else(|| panic!("no events: {self:?}"));
        assert_eq!(last.name, "final", "the last event of {self:?}");
        let progress = events.into_iter().map(|event| {
            assert_eq!(event.name, "progress", "{self:?}");
            event.data
        });
        (progress.collect(), last.data)
    }

    /// The error at the end of a stream that had begun, and the progress before it.
    pub(crate) fn stream_error(&self) -> (Vec<Value>, Value) {
        let mut events = self.events();
        let last = events
            .pop()
            .unwrap_or_else(|| panic!("no events: {self:?}"));
        assert_eq!(last.name, "error", "the last event of {self:?}");
        let progress = events.into_iter().map(|event| {
            assert_eq!(event.name, "progress", "{self:?}");
            event.data
        });
        (progress.collect(), last.data["error"].clone())
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = if self.is_cut { " (cut)" } else { "" };
        writeln!(f, "{} {}", self.version, self.status)?;
        self.headers
            .iter()
            .try_for_each(|(name, value)| writeln!(f, "{name}: {value}"))?;
        write!(f, "{}{cut}", String::from_utf8_lossy(&self.body))
    }
}

/// The text of the first output.
pub(crate) fn content_of(answer: &Value) -> String {
    let content = answer["outputs"][0]["text"]["content"].as_str();
    content
        .unwrap_or_else(|| panic!("no content: {answer}"))
        .to_owned()
}

/// Checks an error as section 6 of the contract has it.
#[track_caller]
pub(crate) fn assert_error(row: &str, answer: &Answer, status: u16, message: &str) {
    assert_eq!(answer.status, status, "{row}: {answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/json"),
        "{row}: {answer:?}"
    );
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("*"),
        "{row}: {answer:?}"
    );
    let body = answer.json();
    assert_eq!(body["error"]["statusCode"], status, "{row}: {answer:?}");
    let reason = body["error"]["statusText"].as_str().unwrap_or_default();
    assert!(!reason.is_empty(), "{row}: no statusText: {answer:?}");
    let told = answer.message();
    assert!(
        !told.is_empty() && told.contains(message),
        "{row}: {told:?} does not contain {message:?}"
    );
    for unwanted in ["/root/", "/src/", ".rs:", "stack backtrace", "panicked"] {
        assert!(
            !told.contains(unwanted),
            "{row}: {told:?} contains {unwanted:?}"
        );
    }
}

/// A server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Event {
    /// Reads an event in the one form that all of the original's clients read; `None` for a
    /// comment.
    fn parse(block: &str) -> Option<Self> {
        let lines: Vec<&str> = block
            .lines()
            .filter(|line| !line.starts_with(':'))
            .collect();
        if lines.is_empty() {
            return None;
        }
        let [name, data] = lines[..] else {
            panic!("not an event line and a data line: {block:?}")
        };
        let name = name
            .strip_prefix("event: ")
            .unwrap_or_else(|| panic!("no event line: {block:?}"));
        let data = data
            .strip_prefix("data: ")
            .unwrap_or_else(|| panic!("no data line: {block:?}"));
        let data = serde_json::from_str(data)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {block:?}"));
        Some(Self {
            name: name.to_owned(),
            data,
        })
    }
}

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
    /// Events that came together with one that was asked for.
    events: VecDeque<Event>,
}

/// How the body of an answer is framed.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Nothing,
    Length(usize),
    Chunked,
    UntilClosed,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("a connection to the server"))
    }

    /// A connection from this address of the loopback network, which is another client than any
    /// other one.
    pub(crate) fn open_from(client: Ipv4Addr, server: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket
            .bind(SocketAddr::from((client, 0)))
            .expect("an address of the loopback network");
        Self::connect(socket, server)
    }

    /// A connection on which little is on its way: the system receives about this many bytes ahead
    /// of the reader.
    pub(crate) fn open_narrow(address: SocketAddr, bytes: u32) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(bytes).expect("a small buffer");
        Self::connect(socket, address)
    }

    fn connect(socket: tokio::net::TcpSocket, address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime");
        let stream = runtime
            .block_on(socket.connect(address))
            .expect("a connection to the server");
        let stream = stream.into_std().expect("a socket without runtime");
        stream.set_nonblocking(false).expect("a socket that waits");
        Self::over(stream)
    }

    fn over(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
        stream.set_nodelay(true).expect("no delay");
        Self {
            reader: BufReader::new(stream),
            events: VecDeque::new(),
        }
    }

    /// Writes bytes; a server that has answered and closed already is no failure.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _written = self.try_write(bytes);
    }

    /// Writes bytes; whether the server has taken them all.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.reader.get_mut().write_all(bytes).is_ok()
    }

    /// Reads this many bytes of a body whose head was read; panics if it is cut before.
    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.reader
            .read_exact(&mut bytes)
            .expect("a body that is not cut");
        bytes
    }

    /// Another handle of the socket, to write while somebody reads.
    pub(crate) fn writer(&self) -> TcpStream {
        self.reader
            .get_ref()
            .try_clone()
            .expect("the socket a second time")
    }

    /// Ends the writing half.
    pub(crate) fn finish_writing(&mut self) {
        let _ended = self.reader.get_ref().shutdown(Shutdown::Write);
    }

    pub(crate) fn send(&mut self, request: &Request) -> Answer {
        self.write(&request.to_bytes());
        self.answer_to(request.method())
    }

    /// The whole answer to a request with this method.
    pub(crate) fn answer_to(&mut self, method: &str) -> Answer {
        let mut answer = self.head();
        let is_empty = method == "HEAD" || answer.status == 204 || answer.status < 200;
        let framing = if is_empty {
            Framing::Nothing
        } else {
            framing(&answer)
        };
        (answer.body, answer.is_cut) = self.body(framing);
        answer
    }

    /// The head of the next answer, interim ones included.
    pub(crate) fn head(&mut self) -> Answer {
        let line = self
            .line()
            .expect("a status line before the end of the connection");
        let mut words = line.splitn(3, ' ');
        let version = words.next().unwrap_or_default().to_owned();
        let status = words.next().and_then(|word| word.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {line:?}"));
        let mut headers = Vec::new();
        while let Some(line) = self.line().filter(|line| !line.is_empty()) {
            let (name, value) = line
                .split_once(':')
                .unwrap_or_else(|| panic!("not a header: {line:?}"));
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Answer {
            status,
            version,
            headers,
            body: Vec::new(),
            is_cut: false,
        }
    }

    /// The status of an answer to whatever was sent; `None` if the connection ends without one.
    pub(crate) fn status_or_end(&mut self) -> Option<u16> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(_) => line.split(' ').nth(1)?.parse().ok(),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("the server neither answers nor closes: {error}"),
        }
    }

    /// The next event of a stream whose head was read; `None` at its end.
    pub(crate) fn event(&mut self) -> Option<Event> {
        let mut blocks = Vec::new();
        while self.events.is_empty() {
            blocks.extend(self.chunk()?);
            if blocks.ends_with(b"\n\n") {
                let text = String::from_utf8(std::mem::take(&mut blocks)).expect("events in UTF-8");
                let blocks = text.split("\n\n").filter(|block| !block.is_empty());
                self.events.extend(blocks.filter_map(Event::parse));
            }
        }
        self.events.pop_front()
    }

    /// What comes until the other side closes, which it must do.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.reader.read_to_end(&mut bytes) {
            Ok(_) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => bytes,
            Err(error) => panic!("the server did not close the connection: {error}"),
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.reader
            .read_until(b'\n', &mut line)
            .expect("an answer in time");
        let line = line.strip_suffix(b"\r\n")?;
        Some(String::from_utf8_lossy(line).into_owned())
    }

    fn body(&mut self, framing: Framing) -> (Vec<u8>, bool) {
        match framing {
            Framing::Nothing => (Vec::new(), false),
            Framing::UntilClosed => (self.rest(), false),
            Framing::Length(length) => {
                let mut body = vec![0; length];
                let is_cut = self.reader.read_exact(&mut body).is_err();
                (body, is_cut)
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

    /// The next chunk of a chunked body; `None` at its proper end.
    fn chunk(&mut self) -> Option<Vec<u8>> {
        let chunk = self.try_chunk().expect("a body that is not cut");
        Some(chunk).filter(|chunk| !chunk.is_empty())
    }

    /// The next chunk, the last one being empty; `None` if the body is cut.
    pub(crate) fn try_chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).ok()?;
        let size = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?, 16).ok()?;
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk).ok()?;
        chunk.truncate(size);
        Some(chunk)
    }
}

fn framing(answer: &Answer) -> Framing {
    if answer.header("transfer-encoding").is_some() {
        return Framing::Chunked;
    }
    let length = answer
        .header("content-length")
        .map(|length| length.parse().expect("a length"));
    length.map_or(Framing::UntilClosed, Framing::Length)
}
