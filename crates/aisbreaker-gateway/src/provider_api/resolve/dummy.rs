//! The names that lead to `chat:dummy`.

use std::sync::Arc;

use aisbreaker_api::ServiceId;
use aisbreaker_services::Provider;

use super::{IMAGE, ResolvedService, Resolver, Unresolved};

impl Resolver<'_> {
    /// Returns the service of the dummy, which needs no entry in the key. The names of its models are
    /// ids without the task, such as `dummy/echo`.
    pub(super) fn for_dummy(
        &self,
        id: &ServiceId,
        provider: &Arc<Provider>,
    ) -> Result<ResolvedService, Unresolved> {
        if id.task() == IMAGE && !self.operation.takes_image_services() {
            return Err(self.no_service(&format!("{id} is for making images only")));
        }
        let (_, name) = id.as_str().split_once(':').unwrap_or_default();
        let service = ResolvedService {
            service_id: id.clone(),
            provider: Arc::clone(provider),
            engine: Some(name.to_owned()),
            dialect: self.dialect,
        };
        if self.is_allowed(&service) {
            Ok(service)
        } else {
            Err(self.restricted(&service))
        }
    }

    /// Returns whether a name leads to the dummy.
    pub(crate) fn leads_to_dummy(&self, name: &str) -> bool {
        match self.resolve(Some(name)) {
            Ok(services) => services
                .first()
                .is_some_and(|first| first.provider.is_dummy()),
            Err(_) => false,
        }
    }
}
