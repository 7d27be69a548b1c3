//! Why a request to a provider's API fails before the provider answers.

use aisbreaker_services::ServiceError;
use aisbreaker_translate::Untranslatable;

use super::resolve::Unresolved;
use crate::{request::error::RequestError, restrictions::bypass::BypassError};

/// Why a request to a provider's API fails before the provider answers.
#[derive(Debug)]
pub(crate) enum ProviderApiError {
    /// No service can be called; the text says why, and which services there are.
    NoService(String),
    /// A limit of the key could be got round.
    Bypass(BypassError),
    /// The path names a model that cannot exist.
    UnknownModel,
    /// The model is an aisbreaker key, which would go to the log and to the provider.
    ModelIsKey,
    /// The query holds an aisbreaker key, which would go to the provider.
    KeyInQuery,
    /// The request has no counterpart in the API of the provider.
    Untranslatable(Untranslatable),
    /// There is no room to translate the request or its answer.
    Request(RequestError),
    /// The call failed.
    Service(ServiceError),
}

impl From<Unresolved> for ProviderApiError {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::NoService(problem) => Self::NoService(problem),
            Unresolved::Bypass(error) => Self::Bypass(error),
            Unresolved::Restricted { what } => Self::Service(ServiceError::Restricted { what }),
        }
    }
}

impl From<Untranslatable> for ProviderApiError {
    fn from(untranslatable: Untranslatable) -> Self {
        Self::Untranslatable(untranslatable)
    }
}

impl From<RequestError> for ProviderApiError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<ServiceError> for ProviderApiError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}
