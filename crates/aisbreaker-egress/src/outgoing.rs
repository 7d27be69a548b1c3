//! A request without its address.

use std::fmt;

use http::{HeaderMap, Method};
use tokio::time::Instant;

use crate::{memory_budget::MemoryBudget, payload::Payload};

/// A request without its address, which [`Client::send`](crate::Client::send) takes by itself.
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
    pub budget: MemoryBudget,
    /// A query (RFC 3986 section 3.4), which is added to that of the address byte by byte.
    pub query: Option<String>,
    /// When the head of the response must have come, where that is before the client's own timeout.
    pub deadline: Option<Instant>,
}

impl Outgoing {
    /// A request with this method, headers and body.
    #[must_use]
    pub fn new(method: Method, headers: HeaderMap, body: impl Into<Payload>) -> Self {
        Self {
            method,
            headers,
            body: body.into(),
            budget: MemoryBudget::default(),
            query: None,
            deadline: None,
        }
    }

    /// Says of what the answer is held as it is collected; by default, of a budget of its own.
    #[must_use]
    pub fn with_budget(mut self, budget: MemoryBudget) -> Self {
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
