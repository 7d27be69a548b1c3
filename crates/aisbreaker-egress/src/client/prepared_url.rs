//! A URL that is prepared for many requests: sends a request on an idle connection or a new one.

use std::{
    fmt,
    pin::{Pin, pin},
    sync::Arc,
};

use http::{HeaderValue, Response, StatusCode, Uri, uri::PathAndQuery};
use tokio::time::{Instant, timeout_at};

use super::Client;
use crate::{
    body::Body,
    connection::{Connection, ExchangeError},
    error::{Refusal, SendError, Stage},
    headers,
    http1::PreparedRequest,
    limits::Timeouts,
    memory_budget::MemoryBudget,
    observer::{ExchangeStart, Observed},
    origin::Origin,
    outgoing::Outgoing,
    payload::Content,
    policy::UrlSource,
    pool::{Lease, OriginConnections, PoolKey},
    streamed_body::StreamedBody,
};

const INVALID_URL: SendError = SendError::Forbidden(Refusal::InvalidUrl);

/// A URL of a [`Client`], prepared for many requests by [`Client::prepare`].
///
/// What each request would find out about its URL is known already. It holds no connection, and the
/// policy judges those that are made for it as any other.
pub struct PreparedUrl {
    client: Client,
    connections: Arc<OriginConnections>,
    /// The request target (RFC 9112 section 3.2.1).
    target: PathAndQuery,
    /// The value of `Host`.
    host: HeaderValue,
}

impl PreparedUrl {
    pub(super) fn new(client: Client, url: &Uri, source: UrlSource) -> Result<Self, SendError> {
        let origin = Origin::of(url).ok_or(INVALID_URL)?;
        let host = HeaderValue::from_str(origin.authority().as_str());
        let target = match url.path_and_query() {
            Some(path) => path.clone(),
            None => PathAndQuery::from_static("/"),
        };
        let source = client.policy().effective_source(source);
        let connections = client.0.pool.connections(PoolKey { origin, source });
        Ok(Self {
            client,
            connections: Arc::new(connections),
            target,
            host: host.map_err(|_invalid| INVALID_URL)?,
        })
    }

    /// Sends a request and waits for the head of the response, as [`Client::send`] does.
    ///
    /// # Errors
    /// As [`Client::send`].
    ///
    /// # Cancel safety
    /// As [`Client::send`].
    pub async fn send(&self, mut outgoing: Outgoing) -> Result<Response<Body>, SendError> {
        let budget = outgoing.budget.take().unwrap_or_default();
        let (now, deadline) = self.now_and_deadline(&outgoing);
        let mut observed = self.observe(&mut outgoing);
        let streamed = outgoing.body.as_streamed().cloned();
        let request = self
            .request(outgoing)
            .map_err(|error| observed.end_with(error))?;
        let Some(mut lease) = self.lease(now) else {
            return Err(observed.end_with(SendError::Busy));
        };
        let timeouts = self.client.0.timeouts;
        let received = {
            // Not in a future of its own: each that is nested holds the request once more.
            let exchange = pin!(self.exchange(request, &mut lease));
            in_time(exchange, deadline, (streamed.as_deref(), timeouts)).await
        };
        let response = received.map_err(|error| observed.end_with(error))?;
        check_usable(&response).map_err(|error| observed.end_with(error))?;
        observed.head(response.status());
        if let Some(streamed) = &streamed
            && !response.status().is_success()
        {
            streamed.stop();
        }
        Ok(response.map(|()| self.body(lease, budget, observed, streamed)))
    }

    /// Returns the current time, and when the request times out without a response head.
    pub(super) fn now_and_deadline(&self, outgoing: &Outgoing) -> (Instant, Instant) {
        let now = Instant::now();
        let own = now + self.client.0.timeouts.response;
        let deadline = outgoing.deadline.map_or(own, |deadline| deadline.min(own));
        (now, deadline)
    }

    /// Tells the observer of a request, if there is one, that it is about to be sent.
    pub(super) fn observe(&self, outgoing: &mut Outgoing) -> Observed {
        let observer = outgoing.observer.take();
        if let Some(observer) = &observer {
            let origin = &self.connections.key().origin;
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

    /// Returns the request as it is sent.
    pub(super) fn request(&self, outgoing: Outgoing) -> Result<PreparedRequest, SendError> {
        let target = self.target(outgoing.query.as_deref())?;
        let content = outgoing.body.into_content();
        if content.as_streamed().is_some_and(|body| body.is_begun()) {
            return Err(SendError::Cut);
        }
        let mut fields = outgoing.headers;
        headers::prepare(&mut fields);
        Ok(PreparedRequest {
            method: outgoing.method,
            target,
            host: self.host.clone(),
            fields,
            content,
        })
    }

    fn target(&self, query: Option<&str>) -> Result<PathAndQuery, SendError> {
        let path = &self.target;
        let Some(query) = query.filter(|query| !query.is_empty()) else {
            return Ok(path.clone());
        };
        let separator = if path.query().is_some() { '&' } else { '?' };
        PathAndQuery::try_from(format!("{path}{separator}{query}")).map_err(|_invalid| INVALID_URL)
    }

    /// Begins a call, unless too many are in progress.
    pub(super) fn lease(&self, now: Instant) -> Option<Lease> {
        let limit = self.client.0.bounds.max_calls_per_origin;
        self.connections.lease(limit, now)
    }

    pub(super) fn body(
        &self,
        lease: Lease,
        budget: MemoryBudget,
        observed: Observed,
        request: Option<Arc<StreamedBody>>,
    ) -> Body {
        let idle = self.client.0.timeouts.idle;
        let max_bytes = self.client.0.bounds.max_collected_bytes;
        Body::new(idle, lease, max_bytes, budget, observed, request)
    }

    /// Sends a request on an idle connection or a new one. The lease then has the connection on which
    /// the body of the response arrives.
    pub(super) async fn exchange(
        &self,
        mut request: PreparedRequest,
        lease: &mut Lease,
    ) -> Result<Response<()>, SendError> {
        loop {
            let idle = lease.take_connection();
            let is_new = idle.is_none();
            let mut connection = match idle {
                Some(connection) => connection,
                // Boxed, since a connection is made once for many requests.
                None => Box::pin(self.connect(lease.key())).await?,
            };
            let spare = if is_new {
                None
            } else {
                copy_if_repeatable(&request)
            };
            match connection.exchange(request).await {
                Ok(response) => {
                    lease.connection = Some(connection);
                    return Ok(response);
                }
                Err(ExchangeError::Unsent(unsent)) => request = *unsent,
                Err(ExchangeError::Broken) => match spare {
                    Some(copy) if !connection.has_received() => request = *copy,
                    _ => return Err(SendError::Cut),
                },
            }
        }
    }

    async fn connect(&self, key: &PoolKey) -> Result<Box<Connection>, SendError> {
        let uri = key.origin.uri().map_err(|_invalid| INVALID_URL)?;
        let stream = self.client.0.connector.connect(uri, key.source).await?;
        Ok(Box::new(Connection::new(stream)))
    }
}

/// Shows no path and no query, which may hold a secret.
impl fmt::Debug for PreparedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreparedUrl(..)")
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

/// Checks that the content of a response can be read.
pub(super) fn check_usable(response: &Response<()>) -> Result<(), SendError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(SendError::Cut);
    }
    if headers::has_foreign_transfer_coding(response.headers()) {
        return Err(SendError::TransferCoding);
    }
    Ok(())
}

/// Returns a copy of a request that may be sent twice (RFC 9110 section 9.2.2): one of a safe method
/// without content. Boxed, since most requests have none.
fn copy_if_repeatable(request: &PreparedRequest) -> Option<Box<PreparedRequest>> {
    if !request.method.is_safe() || !request.content.is_empty() {
        return None;
    }
    Some(Box::new(PreparedRequest {
        method: request.method.clone(),
        target: request.target.clone(),
        host: request.host.clone(),
        fields: request.fields.clone(),
        content: Content::default(),
    }))
}
