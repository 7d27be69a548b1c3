//! Limits of a client: how long it waits, how much it collects, and how many calls it makes at
//! once.

use std::time::Duration;

/// How long a [`Client`](crate::Client) waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Timeouts {
    /// The time to connect: name resolution, TCP and TLS together. 10 s by default.
    pub connect: Duration,
    /// The time from the call until the head of the response, connecting and sending included.
    /// 180 s by default. Of a [streamed](crate::Payload::streamed) body it is the time until it is
    /// first asked for, and from its end until the head of the response.
    pub response: Duration,
    /// The longest pause in a response body while the caller waits for more, and of a server that
    /// takes no more of a streamed body. 300 s by default.
    pub idle: Duration,
    /// How long an idle connection by `http` is kept for later calls. 4 s by default: common servers
    /// close theirs after 5 s, and a request that crosses with that is lost.
    pub pool_idle_http: Duration,
    /// How long an idle connection by `https` is kept for later calls. 50 s by default: such servers
    /// are usually behind load balancers, which close theirs after a minute or more, and a new
    /// connection costs a TLS handshake.
    pub pool_idle_https: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            response: Duration::from_secs(180),
            idle: Duration::from_secs(300),
            pool_idle_http: Duration::from_secs(4),
            pool_idle_https: Duration::from_secs(50),
        }
    }
}

impl Timeouts {
    /// Sets the time to connect.
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

    /// Sets how long an idle connection is kept for later calls, by `http` as by `https`.
    #[must_use]
    pub fn with_pool_idle(mut self, pool_idle: Duration) -> Self {
        self.pool_idle_http = pool_idle;
        self.pool_idle_https = pool_idle;
        self
    }
}

/// How much a [`Client`](crate::Client) takes on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Bounds {
    /// The largest response body that may be collected, in bytes. 16 MiB by default.
    ///
    /// [`Body::collect_bounded`](crate::Body::collect_bounded) enforces it. Callers that read a
    /// [`Body`](crate::Body) frame by frame find it in
    /// [`Body::max_collected_bytes`](crate::Body::max_collected_bytes).
    pub max_collected_bytes: usize,
    /// How many calls to one origin may be in progress; where exceptions of the policy make a
    /// difference, by each [`UrlSource`](crate::UrlSource). 5000 by default.
    ///
    /// The client keeps up to 64 more connections to an origin open for later calls.
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
