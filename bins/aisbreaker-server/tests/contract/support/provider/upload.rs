//! A provider that takes uploads piece by piece, and notes what arrives of each.

use std::{
    io::{BufReader, Read as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
};

use super::{ReceivedRequest, Wire, read_line, receive_head};
use crate::support::{PATIENCE, content::is_content_at};

/// The most bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// What arrived of an upload.
#[derive(Debug)]
pub(crate) struct ReceivedUpload {
    /// The request without its content.
    pub(crate) request: ReceivedRequest,
    /// The length of the content that arrived.
    pub(crate) bytes: usize,
    /// Whether all of it was as the client had sent it.
    pub(crate) is_intact: bool,
    /// Whether its end arrived.
    pub(crate) is_complete: bool,
}

/// An upload that arrives.
pub(crate) struct IncomingUpload<'a> {
    reader: &'a mut BufReader<TcpStream>,
    left: Left,
    received: ReceivedUpload,
    /// Where to respond.
    pub(crate) wire: &'a mut Wire,
}

/// What is to come of the content.
enum Left {
    Length(usize),
    /// The rest of the current chunk.
    Chunk(usize),
    Nothing,
}

type Script = dyn Fn(&mut IncomingUpload<'_>) + Send + Sync;

/// A provider on its own port that runs a script for every upload.
pub(crate) struct UploadProvider {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    uploads: Mutex<Receiver<ReceivedUpload>>,
}

impl UploadProvider {
    /// Starts a provider that runs the script for every request. A connection stays open when the
    /// script returns, unless the script ended it or left some of the content.
    pub(crate) fn start(script: impl Fn(&mut IncomingUpload<'_>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let (report, uploads) = channel();
        let script: Arc<Script> = Arc::new(script);
        let connections = Arc::<AtomicUsize>::default();
        let accepted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                accepted.fetch_add(1, Ordering::SeqCst);
                let (script, report) = (Arc::clone(&script), report.clone());
                std::thread::spawn(move || serve(stream, &*script, &report));
            }
        });
        Self {
            address,
            connections,
            uploads: Mutex::new(uploads),
        }
    }

    /// Starts a provider that takes everything and answers with a file.
    pub(crate) fn taking_all() -> Self {
        Self::start(|upload| {
            upload.read_to_end();
            upload.respond(200);
        })
    }

    /// Returns the base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until the script is done with the next upload, and returns what arrived of it.
    pub(crate) fn next_upload(&self) -> ReceivedUpload {
        let uploads = self.uploads.lock().expect("no panic");
        uploads.recv_timeout(PATIENCE).expect("an upload")
    }

    /// Returns whether the scripts are done with all uploads that `next_upload` has not returned.
    pub(crate) fn has_no_upload(&self) -> bool {
        self.uploads.lock().expect("no panic").try_recv().is_err()
    }
}

impl IncomingUpload<'_> {
    /// The request without its content.
    pub(crate) fn request(&self) -> &ReceivedRequest {
        &self.received.request
    }

    /// Reads content until at least so many bytes have come, or its end.
    pub(crate) fn read(&mut self, bytes: usize) {
        let mut buffer = vec![0; READ_BYTES];
        let until = self.received.bytes.saturating_add(bytes);
        while self.received.bytes < until
            && let Some(room) = self.room()
        {
            let Ok(length @ 1..) = self.reader.read(&mut buffer[..room.min(READ_BYTES)]) else {
                self.left = Left::Nothing;
                return;
            };
            let received = &mut self.received;
            received.is_intact &= is_content_at(received.bytes, &buffer[..length]);
            received.bytes += length;
            self.note_read(length);
        }
    }

    /// Reads the rest of the content.
    pub(crate) fn read_to_end(&mut self) {
        self.read(usize::MAX);
    }

    /// Responds with this status and a JSON object.
    pub(crate) fn respond(&mut self, status: u16) {
        let body = serde_json::json!({"object": "file", "error": {"message": "too early"}});
        self.wire.json(status, &body);
    }

    /// Returns how much of the content can be read now; `None` at its end.
    fn room(&mut self) -> Option<usize> {
        match self.left {
            Left::Length(0) => {
                self.received.is_complete = true;
                None
            }
            Left::Length(left) | Left::Chunk(left @ 1..) => Some(left),
            Left::Chunk(0) => {
                let line = read_line(self.reader)?;
                let size = usize::from_str_radix(&line, 16).ok()?;
                if size > 0 {
                    self.left = Left::Chunk(size);
                    return Some(size);
                }
                self.received.is_complete = read_line(self.reader).is_some_and(|l| l.is_empty());
                self.left = Left::Nothing;
                None
            }
            Left::Nothing => None,
        }
    }

    fn note_read(&mut self, length: usize) {
        match &mut self.left {
            Left::Length(left) => *left -= length,
            Left::Chunk(left) => {
                *left -= length;
                if *left == 0 && read_line(self.reader).is_none() {
                    self.left = Left::Nothing;
                }
            }
            Left::Nothing => {}
        }
    }
}

fn serve(stream: TcpStream, script: &Script, report: &Sender<ReceivedUpload>) {
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a read timeout");
    stream.set_nodelay(true).expect("no delay");
    let mut wire = Wire::new(stream.try_clone().expect("a second handle of the socket"));
    let mut reader = BufReader::new(stream);
    while !wire.has_ended()
        && let Some(request) = receive_head(&mut reader)
    {
        let is_chunked = request.header("Transfer-Encoding") == Some("chunked");
        let length = request.header("Content-Length");
        let mut upload = IncomingUpload {
            reader: &mut reader,
            left: match length.map(str::parse) {
                Some(length) => Left::Length(length.expect("a length")),
                None if is_chunked => Left::Chunk(0),
                None => Left::Length(0),
            },
            received: ReceivedUpload {
                request,
                bytes: 0,
                is_intact: true,
                is_complete: false,
            },
            wire: &mut wire,
        };
        script(&mut upload);
        // Its end may have come.
        let _room = upload.room();
        let is_over = !upload.received.is_complete;
        let _received = report.send(upload.received);
        if is_over {
            return;
        }
    }
}
