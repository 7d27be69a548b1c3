//! A provider that does what its script says, and remembers what it was sent.

use std::{
    collections::HashMap,
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
use tokio::net::TcpSocket;

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
        let mut values = self
            .headers
            .iter()
            .filter(|(present, _)| present.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON for the provider")
    }
}

/// The connection on which a provider answers.
pub(crate) struct Wire {
    stream: TcpStream,
    /// The provider has ended the connection.
    is_over: bool,
}

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
        self.answer(
            status,
            &[("Content-Type", "application/json")],
            body.to_string(),
        );
    }

    /// The head of an answer.
    pub(crate) fn head(&mut self, status: u16, headers: &[(&str, &str)]) {
        let fields: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        self.write(format!("HTTP/1.1 {status} Whatever\r\n{fields}\r\n"));
    }

    /// The head of a stream in chunks.
    pub(crate) fn stream(&mut self) {
        self.head(
            200,
            &[
                ("Content-Type", "text/event-stream"),
                ("Transfer-Encoding", "chunked"),
            ],
        );
    }

    pub(crate) fn chunk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.write([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat());
    }

    /// Writes a chunk unless the other side takes nothing for half a second; whether it was
    /// written.
    pub(crate) fn chunk_in_time(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream
            .set_write_timeout(Some(Duration::from_millis(500)))
            .expect("a write timeout");
        let bytes = bytes.as_ref();
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.stream.write_all(&chunk).is_ok()
    }

    /// Writes this chunk again and again until the server closes the connection, which it must do.
    pub(crate) fn chunk_until_closed(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        while self.stream.write_all(&chunk).is_ok() {}
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
        let _closed = self.stream.shutdown(Shutdown::Both);
        self.is_over = true;
    }

    /// Breaks the connection off, which the other side sees as a reset.
    pub(crate) fn reset(&mut self) {
        let stream = self.stream.try_clone().expect("the same connection");
        let _set = TcpSocket::from_std_stream(stream).set_zero_linger();
        self.is_over = true;
    }

    /// Does nothing for this long, or until the server has closed the connection.
    pub(crate) fn pause(&mut self, time: Duration) {
        self.stream
            .set_read_timeout(Some(time))
            .expect("a read timeout");
        let _closed_or_not = self.stream.peek(&mut [0]);
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
    }

    /// Writes every byte by itself, with a pause after every sixteenth.
    pub(crate) fn trickle(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) {
        for bytes in bytes.as_ref().chunks(16) {
            bytes.iter().for_each(|byte| self.write([*byte]));
            self.pause(pause);
        }
    }

    /// Writes these bytes again and again until the server closes the connection, which it must do:
    /// nothing is read for longer than a test's patience, and no more is written than this many
    /// bytes.
    pub(crate) fn flood(&mut self, bytes: impl AsRef<[u8]>, limit: usize) {
        let bytes = bytes.as_ref();
        self.stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a write timeout");
        let is_taken = |_: &usize| self.stream.write_all(bytes).is_ok();
        let written = (0..limit / bytes.len()).take_while(is_taken).count();
        assert!(
            written < limit / bytes.len(),
            "the server takes more than {limit} bytes"
        );
        self.is_over = true;
    }

    /// Writes bytes; a server that has gone is no failure.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _written = self.stream.write_all(bytes.as_ref());
    }

    /// Waits until the server closes the connection, however long that takes.
    pub(crate) fn hold(&mut self) {
        self.stream.set_read_timeout(None).expect("no read timeout");
        self.wait_until_closed();
        self.is_over = true;
    }

    /// Waits until the server closes the connection; whether it did.
    pub(crate) fn wait_until_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
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
    /// Requests are not remembered.
    is_forgetful: bool,
    panics: AtomicUsize,
    open: Mutex<HashMap<usize, TcpStream>>,
}

impl Provider {
    /// A provider that answers every request as the script says; a script that returns keeps the
    /// connection.
    pub(crate) fn start(script: impl Fn(&Received, &mut Wire) + Send + Sync + 'static) -> Self {
        Self::start_with(Seen::default(), script)
    }

    /// A provider for more requests than are worth to be remembered.
    pub(crate) fn forgetful(script: impl Fn(&Received, &mut Wire) + Send + Sync + 'static) -> Self {
        Self::start_with(
            Seen {
                is_forgetful: true,
                ..Seen::default()
            },
            script,
        )
    }

    fn start_with(
        seen: Seen,
        script: impl Fn(&Received, &mut Wire) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let seen = Arc::new(seen);
        let (script, provider): (Arc<Script>, _) = (
            Arc::new(script),
            Self {
                address,
                seen: Arc::clone(&seen),
            },
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let id = seen.connections.fetch_add(1, Ordering::SeqCst);
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                let again = stream.try_clone().expect("the same connection");
                seen.open
                    .lock()
                    .expect("no panic in the provider")
                    .insert(id, again);
                std::thread::spawn(move || serve(stream, &*script, (&seen, id)));
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

    /// How many scripts have panicked.
    pub(crate) fn panics(&self) -> usize {
        self.seen.panics.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.seen
            .open
            .lock()
            .expect("no panic in the provider")
            .len()
    }

    /// Closes all connections, those that wait for another request too.
    pub(crate) fn close_all(&self) {
        for stream in self
            .seen
            .open
            .lock()
            .expect("no panic in the provider")
            .values()
        {
            let _closed = stream.shutdown(Shutdown::Both);
        }
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.seen
            .requests
            .lock()
            .expect("no panic in the provider")
            .clone()
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
        f.debug_struct("Provider")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Serves a connection to its end.
fn serve(stream: TcpStream, script: &Script, (seen, id): (&Seen, usize)) {
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a read timeout");
    stream.set_nodelay(true).expect("no delay");
    let open = Open { seen, id };
    let mut wire = Wire {
        stream: stream.try_clone().expect("the same connection"),
        is_over: false,
    };
    let mut reader = BufReader::new(stream);
    while !wire.is_over
        && let Some(received) = receive(&mut reader)
    {
        if !seen.is_forgetful {
            seen.requests
                .lock()
                .expect("no panic in the provider")
                .push(received.clone());
        }
        script(&received, &mut wire);
    }
    drop(open);
}

/// A connection that is open until this is dropped, also by a script that panics.
struct Open<'a> {
    seen: &'a Seen,
    id: usize,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.seen.panics.fetch_add(1, Ordering::SeqCst);
        }
        if let Ok(mut open) = self.seen.open.lock() {
            open.remove(&self.id);
        }
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
    let length = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![
        0;
        length
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(0)
    ];
    reader.read_exact(&mut body).ok()?;
    Some(Received {
        method,
        target,
        headers,
        body,
    })
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
