//! The client: sends requests to URLs where its policy allows.

mod prepared_url;
#[cfg(test)]
mod tls_tests;
mod upgrade;

pub use self::{
    prepared_url::PreparedUrl,
    upgrade::{Upgrade, UpgradedStream},
};

use std::{fmt, sync::Arc};

use http::{HeaderValue, Response, Uri};
use tokio::time::Instant;
#[cfg(feature = "in-memory")]
use tokio::{io::DuplexStream, sync::mpsc::UnboundedSender};

#[cfg(any(test, feature = "test-util"))]
use crate::error::TlsUnavailable;
use crate::{
    body::Body,
    connect::Connector,
    error::SendError,
    limits::{Bounds, Timeouts},
    outgoing::Outgoing,
    policy::{Policy, UrlSource},
    pool::Pool,
    resolve::{Resolve, SystemResolver},
};

/// An HTTP client that connects only where its [`Policy`] allows. Clones share one pool of
/// connections.
///
/// If an idle connection fails before any byte of a request was written, the client sends the
/// request again on another connection. Once a byte may have been written it does not, since the
/// server may have acted on it; except for `GET` and other safe methods, of which no byte of a
/// response has come.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

#[derive(Clone)]
struct Shared {
    connector: Connector,
    timeouts: Timeouts,
    bounds: Bounds,
    pool: Pool,
}

impl Client {
    /// Creates a client with its own pool, which resolves names as the system does.
    #[must_use]
    pub fn new(policy: Policy, timeouts: Timeouts) -> Self {
        Self::with_resolver(policy, timeouts, Arc::new(SystemResolver))
    }

    /// Creates a client that resolves names with `resolver`. The policy judges the addresses that
    /// it returns all the same.
    #[must_use]
    pub fn with_resolver(policy: Policy, timeouts: Timeouts, resolver: Arc<dyn Resolve>) -> Self {
        let connector = Connector::new(policy, resolver, timeouts.connect);
        Self(Arc::new(Shared {
            connector,
            timeouts,
            bounds: Bounds::default(),
            pool: Pool::new(timeouts),
        }))
    }

    /// Sets how much the client takes on.
    #[must_use]
    pub fn with_bounds(mut self, bounds: Bounds) -> Self {
        Arc::make_mut(&mut self.0).bounds = bounds;
        self
    }

    /// Connects by `http` to servers in this process, for tests and benchmarks: instead of
    /// dialling, the client sends the other end of each connection to `servers`.
    ///
    /// The policy applies as usual, and `https` is dialled as usual.
    #[cfg(feature = "in-memory")]
    #[must_use]
    pub fn with_in_memory_servers(mut self, servers: UnboundedSender<DuplexStream>) -> Self {
        Arc::make_mut(&mut self.0).connector.stay_in_memory(servers);
        self
    }

    /// Loads the system's certificates now (about 40 ms on another thread) instead of at the first
    /// `https` call.
    ///
    /// # Errors
    /// [`TlsUnavailable`] when the system's TLS library cannot be used; then every `https` call
    /// fails.
    #[cfg(any(test, feature = "test-util"))]
    pub async fn load_certificates(&self) -> Result<(), TlsUnavailable> {
        self.0.connector.load_tls().await
    }

    /// Returns the same client with a pool of its own.
    #[cfg(any(test, feature = "test-util"))]
    #[must_use]
    pub fn with_own_pool(&self) -> Self {
        let mut shared = Shared::clone(&self.0);
        shared.pool = Pool::new(shared.timeouts);
        Self(Arc::new(shared))
    }

    /// Returns the policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.0.connector.policy()
    }

    /// Returns how long the client waits.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.0.timeouts
    }

    /// Returns when a request that is sent now times out, unless the head of its response has come.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.0.timeouts.response
    }

    /// Sends a request and waits for the head of the response, whatever its status is.
    ///
    /// The URL alone decides where the request goes: no header changes it. [`parse_url`] reads one
    /// as browsers do; a [`Uri`] from elsewhere is used as it is. The request asks for a body
    /// without content coding.
    ///
    /// `source` says who chose the URL, and so whether the policy's exceptions apply. A connection
    /// that was made under them carries no request whose URL is from an untrusted source.
    ///
    /// # Errors
    /// Nothing was sent after [`SendError::Forbidden`], [`SendError::Unreachable`] and
    /// [`SendError::Busy`]. After the other variants of [`SendError`] the server may have received
    /// the request.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection, or ends the attempt to connect. The server may
    /// have received the request.
    ///
    /// [`parse_url`]: crate::parse_url
    pub async fn send(
        &self,
        url: &Uri,
        source: UrlSource,
        outgoing: Outgoing,
    ) -> Result<Response<Body>, SendError> {
        self.prepare(url, source)?.send(outgoing).await
    }

    /// Sends a request that asks the server to switch to `protocol`, such as `websocket`, and waits
    /// for the head of the response.
    ///
    /// The request goes where [`Client::send`] would send it, under the same policy. The client adds
    /// `Connection` and `Upgrade`; what else the protocol needs must be in the headers. It does not
    /// check what the server made of those.
    ///
    /// # Errors
    /// As [`Client::send`].
    ///
    /// # Cancel safety
    /// As [`Client::send`].
    pub async fn upgrade(
        &self,
        url: &Uri,
        source: UrlSource,
        protocol: HeaderValue,
        outgoing: Outgoing,
    ) -> Result<Upgrade, SendError> {
        self.prepare(url, source)?.upgrade(protocol, outgoing).await
    }

    /// Prepares a URL for many requests, which then take less time than with [`Client::send`].
    ///
    /// Nothing is resolved, dialled or judged yet: that happens for each connection.
    ///
    /// # Errors
    /// [`SendError::Forbidden`] for a URL that no request can be sent to.
    pub fn prepare(&self, url: &Uri, source: UrlSource) -> Result<PreparedUrl, SendError> {
        PreparedUrl::new(self.clone(), url, source)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("policy", self.policy())
            .field("timeouts", &self.0.timeouts)
            .field("bounds", &self.0.bounds)
            .finish_non_exhaustive()
    }
}
