//! A provider that follows its scripts and records its requests.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
};

/// One step of the answer to a request.
pub(crate) enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes again and again until the other side closes the connection.
    Flood(Vec<u8>),
    /// Closes the connection.
    Close,
    /// Closes the connection with a reset.
    Reset,
    /// Waits until the other side closes the connection.
    Hold,
}

/// A request as the provider received it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) head: String,
    /// The body as JSON; null if it is none.
    pub(crate) body: Value,
    /// The bytes of the body.
    pub(crate) bytes: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

pub(crate) struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    scripts: Mutex<VecDeque<Vec<Act>>>,
    received: Mutex<Vec<Received>>,
    connections: Mutex<usize>,
    /// A permit for every connection that the other side closed while it was held or flooded.
    closed: Semaphore,
}

impl Provider {
    /// Starts a provider that answers each request, on any connection, by the next script.
    pub(crate) async fn start(scripts: impl IntoIterator<Item = Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            scripts: Mutex::new(scripts.into_iter().collect()),
            received: Mutex::default(),
            connections: Mutex::default(),
            closed: Semaphore::new(0),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds the script for one more request.
    pub(crate) fn then(&self, script: Vec<Act>) {
        self.shared.scripts.lock().unwrap().push_back(script);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Returns the only request.
    pub(crate) fn request(&self) -> Received {
        let received = self.received();
        assert_eq!(received.len(), 1, "requests");
        received[0].clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }

    /// Waits until the other side has closed a connection that was held or flooded.
    pub(crate) async fn was_closed(&self) {
        let closed = tokio::time::timeout(Duration::from_secs(10), self.shared.closed.acquire());
        closed
            .await
            .expect("the connection stays open")
            .unwrap()
            .forget();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns a URL at which nothing listens.
pub(crate) async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Returns a script that answers with a status, further header lines and a body.
pub(crate) fn plain(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<Act> {
    let body = body.as_ref();
    let mut answer = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    vec![Act::Send(answer)]
}

/// Returns a script that answers with JSON.
pub(crate) fn json(status: &str, body: &Value) -> Vec<Act> {
    plain(
        status,
        "content-type: application/json\r\n",
        body.to_string(),
    )
}

/// The head of a chunked stream of events.
pub(crate) const EVENTS_HEAD: &str = "HTTP/1.1 200 OK\r\n\
    content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

/// Returns one chunk of a chunked body.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// Returns a script that answers with a stream of events in these pieces, each a chunk of its own,
/// and ends it cleanly.
pub(crate) fn stream<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Act> {
    let mut acts = open_stream(pieces);
    acts.push(Act::Send(b"0\r\n\r\n".to_vec()));
    acts
}

/// As [`stream`], without the end.
pub(crate) fn open_stream<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Act> {
    let mut acts = vec![Act::Send(EVENTS_HEAD.into())];
    acts.extend(
        pieces
            .into_iter()
            .filter(|piece| !piece.is_empty())
            .map(|piece| Act::Send(chunk(piece))),
    );
    acts
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        *shared.connections.lock().unwrap() += 1;
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // Many scripts break the connection on purpose.
            let _broken_or_not = converse(socket, &shared).await;
        });
    }
}

async fn converse(mut socket: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some(request) = read_request(&mut socket, &mut buffer).await? else {
            return Ok(());
        };
        shared.received.lock().unwrap().push(request);
        let script = shared
            .scripts
            .lock()
            .unwrap()
            .pop_front()
            .expect("a request without a script");
        for act in script {
            match act {
                Act::Send(bytes) => socket.write_all(&bytes).await?,
                Act::Flood(bytes) => {
                    while socket.write_all(&bytes).await.is_ok() {}
                    shared.closed.add_permits(1);
                    return Ok(());
                }
                Act::Close => return socket.shutdown().await,
                Act::Reset => return socket.set_zero_linger(),
                Act::Hold => {
                    let mut rest = [0; 64];
                    while matches!(socket.read(&mut rest).await, Ok(1..)) {}
                    shared.closed.add_permits(1);
                    return Ok(());
                }
            }
        }
    }
}

async fn read_request(
    socket: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<Received>> {
    loop {
        if let Some(request) = take_request(buffer) {
            return Ok(Some(request));
        }
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn take_request(buffer: &mut Vec<u8>) -> Option<Received> {
    let head_end = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(buffer[..head_end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    let end = head_end + length.unwrap_or(0);
    if buffer.len() < end {
        return None;
    }
    let bytes = buffer[head_end..end].to_vec();
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    buffer.drain(..end);
    Some(Received { head, body, bytes })
}
