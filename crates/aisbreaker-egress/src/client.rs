//! The client: sends a request on an idle connection or a new one.

#[cfg(test)]
mod tls_tests;
mod upgrade;

pub use self::upgrade::{Upgrade, UpgradedStream};

use std::{
    fmt,
    pin::{Pin, pin},
    sync::Arc,
};

use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
#[cfg(feature = "in-memory")]
use tokio::{io::DuplexStream, sync::mpsc::UnboundedSender};

#[cfg(any(test, feature = "test-util"))]
use crate::error::TlsUnavailable;
use crate::{
    body::Body,
    connect::Connector,
    connection::{Connection, PreparedRequest},
    error::{Refusal, SendError, Stage},
    headers,
    limits::{Bounds, Timeouts},
    observer::{ExchangeStart, Observed},
    origin::Origin,
    outgoing::Outgoing,
    payload::Payload,
    policy::{Policy, UrlSource},
    pool::{Lease, Pool, PoolKey},
    request_body::RequestBody,
    resolve::{Resolve, SystemResolver},
    streamed_body::StreamedBody,
};

const INVALID_URL: SendError = SendError::Forbidden(Refusal::InvalidUrl);

/// An HTTP client that connects only where its [`Policy`] allows. Clones share one pool of
/// connections.
///
/// If an idle connection fails before any byte of a request was written, the client sends the
/// request again on another connection. Once a byte may have been written it does not, since the
/// server may have acted on it; except for `GET` and other safe methods, of which no byte of a
/// response has come.
#[derive(Clone)]
pub struct Client {
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
        Self {
            connector,
            timeouts,
            bounds: Bounds::default(),
            pool: Pool::new(timeouts),
        }
    }

    /// Sets how much the client takes on.
    #[must_use]
    pub fn with_bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Connects by `http` to servers in this process, for tests and benchmarks: instead of
    /// dialling, the client sends the other end of each connection to `servers`.
    ///
    /// The policy applies as usual, and `https` is dialled as usual.
    #[cfg(feature = "in-memory")]
    #[must_use]
    pub fn with_in_memory_servers(mut self, servers: UnboundedSender<DuplexStream>) -> Self {
        self.connector.stay_in_memory(servers);
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
        self.connector.load_tls().await
    }

    /// Returns the same client with a pool of its own.
    #[cfg(any(test, feature = "test-util"))]
    #[must_use]
    pub fn with_own_pool(&self) -> Self {
        Self {
            pool: Pool::new(self.timeouts),
            ..self.clone()
        }
    }

    /// Returns the policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.connector.policy()
    }

    /// Returns how long the client waits.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// Returns when a request that is sent now times out, unless the head of its response has come.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.timeouts.response
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
        mut outgoing: Outgoing,
    ) -> Result<Response<Body>, SendError> {
        let origin = Origin::of(url).ok_or(INVALID_URL)?;
        let budget = outgoing.budget.clone();
        let deadline = self.deadline_of(&outgoing);
        let mut observed = observe(&origin, &mut outgoing);
        let streamed = outgoing.body.as_streamed().cloned();
        let request = prepare(url, &origin, outgoing).map_err(|error| observed.end_with(error))?;
        let source = self.policy().effective_source(source);
        let key = PoolKey { origin, source };
        let Some(lease) = self.pool.lease(&key, self.bounds.max_calls_per_origin) else {
            return Err(observed.end_with(SendError::Busy));
        };
        // Not in a future of its own: each that is nested holds the request once more.
        let exchange = pin!(self.exchange(request, lease));
        let (response, lease) = in_time(exchange, deadline, (streamed.as_deref(), self.timeouts))
            .await
            .and_then(usable)
            .map_err(|error| observed.end_with(error))?;
        observed.head(response.status());
        if let Some(streamed) = &streamed
            && !response.status().is_success()
        {
            streamed.stop();
        }
        let (idle, max_bytes) = (self.timeouts.idle, self.bounds.max_collected_bytes);
        Ok(response.map(|incoming| {
            Body::new(incoming, idle, lease, max_bytes, budget, observed).beside_request(streamed)
        }))
    }

    fn deadline_of(&self, outgoing: &Outgoing) -> Instant {
        let own = self.deadline();
        outgoing.deadline.map_or(own, |deadline| deadline.min(own))
    }

    /// Sends a request on an idle connection or a new one. Returns the response with the lease of
    /// the connection that its body arrives on.
    async fn exchange(
        &self,
        mut request: PreparedRequest,
        mut lease: Lease,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        loop {
            let idle = lease.take_reusable();
            let is_new = idle.is_none();
            let mut connection = match idle {
                Some(connection) => connection,
                None => self.connect(lease.key()).await?,
            };
            let spare = if is_new {
                None
            } else {
                copy_if_repeatable(&request)
            };
            match connection.exchange(request).await {
                Ok(response) => {
                    lease.connection = Some(connection);
                    return Ok((response, lease));
                }
                Err(mut broken) => match (broken.take_unsent(), spare) {
                    (Some(unsent), _) if !is_new => request = unsent,
                    (None, Some(copy)) if !connection.has_received() => request = copy,
                    _ => return Err(broken.into_error()),
                },
            }
        }
    }

    async fn connect(&self, key: &PoolKey) -> Result<Connection, SendError> {
        let uri = key.origin.uri().map_err(|_invalid| INVALID_URL)?;
        let stream = self.connector.connect(uri, key.source).await?;
        Connection::handshake(stream).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("policy", self.policy())
            .field("timeouts", &self.timeouts)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

/// Waits for the response until this deadline, or, where the body of the request is streamed, until
/// the server is too slow.
async fn in_time<T>(
    mut exchange: Pin<&mut impl Future<Output = Result<T, SendError>>>,
    deadline: Instant,
    (streamed, timeouts): (Option<&StreamedBody>, Timeouts),
) -> Result<T, SendError> {
    let first = streamed.and_then(|body| body.next_check(deadline, timeouts));
    let mut check = first.unwrap_or(deadline);
    loop {
        if let Ok(received) = timeout_at(check, exchange.as_mut()).await {
            return received;
        }
        match streamed.and_then(|body| body.next_check(deadline, timeouts)) {
            Some(later) => check = later,
            None => return Err(SendError::Timeout(Stage::Response)),
        }
    }
}

/// Tells the observer of a request, if there is one, that it is about to be sent.
fn observe(origin: &Origin, outgoing: &mut Outgoing) -> Observed {
    let observer = outgoing.observer.take();
    if let Some(observer) = &observer {
        let start = ExchangeStart {
            method: &outgoing.method,
            scheme: if origin.is_https() { "https" } else { "http" },
            host: outgoing
                .observed_host
                .as_deref()
                .unwrap_or_else(|| origin.host()),
            port: origin.port(),
        };
        observer.on_send(start, &mut outgoing.headers);
    }
    Observed::new(observer)
}

/// Returns a response whose content can be read.
fn usable(
    (response, lease): (Response<Incoming>, Lease),
) -> Result<(Response<Incoming>, Lease), SendError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(SendError::Cut);
    }
    if headers::has_foreign_transfer_coding(response.headers()) {
        return Err(SendError::TransferCoding);
    }
    Ok((response, lease))
}

/// Returns the request as it is written.
fn prepare(url: &Uri, origin: &Origin, outgoing: Outgoing) -> Result<PreparedRequest, SendError> {
    let target = target(url, outgoing.query.as_deref())?;
    let host = HeaderValue::from_str(origin.authority().as_str());
    if outgoing
        .body
        .as_streamed()
        .is_some_and(|body| body.is_begun())
    {
        return Err(SendError::Cut);
    }
    let lacks_content = outgoing.body.is_empty() && expects_content(&outgoing.method);
    let mut request = Request::new(RequestBody::from(outgoing.body));
    *request.method_mut() = outgoing.method;
    *request.uri_mut() = target;
    *request.headers_mut() = headers::prepare(outgoing.headers);
    request
        .headers_mut()
        .insert(header::HOST, host.map_err(|_invalid| INVALID_URL)?);
    if lacks_content {
        // hyper writes the length of a body, but none for a request without one.
        request
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok(request)
}

/// Returns a copy of a request that may be sent twice (RFC 9110 section 9.2.2): one of a safe method
/// without content.
fn copy_if_repeatable(request: &PreparedRequest) -> Option<PreparedRequest> {
    if !request.method().is_safe() || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(RequestBody::from(Payload::default()));
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

/// Whether requests of this method usually have content, so that one without says so: some servers
/// answer 411 otherwise (RFC 9110 section 8.6).
fn expects_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// Returns the request target (RFC 9112 section 3.2.1): only the path and the query are written.
fn target(url: &Uri, query: Option<&str>) -> Result<Uri, SendError> {
    let Some(path) = url.path_and_query() else {
        return Ok(Uri::default());
    };
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return Ok(path.clone().into());
    };
    let separator = if path.query().is_some() { '&' } else { '?' };
    Uri::try_from(format!("{path}{separator}{query}")).map_err(|_invalid| INVALID_URL)
}
