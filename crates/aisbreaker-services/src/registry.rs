//! Finds the service for an id.

use std::{fmt, sync::Arc};

use aisbreaker_api::{ServiceId, ServicePattern};

use crate::{
    error::ServiceError,
    service::{Call, Reply, Service},
};

/// The services of a server; cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Vec<Entry>>);

struct Entry {
    pattern: ServicePattern,
    service: Arc<dyn Service>,
}

/// Collects services for a [`Registry`].
#[derive(Default)]
pub struct Builder(Vec<Entry>);

impl Builder {
    /// Registers a service under an id; a later one under the same id replaces it.
    ///
    /// It serves every id that begins with the whole segments of this one: `chat:openai.com` serves
    /// `chat:openai.com/gpt-4o`.
    #[must_use]
    pub fn with(mut self, id: &ServiceId, service: impl Service) -> Self {
        // An id without control characters is always a pattern.
        if let Ok(pattern) = ServicePattern::parse(id.as_str()) {
            self.0.retain(|entry| entry.pattern != pattern);
            self.0.push(Entry { pattern, service: Arc::new(service) });
        }
        self
    }

    /// The registry with all services registered so far.
    #[must_use]
    pub fn build(mut self) -> Registry {
        self.0.sort_by_key(|entry| std::cmp::Reverse(entry.pattern.segment_count()));
        Registry(Arc::new(self.0))
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
        self.0.iter().map(|entry| entry.pattern.as_str())
    }

    /// The service whose id matches on most whole segments.
    ///
    /// # Errors
    /// [`ServiceError::UnknownService`] when none matches.
    pub fn find(&self, id: &ServiceId) -> Result<Arc<dyn Service>, ServiceError> {
        let entry = self.0.iter().find(|entry| entry.pattern.matches(id));
        entry
            .map(|entry| Arc::clone(&entry.service))
            .ok_or_else(|| ServiceError::UnknownService { service_id: id.as_str().to_owned() })
    }

    /// Finds the service for a call and calls it.
    ///
    /// # Errors
    /// [`ServiceError::UnknownService`], or what the service answers.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call.
    pub async fn call(&self, call: Call) -> Result<Reply, ServiceError> {
        self.find(&call.service_id)?.call(call).await
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|entry| entry.pattern.as_str())).finish()
    }
}
