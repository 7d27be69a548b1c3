//! Connections that are refused since there are as many as there may be.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::linger::LingeringIo;

/// The most connections that linger after their refusal. Further ones are closed at once.
const MAX_LINGERING: usize = 256;
/// How long a refusal waits for the beginning of the request, since some clients take a response
/// that comes before it for a fault.
const REQUEST_WAIT: Duration = Duration::from_millis(250);
/// The longest time that a refused connection stays open.
const REFUSAL_TIME: Duration = Duration::from_secs(5);

/// Refused connections, which are closed when this is dropped.
pub(super) struct Refusals {
    lingering: JoinSet<()>,
    permits: Arc<Semaphore>,
    last_warning: Option<Instant>,
    /// How many connections were refused since the last warning.
    refused: u64,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self {
            lingering: JoinSet::new(),
            permits: Arc::new(Semaphore::new(MAX_LINGERING)),
            last_warning: None,
            refused: 0,
        }
    }

    /// Closes a connection without a response, which its client could not read before the TLS
    /// handshake. Warns at most once a second.
    pub(super) fn close(&mut self, stream: TcpStream) {
        drop(stream);
        self.warn();
    }

    /// Refuses a connection with 503, without waiting for its client. Warns at most once a second.
    pub(super) fn refuse(&mut self, stream: TcpStream) {
        while self.lingering.try_join_next().is_some() {}
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => {
                self.lingering.spawn(async move {
                    let _in_time = timeout(REFUSAL_TIME, respond(stream)).await;
                    drop(permit);
                });
            }
            Err(_too_many) => {
                // A fresh socket accepts this much at once; a client that is gone does not matter.
                let _sent = stream.try_write(response().as_bytes());
            }
        }
        self.warn();
    }

    fn warn(&mut self) {
        self.refused = self.refused.saturating_add(1);
        let now = Instant::now();
        if self
            .last_warning
            .is_none_or(|last| now.duration_since(last) >= Duration::from_secs(1))
        {
            tracing::warn!(refused = self.refused, "too many connections");
            self.last_warning = Some(now);
            self.refused = 0;
        }
    }
}

async fn respond(stream: TcpStream) {
    let _begun = timeout(REQUEST_WAIT, stream.readable()).await;
    let mut io = LingeringIo::new(stream);
    if io.write_all(response().as_bytes()).await.is_ok() {
        let _closed = io.shutdown().await;
    }
}

fn response() -> String {
    let body = concat!(
        r#"{"error":{"message":"too many connections; try again","#,
        r#""statusCode":503,"statusText":"Service Unavailable"}}"#
    );
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
         retry-after: 1\r\naccess-control-allow-origin: *\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}
