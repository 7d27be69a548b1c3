//! How long a client waits, and how much it takes on.

use std::time::Duration;

/// How long a [`Client`](crate::Client) waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Timeouts {
    /// For a connection: name resolution, TCP and TLS together; 10 s by default.
    pub connect: Duration,
    /// From the call until the head of the response, connecting and sending included; 180 s by
    /// default.
    pub response: Duration,
    /// For the next piece of a response body, while somebody waits for it; 300 s by default.
    pub idle: Duration,
}

/// How much a [`Client`](crate::Client) takes on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Bounds {
    /// The largest answer that is collected, and the most text that is collected of a stream, in
    /// bytes; 16 MiB by default.
    pub max_collected_bytes: usize,
    /// How many calls to one origin may be under way; 5000 by default. Besides those in use, up to
    /// 64 connections to an origin are kept for later calls.
    pub max_calls_per_origin: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_collected_bytes: 16 << 20,
            max_calls_per_origin: 5_000,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            response: Duration::from_secs(180),
            idle: Duration::from_secs(300),
        }
    }
}

impl Timeouts {
    /// Sets the time for a connection.
    #[must_use]
    pub fn with_connect(mut self, connect: Duration) -> Self {
        self.connect = connect;
        self
    }

    /// Sets the time until the head of the response.
    #[must_use]
    pub fn with_response(mut self, response: Duration) -> Self {
        self.response = response;
        self
    }

    /// Sets the longest pause in a response body.
    #[must_use]
    pub fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }
}
