//! Real time for the few tests that are about it.

use serde_json::json;

use super::{Connection, Request, Server, call, streamed};

/// Ticks at a fixed interval, driven by the paced stream of its own server.
#[derive(Debug)]
pub(crate) struct Ticker {
    stream: Connection,
    _server: Server,
}

impl Ticker {
    /// Starts a ticker with this interval in milliseconds, which ends after a hundred ticks.
    pub(crate) fn start(millis: u32) -> Self {
        let server = Server::start(&[]);
        let paced = json!({"serviceId": "chat:dummy", "delayMillis": millis});
        let mut stream = server.connect();
        stream.write(&Request::process(&streamed(call(paced, &"tick ".repeat(100)))).to_bytes());
        assert_eq!(stream.head().status, 200);
        Self {
            stream,
            _server: server,
        }
    }

    /// Waits for the next tick.
    pub(crate) fn tick(&mut self) {
        self.stream.event().expect("another tick");
    }
}
