//! Finds the service for an id.

use std::{fmt, sync::Arc, time::Duration};

use aisbreaker_api::{ServiceId, ServicePattern};
use aisbreaker_egress::Timeouts;
use tokio::time::Instant;

use crate::{
    error::ServiceError,
    fallback,
    service::{Call, Reply, Service},
};

/// The services of a server; cheap to clone.
#[derive(Clone)]
pub struct Registry {
    entries: Arc<Vec<Entry>>,
    patience: Duration,
}

struct Entry {
    pattern: ServicePattern,
    service: Arc<dyn Service>,
}

/// Collects services for a [`Registry`].
pub struct Builder {
    entries: Vec<Entry>,
    patience: Duration,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            patience: Timeouts::default().response,
        }
    }
}

impl Builder {
    /// Registers a service under an id; a later one under the same id replaces it.
    ///
    /// It serves every id that begins with the whole segments of this one: `chat:openai.com` serves
    /// `chat:openai.com/gpt-4o`.
    #[must_use]
    pub fn with(mut self, id: &ServiceId, service: impl Service) -> Self {
        // An id without control characters is always a pattern.
        if let Ok(pattern) = ServicePattern::parse(id.as_str()) {
            self.entries.retain(|entry| entry.pattern != pattern);
            self.entries.push(Entry {
                pattern,
                service: Arc::new(service),
            });
        }
        self
    }

    /// Sets after how long no other service is called any more in place of one that failed; 180 s
    /// by default.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The registry with all services registered so far.
    #[must_use]
    pub fn build(mut self) -> Registry {
        self.entries
            .sort_by_key(|entry| std::cmp::Reverse(entry.pattern.segment_count()));
        Registry {
            entries: Arc::new(self.entries),
            patience: self.patience,
        }
    }
}

impl Registry {
    /// An empty collection of services to start from.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The ids under which services are registered, most segments first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.pattern.as_str())
    }

    /// The service whose id matches on most whole segments.
    ///
    /// # Errors
    /// [`ServiceError::UnknownService`] when none matches.
    pub fn find(&self, id: &ServiceId) -> Result<Arc<dyn Service>, ServiceError> {
        let entry = self.entries.iter().find(|entry| entry.pattern.matches(id));
        entry
            .map(|entry| Arc::clone(&entry.service))
            .ok_or_else(|| ServiceError::UnknownService {
                service_id: id.as_str().to_owned(),
            })
    }

    /// Finds the service for a call and calls it. If it fails before it has said anything, because
    /// it cannot be reached or with status 408, 429 or 5xx, the services are called that the key
    /// names for that, one after the other.
    ///
    /// # Errors
    /// [`ServiceError::UnknownService`], or what the service answers.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call.
    pub async fn call(&self, call: Call) -> Result<Reply, ServiceError> {
        let others = call.credentials.fallback_for(&call.service_id);
        if others.is_empty() {
            return self.find(&call.service_id)?.call(call).await;
        }
        let others = others.to_vec();
        fallback::call(self.clone(), call, others, Instant::now() + self.patience).await
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.entries.iter().map(|entry| entry.pattern.as_str()))
            .finish()
    }
}
