//! What a call may cost, reserved of the budgets of its key.

use aisbreaker_api::{InvalidRequest, ProcessCall};
use aisbreaker_services::{ProviderCalls, ReachedService, ServiceError, chooses_other_models};
use aisbreaker_token::ReservePolicy;

use super::{ProcessApi, ProcessRequest};
use crate::{
    budgets::{
        CalledModel, CalledService, Reserved, Spending,
        account::Accounts,
        demand::{CAPS_OF_CHAT, CAPS_OF_MESSAGES, Demand, ObeyedCaps},
        hold::{BudgetHold, Outcome},
    },
    failure::Failure,
    pipeline::Admitted,
};

/// The vendor whose protocol is its own.
const ANTHROPIC: &str = "anthropic.com";
/// What the price of a model at another server is known under.
const OTHER_SERVER: &str = "another aisbreaker server";

impl ProcessApi {
    /// Reserves what a call may cost.
    pub(super) async fn reserve(
        &self,
        request: &ProcessRequest,
        (accounts, admitted): (Accounts, &Admitted),
        calls: &ProviderCalls,
    ) -> Result<Reserved, Failure> {
        let call = &request.call;
        let Some(demand) = request.demand else {
            // Not expected: it is read where the key has budgets.
            return Err(ServiceError::Internal("a call was not read for its cost".into()).into());
        };
        let credentials = &admitted.caller().credentials;
        let services = self
            .registry
            .reached(&call.service, &call.request, credentials)?;
        refuse_other_models(call, &accounts)?;
        let models: Vec<_> = services.iter().map(|one| self.called_model(one)).collect();
        let spending = Spending {
            demand: demand.obeying(obeyed_caps(&models)),
            writes: true,
            models,
            calls: calls.clone(),
        };
        Ok(self.budgets.reserve(&accounts, &spending).await?)
    }

    fn called_model<'a>(&'a self, service: &'a ReachedService) -> CalledModel<'a> {
        let vendor = service.service_id.vendor().unwrap_or_default();
        CalledModel {
            service: match self.providers.find(vendor) {
                _ if service.is_elsewhere => CalledService::Other(OTHER_SERVER),
                Some(provider) => CalledService::Provider(provider),
                None => CalledService::Other(vendor),
            },
            name: service.service_id.engine().unwrap_or_default(),
        }
    }
}

/// Refuses options that let the provider choose among models, where the price or the bound of one is
/// reserved.
fn refuse_other_models(call: &ProcessCall, accounts: &Accounts) -> Result<(), ServiceError> {
    if !accounts.has_usd() && accounts.policy != ReservePolicy::Strict {
        return Ok(());
    }
    let mut options = call.request.intern_options.keys();
    match options.find(|name| chooses_other_models(name)) {
        Some(name) => Err(ServiceError::BadRequest(
            format!(
                "request.internOptions.{name} must be left out: the budgets of the key hold for one \
                 model"
            )
            .into(),
        )),
        None => Ok(()),
    }
}

/// Returns the caps that all of the services obey. Anthropic's protocol has one of them only.
fn obeyed_caps(models: &[CalledModel<'_>]) -> ObeyedCaps {
    let speaks_openai = |model: &CalledModel<'_>| match model.service {
        CalledService::Provider(provider) => provider.id != ANTHROPIC,
        CalledService::Other(_) => false,
    };
    match models.iter().all(speaks_openai) {
        true => CAPS_OF_CHAT,
        false => CAPS_OF_MESSAGES,
    }
}

/// Returns what a call shows of its cost. The provider gets the inputs, and the options as they are.
pub(super) fn demand(call: &ProcessCall) -> Result<Demand, InvalidRequest> {
    let unreadable = |_problem| InvalidRequest::new("request", "cannot be written as JSON");
    let request = serde_json::to_vec(&call.request).map_err(unreadable)?;
    let options = serde_json::to_vec(&call.request.intern_options).map_err(unreadable)?;
    Ok(Demand::of_json(&options)?.with_text(&Demand::of_json(&request)?))
}

/// Settles what is reserved, and returns what that came to in nano-dollars, if it is known.
pub(super) fn settle(hold: Option<&mut BudgetHold>, outcome: Outcome) -> Option<u64> {
    let hold = hold?;
    let has_price = hold.has_price();
    let spent = hold.settle(outcome)?;
    has_price.then_some(spent.nanos)
}
