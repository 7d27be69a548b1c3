//! `POST /api/v1/oauth/token`: seals what the caller sends into a key, or makes a narrower key from
//! one.

mod budgets;
mod exchange;
pub(crate) mod grant_rules;
pub(crate) mod lifetime;
pub(crate) mod mint_error;
pub(crate) mod mint_request;
mod policy;
pub(crate) mod reach;
mod restriction;
mod rfc3339;
mod secret_json;
mod token_request;
pub(crate) mod token_response;
mod warnings;
mod whole_number;

use std::{sync::Arc, time::SystemTime};

use aisbreaker_api::InvalidRequest;
use aisbreaker_services::Registry;
use aisbreaker_token::{Host, KeyRing, SealError, SealedKey, ValidityPeriod};
use bytes::Bytes;
use http::{HeaderMap, Response, request::Parts};
use http_body::Body;

use self::{
    exchange::Exchange,
    grant_rules::GrantRules,
    mint_request::{MintRequest, invalid_lifetime},
    token_request::TokenRequest,
    token_response::TokenResponse,
};
pub(crate) use self::{exchange::ExchangeError, mint_error::MintError};
pub use self::{
    mint_request::{InvalidQuotas, quotas_from_json},
    policy::MintPolicy,
    rfc3339::parse as parse_rfc3339,
};
use crate::{
    failure::Failure,
    pipeline::{Pipeline, parse_and_admit},
    request::head::{Endpoints, Head, Surface},
    response::{ResponseBody, hold_memory},
    telemetry::access_log::AccessLog,
};

/// The token surface.
#[derive(Clone, Debug)]
pub(crate) struct Minter {
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) registry: Registry,
    pub(crate) rules: Arc<GrantRules>,
}

impl Minter {
    /// Takes a request through all stages. Minting takes no credentials but its own.
    pub(crate) async fn serve<B: Body<Data = Bytes>>(
        &self,
        pipeline: &Pipeline,
        (parts, endpoints): (&Parts, Endpoints),
        body: B,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        let head = Head::read(parts, endpoints, Surface::Token)?;
        let body = pipeline
            .receive(&head, body, &pipeline.memory(&head))
            .await?;
        let (format, max_lifetime) = (head.content.format, self.rules.max_lifetime);
        let parse = move |body: &Bytes| TokenRequest::parse(format, body, max_lifetime);
        let admit = async |log: &mut AccessLog| pipeline.admit_minting(head.client, log).await;
        let (request, permit) = parse_and_admit(body, parse, admit, log).await?;
        let now = pipeline.clock.wall();
        let outcome = match request {
            TokenRequest::Mint(mut request) => {
                let may_last = pipeline.budgets.may_last;
                match self.mint((&request, may_last), &parts.headers, &head.host, now) {
                    Ok(key) => {
                        log.set_key(key.id());
                        if let Some(name) = &request.grant.name {
                            log.set_key_name(name);
                        }
                        let server = (&self.registry, &*self.rules);
                        warnings::add(&mut request.warnings, server, &request.grant);
                        let name = request.grant.name.as_deref();
                        Ok(TokenResponse::minted(&key, name, &request.warnings).send())
                    }
                    Err(error) => Err(error.into()),
                }
            }
            TokenRequest::Exchange(request) => {
                let exchange = Exchange {
                    keys: &self.keys,
                    host: &head.host,
                    client: head.client,
                    now,
                };
                let response = exchange.serve(pipeline, request, log);
                response.map_err(Failure::from)
            }
        };
        permit.report(outcome.and_then(|response| hold_memory(response, log)))
    }

    /// Seals a key for this host, if the caller may mint it.
    pub(crate) fn mint(
        &self,
        (request, may_last): (&MintRequest, bool),
        headers: &HeaderMap,
        host: &Host,
        now: SystemTime,
    ) -> Result<SealedKey, MintError> {
        self.rules
            .policy
            .check_caller(headers, request.client_secret.as_ref())?;
        self.rules.check(&request.grant)?;
        if !may_last {
            budgets::refuse_long(request.grant.budgets.as_deref())?;
        }
        let mut period = ValidityPeriod::new(now, request.lifetime);
        if let Some(not_before) = request.not_before {
            period = period.with_not_before(not_before);
        }
        match self.keys.seal_for(&request.grant, host, period) {
            Ok(key) => Ok(key),
            Err(SealError::TooLong {
                chars,
                maximum_chars,
            }) => Err(MintError::TooLong {
                chars,
                maximum: maximum_chars,
            }),
            Err(SealError::Lifetime) if request.not_before.is_some() => {
                Err(InvalidRequest::new("notBefore", "must be before the key expires").into())
            }
            Err(SealError::Lifetime) => Err(invalid_lifetime(self.rules.max_lifetime).into()),
            Err(error) => Err(MintError::Internal(error.to_string())),
        }
    }
}
