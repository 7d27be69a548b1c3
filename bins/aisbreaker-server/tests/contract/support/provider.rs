//! A provider that does what its script says, and remembers what it was sent.

use std::{
    fmt,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;

use super::PATIENCE;

/// A request as the provider received it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The value of a header that is there at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(present, _)| present.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON for the provider")
    }
}

/// The connection on which a provider answers.
pub(crate) struct Wire(TcpStream);

impl Wire {
    /// A whole answer.
    pub(crate) fn answer(&mut self, status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let length = body.len().to_string();
        self.head(status, &[headers, &[("Content-Length", &length)]].concat());
        self.write(body);
    }

    /// A whole answer in JSON.
    pub(crate) fn json(&mut self, status: u16, body: &Value) {
        self.answer(status, &[("Content-Type", "application/json")], body.to_string());
    }

    /// The head of an answer.
    pub(crate) fn head(&mut self, status: u16, headers: &[(&str, &str)]) {
        let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.write(format!("HTTP/1.1 {status} Whatever\r\n{fields}\r\n"));
    }

    /// The head of a stream in chunks.
    pub(crate) fn stream(&mut self) {
        self.head(200, &[("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]);
    }

    pub(crate) fn chunk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.write([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat());
    }

    /// Writes a chunk unless the other side takes nothing for half a second; whether it was written.
    pub(crate) fn chunk_in_time(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.set_write_timeout(Some(Duration::from_millis(500))).expect("a write timeout");
        let bytes = bytes.as_ref();
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.0.write_all(&chunk).is_ok()
    }

    /// Writes this chunk again and again until the server closes the connection, which it must do.
    pub(crate) fn chunk_until_closed(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        while self.0.write_all(&chunk).is_ok() {}
    }

    /// The end of a stream in chunks.
    pub(crate) fn end(&mut self) {
        self.write("0\r\n\r\n");
    }

    /// A stream from its head to its end.
    pub(crate) fn whole_stream(&mut self, events: impl AsRef<[u8]>) {
        self.stream();
        self.chunk(events);
        self.end();
    }

    /// Ends the connection in the middle of whatever was going on.
    pub(crate) fn cut(&mut self) {
        let _closed = self.0.shutdown(Shutdown::Both);
    }

    /// Writes bytes; a server that has gone is no failure.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _written = self.0.write_all(bytes.as_ref());
    }

    /// Waits until the server closes the connection; whether it did.
    pub(crate) fn wait_until_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.0.read(&mut byte) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

type Script = dyn Fn(&Received, &mut Wire) + Send + Sync;

/// A provider on a port of its own; it lives until the tests are over.
pub(crate) struct Provider {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<Received>>,
}

impl Provider {
    /// A provider that answers every request as the script says; a script that returns keeps the connection.
    pub(crate) fn start(script: impl Fn(&Received, &mut Wire) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let seen = Arc::new(Seen::default());
        let (script, provider): (Arc<Script>, _) =
            (Arc::new(script), Self { address, seen: Arc::clone(&seen) });
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                seen.connections.fetch_add(1, Ordering::SeqCst);
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, &*script, &seen));
            }
        });
        provider
    }

    /// A provider that answers every request alike, in JSON.
    pub(crate) fn with_answer(status: u16, body: Value) -> Self {
        Self::start(move |_, wire| wire.json(status, &body))
    }

    /// A provider that is never to be called; what is sent to it is seen all the same.
    pub(crate) fn trap() -> Self {
        Self::start(|_, wire| wire.json(200, &serde_json::json!({"trapped": true})))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were made, with or without a request.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.seen.requests.lock().expect("no panic in the provider").clone()
    }

    /// The one request that was made.
    pub(crate) fn sole_request(&self) -> Received {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "requests to the provider: {requests:?}");
        requests.remove(0)
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("address", &self.address).finish_non_exhaustive()
    }
}

fn serve(stream: TcpStream, script: &Script, seen: &Seen) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
    stream.set_nodelay(true).expect("no delay");
    let mut wire = Wire(stream.try_clone().expect("the other half of the connection"));
    let mut reader = BufReader::new(stream);
    while let Some(received) = receive(&mut reader) {
        seen.requests.lock().expect("no panic in the provider").push(received.clone());
        script(&received, &mut wire);
    }
}

fn receive(reader: &mut BufReader<TcpStream>) -> Option<Received> {
    let line = line(reader)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let line = self::line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Received { method, target, headers, body })
}

fn line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok()?;
    String::from_utf8(line.strip_suffix(b"\r\n")?.to_owned()).ok()
}

/// The text of a server-sent event without a name.
pub(crate) fn sse(data: &Value) -> String {
    format!("data: {data}\n\n")
}
