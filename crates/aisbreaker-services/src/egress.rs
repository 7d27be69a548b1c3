//! The outbound HTTP client: every call to a provider goes through [`Client`].
//!
//! - [`Policy`] says which addresses may be dialled; it is asked about the very address of every
//!   new connection, after the only name resolution there is, so that a name that changes its
//!   answer gains nothing.
//! - Redirects are not followed, proxy variables of the environment are not read, bodies are not
//!   decompressed.
//! - Dropping the future of [`Client::send`] or a [`Body`] closes the connection at once.
//! - A body that ends before its announced end is an error ([`SendError::Cut`]), never a clean end.
//!
//! HTTP/1.1 (RFC 9112); certificates are verified by the system's TLS library.

mod address;
mod body;
mod connect;
mod connection;
mod error;
mod payload;
mod policy;
mod pool;
mod stream;
#[cfg(test)]
mod tls_tests;

use std::{borrow::Cow, fmt, sync::Arc, task::Waker, time::Duration};

use aisbreaker_api::ServiceUrl;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version, header, response,
    uri::PathAndQuery,
};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;
#[cfg(feature = "in-memory")]
use tokio::{io::DuplexStream, sync::mpsc::UnboundedSender};
use tower_service::Service as _;

pub use self::{
    body::Body,
    connect::{Resolve, Resolving, SystemResolver},
    error::{Failure, Refusal, SendError, Stage, TlsUnavailable},
    payload::Payload,
    policy::{InvalidException, Policy},
};
use self::{
    connect::Connector,
    connection::{Connection, Sent},
    pool::{Lease, Pool},
};
use crate::budget::Budget;

/// Headers that only this client may set: they say where a request goes, how long it is, or how
/// long a connection lives.
const OWN_HEADERS: [HeaderName; 12] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::ACCEPT_ENCODING,
];

/// Headers whose values are never to be shown.
const SECRET_HEADERS: [HeaderName; 5] = [
    header::AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Sends requests to providers, as far as its [`Policy`] allows; clones share one pool of
/// connections.
///
/// A request that failed on a kept connection before any of it was written is sent again on another
/// connection; once a byte may have been written it is not, since the provider may have acted on
/// it.
#[derive(Clone)]
pub struct Client {
    connector: Connector,
    timeouts: Timeouts,
    bounds: Bounds,
    pool: Pool,
}

/// How long a [`Client`] waits.
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

/// How much a [`Client`] takes on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Bounds {
    /// The largest answer that is collected, and the most text that is collected of a stream, in
    /// bytes; 16 MiB by default.
    pub max_answer_bytes: usize,
    /// How many calls to one origin may be under way; 5000 by default. Besides those in use, up to
    /// 64 connections to an origin are kept for later calls.
    pub max_calls_per_origin: usize,
}

/// A request without its address, which [`Client::send`] takes by itself.
///
/// Its `Debug` tells the names of the headers and the length of the body, no more.
#[derive(Clone)]
#[non_exhaustive]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// The headers; those that only the client may set (`Host`, lengths, hop-by-hop ones) are
    /// dropped.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Payload,
    /// What is collected of the answer is held of this.
    pub budget: Budget,
    /// A query (RFC 3986 section 3.4), which is added to that of the address byte by byte.
    pub query: Option<String>,
    /// When the head of the response must have come, where that is before the client's own timeout.
    pub deadline: Option<Instant>,
}

impl Client {
    /// A client with its own pool, which resolves names as the system does.
    #[must_use]
    pub fn new(policy: Policy, timeouts: Timeouts) -> Self {
        Self::with_resolver(policy, timeouts, Arc::new(SystemResolver))
    }

    /// A client that asks `resolver` for the addresses of names; the policy judges its answers all
    /// the same.
    #[must_use]
    pub fn with_resolver(policy: Policy, timeouts: Timeouts, resolver: Arc<dyn Resolve>) -> Self {
        let connector = Connector::new(policy, resolver, timeouts.connect);
        Self {
            connector,
            timeouts,
            bounds: Bounds::default(),
            pool: Pool::default(),
        }
    }

    /// Sets how much the client takes on.
    #[must_use]
    pub fn with_bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Connects by `http` to providers in this process, for tests and benchmarks: instead of
    /// dialling, it sends the other end of each connection to `providers`. The policy is asked as
    /// ever; `https` is dialled as ever.
    #[cfg(feature = "in-memory")]
    #[must_use]
    pub fn with_providers_in_memory(mut self, providers: UnboundedSender<DuplexStream>) -> Self {
        self.connector.stay_in_memory(providers);
        self
    }

    /// Loads the certificates of the system now (some 40 ms on another thread), instead of at the
    /// first `https` call.
    ///
    /// # Errors
    /// [`TlsUnavailable`] when the system's TLS library cannot be used; every `https` call would
    /// fail then.
    pub async fn load_certificates(&self) -> Result<(), TlsUnavailable> {
        self.connector.load_tls().await
    }

    /// The same client with a pool of its own, for another runtime; the loaded certificates and the
    /// bounds are shared.
    #[must_use]
    pub fn with_own_pool(&self) -> Self {
        Self {
            pool: Pool::default(),
            ..self.clone()
        }
    }

    /// How long it waits.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// When the head of a response must have come to a request that is sent now.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.timeouts.response
    }

    /// Sends a request and waits for the head of the response, whatever its status is.
    ///
    /// The address is `url` alone: no header changes it. The body is asked for without content
    /// coding.
    ///
    /// # Errors
    /// The [`SendError`] that applies. Nothing was sent after [`SendError::Forbidden`],
    /// [`SendError::Unreachable`] and [`SendError::Busy`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection, or ends the attempt to connect; the request may
    /// have been received.
    pub async fn send(
        &self,
        url: &ServiceUrl,
        outgoing: Outgoing,
    ) -> Result<Response<Body>, SendError> {
        let budget = outgoing.budget.clone();
        let own_deadline = self.deadline();
        let deadline = outgoing
            .deadline
            .map_or(own_deadline, |deadline| deadline.min(own_deadline));
        let (request, address) = prepare(url, outgoing)?;
        let lease = self
            .pool
            .begin(url.origin(), self.bounds.max_calls_per_origin)
            .ok_or(SendError::Busy)?;
        let (response, lease) =
            tokio::time::timeout_at(deadline, self.exchange(request, address, lease))
                .await
                .map_err(|_elapsed| SendError::Timeout(Stage::Response))??;
        Ok(response.map(|incoming| {
            Body::new(
                incoming,
                self.timeouts.idle,
                lease,
                self.bounds.max_answer_bytes,
                budget,
            )
        }))
    }

    /// Sends a request on a kept connection or a new one; with the response, the connection that
    /// its body comes on.
    async fn exchange(
        &self,
        mut request: Sent,
        address: Uri,
        mut lease: Lease,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        loop {
            while lease
                .connection
                .as_mut()
                .is_some_and(|connection| !connection.is_at_rest(Waker::noop()))
            {
                lease.take_another();
            }
            let kept = lease.connection.take();
            let is_new = kept.is_none();
            let mut connection = match kept {
                Some(connection) => connection,
                None => {
                    Connection::over(self.connector.clone().call(root(&address)?).await?).await?
                }
            };
            match connection.exchange(request).await {
                Ok(response) => {
                    lease.connection = Some(connection);
                    return Ok((response, lease));
                }
                Err(mut broken) => match broken.unsent().filter(|_| !is_new) {
                    Some(unsent) => request = unsent,
                    None => return Err(broken.into_error()),
                },
            }
            lease.take_another();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("policy", self.connector.policy())
            .field("timeouts", &self.timeouts)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_answer_bytes: 16 << 20,
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

impl Outgoing {
    /// A request with this method, headers and body.
    #[must_use]
    pub fn new(method: Method, headers: HeaderMap, body: impl Into<Payload>) -> Self {
        Self {
            method,
            headers,
            body: body.into(),
            budget: Budget::default(),
            query: None,
            deadline: None,
        }
    }

    /// Says of what the answer is held as it is collected; by default, of a budget of its own.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Adds a query to that of the address.
    #[must_use]
    pub fn with_query(mut self, query: Option<String>) -> Self {
        self.query = query;
        self
    }

    /// Says when the head of the response must have come.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// A `POST` of a body.
    #[must_use]
    pub fn post(headers: HeaderMap, body: impl Into<Payload>) -> Self {
        Self::new(Method::POST, headers, body)
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("method", &self.method)
            .field("header_names", &self.headers.keys().collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// Whether the end of a body is told apart from a broken connection (RFC 9112 section 6.3).
#[must_use]
pub fn is_framed(parts: &response::Parts) -> bool {
    parts.version >= Version::HTTP_2
        || parts.headers.contains_key(header::TRANSFER_ENCODING)
        || parts.headers.contains_key(header::CONTENT_LENGTH)
}

/// Whether a header is one that whoever makes a request may set for a provider: none that is this
/// client's own, and none that carries a secret.
pub(crate) fn may_be_set(name: &HeaderName) -> bool {
    !OWN_HEADERS.contains(name) && !SECRET_HEADERS.contains(name)
}

/// The request as it is written, and the address that it is written to.
fn prepare(url: &ServiceUrl, outgoing: Outgoing) -> Result<(Sent, Uri), SendError> {
    let address = dialled(url, outgoing.query.as_deref())?;
    let mut request = Request::new(Full::new(outgoing.body.into_pieces()));
    *request.method_mut() = outgoing.method;
    *request.headers_mut() = own(outgoing.headers);
    request.headers_mut().insert(header::HOST, host(&address)?);
    // Only the path and the query are written (RFC 9112 section 3.2.1).
    *request.uri_mut() = address
        .path_and_query()
        .map_or_else(Uri::default, |path| path.clone().into());
    Ok((request, address))
}

/// The address without its path and query, which no connection depends on.
fn root(address: &Uri) -> Result<Uri, SendError> {
    let mut parts = address.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static("/"));
    Uri::from_parts(parts).map_err(|_invalid| SendError::Forbidden(Refusal::Unreadable))
}

/// The value of `Host`. A canonical address has no port that its scheme has anyway.
fn host(address: &Uri) -> Result<HeaderValue, SendError> {
    let authority = address
        .authority()
        .map_or("", |authority| authority.as_str());
    HeaderValue::from_str(authority).map_err(|_invalid| SendError::Forbidden(Refusal::Unreadable))
}

/// The address as the HTTP library reads it, once it is certain that it reads the origin that `url`
/// says.
fn dialled(url: &ServiceUrl, query: Option<&str>) -> Result<Uri, SendError> {
    let origin = url.origin();
    let text = match query.filter(|query| !query.is_empty()) {
        None => Cow::Borrowed(url.as_str()),
        Some(query) => {
            let separator = if url.as_str().contains('?') { '&' } else { '?' };
            Cow::Owned(format!("{url}{separator}{query}"))
        }
    };
    let scheme = if origin.is_https() { "https" } else { "http" };
    let own_port = if origin.is_https() { 443 } else { 80 };
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        uri.scheme_str() == Some(scheme)
            && uri.host() == Some(origin.host())
            && uri.port_u16().unwrap_or(own_port) == origin.port()
            && uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'))
    });
    uri.ok_or(SendError::Forbidden(Refusal::Unreadable))
}

fn own(mut headers: HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let is_own = |name: &&HeaderName| OWN_HEADERS.contains(name) || named.contains(name);
    let set_by_others: Vec<HeaderName> = headers.keys().filter(is_own).cloned().collect();
    for name in set_by_others {
        headers.remove(name);
    }
    for (name, value) in &mut headers {
        if SECRET_HEADERS.contains(name) {
            value.set_sensitive(true);
        }
    }
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_carry_secrets_are_never_shown() {
        let mut headers = HeaderMap::new();
        for name in SECRET_HEADERS {
            headers.append(name.clone(), HeaderValue::from_static("sk-1"));
            headers.append(name, HeaderValue::from_static("sk-2"));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));

        let headers = own(headers);

        for (name, value) in &headers {
            assert_eq!(
                value.is_sensitive(),
                SECRET_HEADERS.contains(name),
                "{name}"
            );
        }
        assert!(!format!("{headers:?}").contains("sk-"));
        assert_eq!(headers.get_all(header::COOKIE).iter().count(), 2);
    }
}
