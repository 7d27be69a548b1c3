//! A provider that follows a script and records the requests it receives.

mod upload;
mod wire;

use std::{
    collections::HashMap,
    fmt,
    io::{BufRead as _, BufReader, Read as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;

pub(crate) use self::{upload::UploadProvider, wire::Wire};
use super::{PATIENCE, only_value};

/// A request as the provider received it.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl ReceivedRequest {
    /// Returns the value of a header field, which must occur at most once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        only_value(&self.headers, name)
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON for the provider")
    }
}

type Script = dyn Fn(&ReceivedRequest, &mut Wire) + Send + Sync;

/// A provider on its own port, which serves until the test process ends.
pub(crate) struct Provider {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    connections: AtomicUsize,
    open: Mutex<HashMap<usize, TcpStream>>,
    requests: Mutex<Vec<ReceivedRequest>>,
    /// Whether requests are left out of `requests`.
    is_unrecorded: bool,
    panics: AtomicUsize,
}

impl State {
    fn open(&self) -> MutexGuard<'_, HashMap<usize, TcpStream>> {
        self.open.lock().expect("no panic in the provider")
    }

    fn requests(&self) -> MutexGuard<'_, Vec<ReceivedRequest>> {
        self.requests.lock().expect("no panic in the provider")
    }
}

impl Provider {
    /// Starts a provider that runs the script for every request. A connection stays open when the
    /// script returns, unless the script ended it.
    pub(crate) fn start(
        script: impl Fn(&ReceivedRequest, &mut Wire) + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(State::default(), script)
    }

    /// Starts a provider that does not record its requests, for tests that send very many.
    pub(crate) fn without_recording(
        script: impl Fn(&ReceivedRequest, &mut Wire) + Send + Sync + 'static,
    ) -> Self {
        let state = State {
            is_unrecorded: true,
            ..State::default()
        };
        Self::start_with(state, script)
    }

    fn start_with(
        state: State,
        script: impl Fn(&ReceivedRequest, &mut Wire) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let provider = Self {
            address,
            state: Arc::new(state),
        };
        let script: Arc<Script> = Arc::new(script);
        let shared_state = Arc::clone(&provider.state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let id = shared_state.connections.fetch_add(1, Ordering::SeqCst);
                let handle = stream.try_clone().expect("a second handle of the socket");
                shared_state.open().insert(id, handle);
                let (script, state) = (Arc::clone(&script), Arc::clone(&shared_state));
                std::thread::spawn(move || serve(stream, &*script, (&state, id)));
            }
        });
        provider
    }

    /// Starts a provider that sends the same JSON response to every request.
    pub(crate) fn with_response(status: u16, body: Value) -> Self {
        Self::start(move |_, wire| wire.json(status, &body))
    }

    /// Starts a provider that must not be called, and records what it is sent nevertheless.
    pub(crate) fn trap() -> Self {
        Self::start(|_, wire| wire.json(200, &serde_json::json!({"trapped": true})))
    }

    /// Returns the address on which it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the port on which it listens.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many connections were accepted, with or without a request.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Returns how many scripts have panicked.
    pub(crate) fn panics(&self) -> usize {
        self.state.panics.load(Ordering::SeqCst)
    }

    /// Returns how many connections are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.state.open().len()
    }

    /// Closes all connections, including idle ones.
    pub(crate) fn close_all(&self) {
        for stream in self.state.open().values() {
            let _closed = stream.shutdown(Shutdown::Both);
        }
    }

    /// Returns all requests so far.
    pub(crate) fn requests(&self) -> Vec<ReceivedRequest> {
        self.state.requests().clone()
    }

    /// Returns the only request that was made.
    pub(crate) fn only_request(&self) -> ReceivedRequest {
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

/// Serves a connection until it ends.
fn serve(stream: TcpStream, script: &Script, (state, id): (&State, usize)) {
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a read timeout");
    stream.set_nodelay(true).expect("no delay");
    let _open = OpenConnection { state, id };
    let mut wire = Wire::new(stream.try_clone().expect("a second handle of the socket"));
    let mut reader = BufReader::new(stream);
    while !wire.has_ended()
        && let Some(request) = receive(&mut reader)
    {
        if !state.is_unrecorded {
            state.requests().push(request.clone());
        }
        script(&request, &mut wire);
    }
}

/// Counts a connection as open until it is dropped, which a script that panics does as well.
struct OpenConnection<'a> {
    state: &'a State,
    id: usize,
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.state.panics.fetch_add(1, Ordering::SeqCst);
        }
        if let Ok(mut open) = self.state.open.lock() {
            open.remove(&self.id);
        }
    }
}

fn receive(reader: &mut BufReader<TcpStream>) -> Option<ReceivedRequest> {
    let mut request = receive_head(reader)?;
    let length = match request.header("Content-Length") {
        Some(value) => value.parse().unwrap_or(0),
        None => 0,
    };
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// Receives a request without its body.
fn receive_head(reader: &mut BufReader<TcpStream>) -> Option<ReceivedRequest> {
    let request_line = read_line(reader)?;
    let mut words = request_line.split(' ');
    let method = words.next()?.to_owned();
    let target = words.next()?.to_owned();
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Some(ReceivedRequest {
        method,
        target,
        headers,
        body: Vec::new(),
    })
}

fn read_line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok()?;
    String::from_utf8(line.strip_suffix(b"\r\n")?.to_owned()).ok()
}

/// A server-sent event without a name.
pub(crate) fn sse(data: &Value) -> String {
    format!("data: {data}\n\n")
}
