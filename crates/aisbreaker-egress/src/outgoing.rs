//! A request without its URL.

use std::{fmt, sync::Arc};

use http::{HeaderMap, Method};
use tokio::time::Instant;

use crate::{memory_budget::MemoryBudget, observer::Observer, payload::Payload};

/// A request without its URL, which [`Client::send`](crate::Client::send) takes separately.
///
/// `Debug` shows the names of the headers and the length of the body, but no values.
#[derive(Clone)]
#[non_exhaustive]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// The headers. The client drops those that only it may set: `Host`, lengths, hop-by-hop ones.
    pub headers: HeaderMap,
    /// The body.
    pub body: Payload,
    /// The budget that is charged for the bytes collected of the response; if `None`, one of 512 MiB
    /// for this request alone.
    pub budget: Option<MemoryBudget>,
    /// A query (RFC 3986 section 3.4), appended unchanged to the query of the URL.
    pub query: Option<String>,
    /// When the request times out without a response head, if that is before the client's own
    /// timeout. A body that is streamed must be asked for until then.
    pub deadline: Option<Instant>,
    /// Who learns how the exchange goes.
    pub observer: Option<Arc<dyn Observer>>,
    /// What the observer learns as the host, if that is not the one of the URL.
    pub observed_host: Option<Box<str>>,
}

impl Outgoing {
    /// Creates a request with this method, these headers and this body.
    #[must_use]
    pub fn new(method: Method, headers: HeaderMap, body: impl Into<Payload>) -> Self {
        Self {
            method,
            headers,
            body: body.into(),
            budget: None,
            query: None,
            deadline: None,
            observer: None,
            observed_host: None,
        }
    }

    /// Creates a `GET` request.
    #[must_use]
    pub fn get(headers: HeaderMap) -> Self {
        Self::new(Method::GET, headers, "")
    }

    /// Creates a `POST` request.
    #[must_use]
    pub fn post(headers: HeaderMap, body: impl Into<Payload>) -> Self {
        Self::new(Method::POST, headers, body)
    }

    /// Sets the budget that is charged for the bytes collected of the response. By default it is
    /// one of 512 MiB for this request alone.
    #[must_use]
    pub fn with_budget(mut self, budget: MemoryBudget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Sets a query, which is appended to the query of the URL.
    #[must_use]
    pub fn with_query(mut self, query: Option<String>) -> Self {
        self.query = query;
        self
    }

    /// Sets when the request times out without a response head.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets who learns how the exchange goes.
    #[must_use]
    pub fn with_observer(mut self, observer: Option<Arc<dyn Observer>>) -> Self {
        self.observer = observer;
        self
    }

    /// Has the observer learn this as the host, for a host that may hold a secret.
    #[must_use]
    pub fn with_observed_host(mut self, host: impl Into<Box<str>>) -> Self {
        self.observed_host = Some(host.into());
        self
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("method", &self.method)
            .field("header_names", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &self.body)
            .finish()
    }
}
