//! Real time for the few tests that are about it.

use serde_json::json;

use super::{Connection, Request, Server, call, streamed};

/// Beats as steadily as a server of its own streams with pauses.
#[derive(Debug)]
pub(crate) struct Metronome {
    stream: Connection,
    _server: Server,
}

impl Metronome {
    /// One beat in this many milliseconds, and a hundred of them.
    pub(crate) fn start(millis: u32) -> Self {
        let server = Server::start(&[]);
        let slow = json!({"serviceId": "chat:dummy", "delayMillis": millis});
        let mut stream = server.connect();
        stream.write(&Request::process(&streamed(call(slow, &"tick ".repeat(100)))).to_bytes());
        assert_eq!(stream.head().status, 200);
        Self {
            stream,
            _server: server,
        }
    }

    /// Waits for the next beat.
    pub(crate) fn wait(&mut self) {
        self.stream.event().expect("another beat");
    }
}
