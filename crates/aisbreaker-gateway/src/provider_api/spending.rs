//! What a request to a provider's API may cost, reserved of the budgets of its key.

use aisbreaker_api::InvalidRequest;
use aisbreaker_services::{ProviderCalls, ServiceError};
use aisbreaker_token::ReservePolicy;

use super::{ProviderApi, proxied_request::ProxiedRequest, resolve::ResolvedService};
use crate::{
    budgets::{
        CalledModel, CalledService, Reserved, Spending,
        account::Accounts,
        demand::{CAPS_OF_CHAT, CAPS_OF_MESSAGES, CAPS_OF_RESPONSES, ObeyedCaps},
    },
    failure::Failure,
    pipeline::Admitted,
    route::operation::Operation,
};

impl ProviderApi {
    /// Returns the accounts of a request that may cost something; `None` if nothing limits that.
    pub(super) fn accounts(
        &self,
        request: &ProxiedRequest<'_>,
        admitted: &Admitted,
    ) -> Option<Accounts> {
        writes(request.operation)?;
        let key = admitted.caller().key.as_ref();
        self.budgets.accounts(key, admitted.client())
    }

    /// Reserves what a request may cost.
    pub(super) async fn reserve(
        &self,
        request: &ProxiedRequest<'_>,
        services: &[ResolvedService],
        (accounts, calls): (Accounts, &ProviderCalls),
    ) -> Result<Reserved, Failure> {
        refuse_other_models(request, &accounts)?;
        let Some(demand) = request.demand else {
            // Not expected: whatever costs something has a body.
            return Err(ServiceError::Internal("a body was not read for its cost".into()).into());
        };
        let spending = Spending {
            demand,
            writes: writes(request.operation).unwrap_or(true),
            models: services
                .iter()
                .map(|service| request.called_model(service))
                .collect(),
            calls: calls.clone(),
        };
        Ok(self.budgets.reserve(&accounts, &spending).await?)
    }
}

impl ProxiedRequest<'_> {
    /// Returns the model that a service is asked for.
    pub(super) fn called_model<'a>(&'a self, service: &'a ResolvedService) -> CalledModel<'a> {
        let own = self.model.as_ref().map(|model| model.name.as_str());
        CalledModel {
            service: CalledService::Provider(&service.provider),
            name: service.engine.as_deref().or(own).unwrap_or_default(),
        }
    }
}

/// Returns whether an operation writes tokens; `None` for one that costs nothing.
fn writes(operation: Operation) -> Option<bool> {
    match operation {
        Operation::ChatCompletions
        | Operation::Completions
        | Operation::Responses
        | Operation::ResponseCompaction
        | Operation::ImageGenerations
        | Operation::ImageEdits
        | Operation::ImageVariations
        | Operation::Speech
        | Operation::Transcriptions
        | Operation::Translations
        | Operation::Messages => Some(true),
        Operation::Embeddings | Operation::Moderations => Some(false),
        Operation::ResponseInputTokens
        | Operation::Response
        | Operation::ResponseCancel
        | Operation::ResponseInputItems
        | Operation::Models
        | Operation::Model
        | Operation::CountTokens
        // A key with budgets opens no WebSocket.
        | Operation::Realtime
        | Operation::Resource(_) => None,
    }
}

/// Returns the caps that an operation obeys; `None` if it costs nothing.
pub(super) fn obeyed_caps(operation: Operation) -> Option<ObeyedCaps> {
    writes(operation)?;
    Some(match operation {
        Operation::ChatCompletions => CAPS_OF_CHAT,
        Operation::Completions | Operation::Messages => CAPS_OF_MESSAGES,
        Operation::Responses | Operation::ResponseCompaction => CAPS_OF_RESPONSES,
        Operation::Embeddings
        | Operation::Moderations
        | Operation::ImageGenerations
        | Operation::ImageEdits
        | Operation::ImageVariations
        | Operation::Speech
        | Operation::Transcriptions
        | Operation::Translations
        | Operation::ResponseInputTokens
        | Operation::Response
        | Operation::ResponseCancel
        | Operation::ResponseInputItems
        | Operation::Models
        | Operation::Model
        | Operation::CountTokens
        | Operation::Realtime
        | Operation::Resource(_) => &[],
    })
}

/// Refuses a body that lets the provider choose among models, where the price or the bound of one is
/// reserved.
fn refuse_other_models(
    request: &ProxiedRequest<'_>,
    accounts: &Accounts,
) -> Result<(), InvalidRequest> {
    let member = request.model.as_ref().and_then(|model| model.other_models);
    match member {
        Some(member) if accounts.has_usd() || accounts.policy == ReservePolicy::Strict => {
            Err(InvalidRequest::new(
                member,
                "must be left out: the budgets of the key hold for one model",
            ))
        }
        Some(_) | None => Ok(()),
    }
}
