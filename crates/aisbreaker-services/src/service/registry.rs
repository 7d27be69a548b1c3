//! Finds the service for an id.

use std::{cmp::Reverse, collections::HashMap, fmt, sync::Arc, time::Duration};

use aisbreaker_api::{Request, ServiceId, ServicePattern, ServiceProps};
use aisbreaker_egress::Timeouts;
use tokio::time::Instant;

use super::{
    Call, ReachedService, Reply, Service, Target, fallback, nearest::nearest, parse_id, restricted,
};
use crate::{credentials::Credentials, error::ServiceError};

/// The services of a server; cheap to clone.
#[derive(Clone)]
pub struct Registry {
    entries: Arc<Entries>,
    fallback_timeout: Duration,
}

struct Entries {
    /// Those with more segments come first.
    list: Vec<Entry>,
    /// The position of the first entry of each prefix, by [`ServicePattern::prefix`].
    by_prefix: HashMap<Box<str>, usize>,
}

struct Entry {
    pattern: ServicePattern,
    service: Arc<dyn Service>,
}

impl Registry {
    /// Creates an empty builder.
    #[must_use]
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// Returns the ids under which services are registered, those with most segments first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.list.iter().map(|entry| entry.pattern.as_str())
    }

    /// Checks that a call of these properties finds its service, and that the restrictions of the
    /// caller's key allow what it reaches.
    ///
    /// # Errors
    /// [`ServiceError::UnknownService`], [`ServiceError::Restricted`], and with restrictions also
    /// [`ServiceError::BadRequest`] if nothing can be reached so.
    pub fn check(
        &self,
        service: &ServiceProps,
        request: &Request,
        credentials: &Credentials,
    ) -> Result<(), ServiceError> {
        let service_id = parse_id(&service.service_id)?;
        self.find(&service_id)?;
        let target = Target {
            service_id: &service_id,
            service,
            request,
        };
        restricted::check(self, target, credentials)
    }

    /// Checks a call as [`check`](Self::check) does.
    ///
    /// # Errors
    /// Those of [`check`](Self::check).
    pub fn check_call(&self, call: &Call) -> Result<(), ServiceError> {
        self.find(&call.service_id)?;
        restricted::check(self, Target::of(call), &call.credentials)
    }

    /// Returns the services that a call may reach: first its own, then those that the caller's key
    /// names as fallbacks for it, and likewise for what is behind filters.
    ///
    /// # Errors
    /// Whatever keeps the call from reaching anything.
    pub fn reached(
        &self,
        service: &ServiceProps,
        request: &Request,
        credentials: &Credentials,
    ) -> Result<Vec<ReachedService>, ServiceError> {
        let service_id = parse_id(&service.service_id)?;
        let target = Target {
            service_id: &service_id,
            service,
            request,
        };
        restricted::reached(self, target, credentials)
    }

    /// Calls one service, without its fallbacks, if the restrictions of the caller's key allow what
    /// the call reaches. Nothing else calls a service.
    pub(super) async fn call_one(&self, call: Call) -> Result<Reply, ServiceError> {
        let service = self.find(&call.service_id)?;
        restricted::check(self, Target::of(&call), &call.credentials)?;
        service.call(call).await
    }

    /// Returns the service whose id matches on most whole segments.
    ///
    /// # Errors
    /// [`ServiceError::UnknownService`] when none matches.
    pub(super) fn find(&self, id: &ServiceId) -> Result<Arc<dyn Service>, ServiceError> {
        let mut prefixes = id.prefixes();
        let position = prefixes.find_map(|prefix| self.entries.by_prefix.get(prefix));
        match position.and_then(|position| self.entries.list.get(*position)) {
            Some(entry) => Ok(Arc::clone(&entry.service)),
            None => Err(ServiceError::UnknownService {
                service_id: id.as_str().to_owned(),
                nearest: self.nearest(id).map(str::to_owned),
            }),
        }
    }

    /// Returns the registered id that may have been meant by one that no service has.
    #[must_use]
    pub fn nearest(&self, id: &ServiceId) -> Option<&str> {
        nearest(id.as_str(), self.ids())
    }

    /// Finds the service for a call and calls it.
    ///
    /// If that service fails before its answer begins, because it is unreachable, too slow,
    /// breaks off before the head of its answer is complete, or answers with status 408, 429 or
    /// 5xx, the fallbacks in the caller's key are called, one after
    /// the other.
    ///
    /// A call that reaches something which the restrictions of the key do not allow is refused, and
    /// such a fallback is left out.
    ///
    /// # Errors
    /// [`ServiceError::UnknownService`], [`ServiceError::Restricted`], or the error of the service.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call.
    pub async fn call(&self, call: Call) -> Result<Reply, ServiceError> {
        let fallbacks = call.credentials.fallback_for(&call.service_id).to_vec();
        if fallbacks.is_empty() {
            return self.call_one(call).await;
        }
        let deadline = Instant::now() + self.fallback_timeout;
        fallback::call(self.clone(), call, fallbacks, deadline).await
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// Collects the services of a [`Registry`].
pub struct RegistryBuilder {
    entries: Vec<Entry>,
    fallback_timeout: Duration,
}

impl RegistryBuilder {
    /// Registers a service under an id; it replaces an earlier one under the same id.
    ///
    /// The service serves every id that begins with the whole segments of this one:
    /// `chat:openai.com` serves `chat:openai.com/gpt-4o`.
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

    /// Sets how long after the beginning of a call a fallback may still be called; 180 s by
    /// default.
    #[must_use]
    pub fn with_fallback_timeout(mut self, timeout: Duration) -> Self {
        self.fallback_timeout = timeout;
        self
    }

    /// Returns the registry of all services registered so far.
    #[must_use]
    pub fn build(mut self) -> Registry {
        self.entries
            .sort_by_key(|entry| Reverse(entry.pattern.segment_count()));
        let mut by_prefix = HashMap::new();
        for (position, entry) in self.entries.iter().enumerate() {
            let prefix = entry.pattern.prefix().into();
            by_prefix.entry(prefix).or_insert(position);
        }
        Registry {
            entries: Arc::new(Entries {
                list: self.entries,
                by_prefix,
            }),
            fallback_timeout: self.fallback_timeout,
        }
    }
}

impl Default for RegistryBuilder {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            fallback_timeout: Timeouts::default().response,
        }
    }
}

impl fmt::Debug for RegistryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.entries.iter().map(|entry| entry.pattern.as_str()))
            .finish()
    }
}
