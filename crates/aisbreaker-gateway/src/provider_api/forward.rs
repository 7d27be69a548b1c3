//! The call and the response of one operation.

use std::{borrow::Cow, sync::Arc};

use aisbreaker_api::ServiceId;
use aisbreaker_services::{
    Attempts, CallInProgress, DialectConfig, ProviderCalls, ServiceError, is_retryable_status,
    printable_id,
};
use http::{HeaderValue, Response, response};
use tokio::time::Instant;

use super::{
    ProviderApi, batch_results,
    body_kind::BodyKind,
    error::ProviderApiError,
    provider_response::{ProviderResponse, forgotten_dialect, is_error, response_of},
    proxied_request::ProxiedRequest,
    resolve::{ResolvedService, Resolver, ServicesToCall},
    translate::{TranslatedAnswer, Translation},
};
use crate::{
    authenticate::Caller,
    budgets::{
        headers::write_budget_headers,
        hold::{BudgetHold, Outcome, settle_failure},
    },
    failure::Failure,
    pipeline::Admitted,
    response::{
        ResponseBody,
        passthrough::{PassthroughBody, StreamOptions},
        stream_end::BodyEnd,
        usage_filter::UsageChunk,
        write_attempts, write_stream_headers,
    },
    route::operation::Operation,
    telemetry::access_log::AccessLog,
};

impl ProviderApi {
    /// Forwards an admitted request, and the provider's response.
    ///
    /// # Errors
    /// Errors that occur before the provider's response, with the attempts and the state of the
    /// quotas in the headers.
    pub async fn forward(
        &self,
        request: &ProxiedRequest<'_>,
        admitted: Admitted,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        let outcome = self.call_and_respond(request, &admitted, log).await;
        admitted.report_beside_provider(outcome)
    }

    async fn call_and_respond(
        &self,
        request: &ProxiedRequest<'_>,
        admitted: &Admitted,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        let services = self.resolve(request, admitted.caller())?;
        let translation = match services.first() {
            // Boxed, since most requests are not translated.
            Some(first) if first.dialect != request.dialect => {
                Some(Box::pin(request.translate(first)).await?)
            }
            Some(_) | None => None,
        };
        let calls = log.record_provider_calls();
        let mut reserved = match self.accounts(request, admitted) {
            // Boxed, since most requests reserve nothing.
            Some(accounts) => {
                Some(Box::pin(self.reserve(request, &services, (accounts, &calls))).await?)
            }
            None => None,
        };
        // A single attempt adds nothing to the status and the service.
        let attempts = if services.len() > 1 {
            Attempts::recorded()
        } else {
            Attempts::default()
        };
        let mut record = CallRecord {
            attempts: &attempts,
            calls: &calls,
            last: None,
        };
        let hold = reserved.as_mut().map(|reserved| &mut *reserved.hold);
        let (called, is_read_first) = self
            .call(
                (request, translation),
                &services,
                admitted,
                (&mut record, hold),
            )
            .await;
        if let Some(last) = record.last {
            match printable_id(last) {
                Cow::Borrowed(_) => log.set_service(last),
                Cow::Owned(printable) => log.set_service(printable),
            }
        }
        log.set_attempts(attempts.clone());
        let hold = reserved.as_mut().map(|reserved| &mut *reserved.hold);
        // Nothing borrows what was called, so that this future does not hold it while it waits.
        let outcome = if is_read_first {
            Box::pin(self.read_and_respond(called, (request, log), hold)).await
        } else {
            self.respond(called, (request, log), hold)
        };
        let mut response = match outcome {
            Ok(response) => response,
            Err(mut failure) => {
                write_attempts(&attempts, &mut failure.headers);
                return Err(failure);
            }
        };
        write_attempts(&attempts, response.headers_mut());
        if let Some(reserved) = reserved {
            write_budget_headers(&reserved, response.headers_mut());
            hold_budget(reserved.hold, &mut response);
        }
        Ok(response)
    }

    /// Refuses a request that the restrictions of its key do not allow before it is charged.
    pub(super) fn judge(
        &self,
        request: &ProxiedRequest<'_>,
        caller: &Caller,
    ) -> Result<(), Failure> {
        match self.resolve(request, caller) {
            Err(
                refused @ (ProviderApiError::Service(ServiceError::Restricted { .. })
                | ProviderApiError::Bypass(_)),
            ) => Err(refused.into()),
            // What else is wrong with a request is found when it is forwarded.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Finds the services for a request: the first, and those to call when it fails.
    fn resolve(
        &self,
        request: &ProxiedRequest<'_>,
        caller: &Caller,
    ) -> Result<ServicesToCall, ProviderApiError> {
        let model = request.requested_model()?;
        let providers = self.relay.providers();
        let other_models = request.model.as_ref().and_then(|model| model.other_models);
        let resolver = Resolver::new(providers, caller, request.dialect, request.operation)
            .with_other_models(other_models)
            .with_family(request.family(), caller);
        Ok(resolver.resolve(model.as_deref())?)
    }

    /// Calls one service after the other until one responds well enough. Returns its response, and
    /// whether its body is to be read before the client gets a response.
    async fn call<'a>(
        &self,
        (request, mut translation): (&ProxiedRequest<'_>, Option<Translation>),
        services: &'a [ResolvedService],
        admitted: &Admitted,
        (record, mut hold): (&mut CallRecord<'a>, Option<&mut BudgetHold>),
    ) -> (Result<ProviderResponse<'a>, ServiceError>, bool) {
        let deadline = self.relay.deadline();
        // Boxed, since most requests are answered by the first service.
        let mut outcome: Option<Box<Result<ProviderResponse<'a>, ServiceError>>> = None;
        for service in services {
            if outcome.is_some() && Instant::now() >= deadline {
                break;
            }
            let translation = match translation.take() {
                None if service.dialect != request.dialect => {
                    match Box::pin(request.translate(service)).await {
                        Ok(translation) => Some(translation),
                        // The outcome of the service before says more.
                        Err(_untranslatable) => continue,
                    }
                }
                translation => translation,
            };
            let path = match request.path(service) {
                Ok(path) => path,
                Err(error) => return (Err(error), false),
            };
            let translated = translation.as_ref().map(Translation::payload);
            let outgoing = request.outgoing(service, (&path, translated), admitted, deadline);
            if let Some(Ok(failed)) = outcome.as_deref_mut() {
                failed.call.abandon();
            }
            if let Some(hold) = &mut hold {
                hold.note_call_at(self.budgets.price(&request.called_model(service)));
            }
            let mut call = record.calls.begin(&service.service_id);
            let sent = self.relay.send(outgoing).await;
            match &sent {
                Ok((parts, _)) => call.note_status(parts.status),
                // The provider is not to blame.
                Err(_) if request.has_failed() => call.abandon(),
                Err(error) => call.fail(error),
            }
            let (status, is_retryable) = match &sent {
                Ok((parts, _)) => (parts.status, is_retryable_status(parts.status.as_u16())),
                // The outcome of the service before says more.
                Err(error) if outcome.is_some() && error.is_before_call() => continue,
                Err(error) => {
                    let is_retryable = error.retryable_status().is_some();
                    (Failure::from(error.clone()).status, is_retryable)
                }
            };
            record.attempts.record(&service.service_id, status.as_u16());
            record.last = Some(&service.service_id);
            let called = sent.map(|(parts, body)| ProviderResponse {
                service,
                parts,
                body,
                call,
                answers: translation.map(|translation| translation.answers),
            });
            // What was sent of an upload cannot be sent again.
            if !is_retryable || request.upload.is_some() {
                let is_read_first = is_read_first(&called, request.operation);
                return (called, is_read_first);
            }
            outcome = Some(Box::new(called));
        }
        let called = match outcome {
            Some(called) => *called,
            // Not expected: there is always a first service.
            None => Err(ServiceError::Internal("no service to call".into())),
        };
        let is_read_first = is_read_first(&called, request.operation);
        (called, is_read_first)
    }

    /// Creates the response, whose body comes as the provider sends it.
    fn respond(
        &self,
        called: Result<ProviderResponse<'_>, ServiceError>,
        (request, log): (&ProxiedRequest<'_>, &mut AccessLog),
        hold: Option<&mut BudgetHold>,
    ) -> Result<Response<ResponseBody>, Failure> {
        match called {
            Ok(provided) => {
                drop(log.take_reservation());
                Ok(self.pass_on(provided, request, log)?)
            }
            Err(error) => {
                if let Some(hold) = hold {
                    settle_failure(hold, &error);
                }
                Err(request.failure(error))
            }
        }
    }

    /// Creates the response to what is [read first](is_read_first).
    async fn read_and_respond(
        &self,
        called: Result<ProviderResponse<'_>, ServiceError>,
        (request, log): (&ProxiedRequest<'_>, &mut AccessLog),
        hold: Option<&mut BudgetHold>,
    ) -> Result<Response<ResponseBody>, Failure> {
        let ProviderResponse {
            service,
            parts,
            body,
            call,
            answers,
        } = called?;
        drop(log.take_reservation());
        let Some(answers) = answers else {
            let memory = &request.memory;
            return Ok(batch_results::respond((parts, body), call, memory, log).await?);
        };
        let answer = TranslatedAnswer {
            service,
            answers,
            parts,
            body,
            call,
        };
        let response = self.respond_translated(answer, (request, log), hold);
        Ok(response.await?)
    }

    /// Creates the response, with the provider's status, fields and bytes.
    pub(super) fn pass_on(
        &self,
        provided: ProviderResponse<'_>,
        request: &ProxiedRequest<'_>,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, ServiceError> {
        let ProviderResponse {
            service,
            parts,
            body,
            call,
            answers: _,
        } = provided;
        let Some(dialect) = service.provider.dialect(request.dialect) else {
            return Err(forgotten_dialect());
        };
        let kind = match request.operation.resource() {
            Some(_) => BodyKind::Opaque,
            None => BodyKind::of(&parts),
        };
        let provided = (body, call);
        let usage_chunk = match request.usage_request.addition(&service.provider) {
            Some(_) => UsageChunk::Drop,
            None => UsageChunk::Forward,
        };
        let usage = (dialect, usage_chunk);
        let body = self.passthrough(provided, kind, &parts, usage, (request, log.request_id()));
        let mut response = response_of(parts, ResponseBody::passthrough(body), log);
        if kind == BodyKind::EventStream {
            write_stream_headers(response.headers_mut());
        }
        Ok(response)
    }

    fn passthrough(
        &self,
        (body, call): (aisbreaker_egress::Body, CallInProgress),
        kind: BodyKind,
        parts: &response::Parts,
        (dialect, usage_chunk): (&DialectConfig, UsageChunk),
        (request, request_id): (&ProxiedRequest<'_>, &HeaderValue),
    ) -> Box<PassthroughBody> {
        let usage = Arc::clone(&dialect.usage);
        let memory = (Arc::clone(&request.memory), call);
        match kind {
            BodyKind::EventStream | BodyKind::Unlabelled => {
                let options = StreamOptions {
                    dialect: request.dialect,
                    kind: request.operation.stream_kind(),
                    body_end: if aisbreaker_egress::is_framed(parts) {
                        BodyEnd::Framed
                    } else {
                        BodyEnd::CloseDelimited
                    },
                    keep_alive: self.keep_alive,
                    usage,
                    usage_chunk,
                    request_id: request_id.clone(),
                };
                if kind == BodyKind::EventStream {
                    PassthroughBody::events(body, options, memory)
                } else {
                    PassthroughBody::unlabelled(body, options, memory)
                }
            }
            BodyKind::Json => PassthroughBody::json(body, usage, memory),
            BodyKind::Opaque => PassthroughBody::opaque(body, usage, memory),
        }
    }
}

/// Which services were called for a request.
struct CallRecord<'a> {
    attempts: &'a Attempts,
    calls: &'a ProviderCalls,
    /// The last one that was called.
    last: Option<&'a ServiceId>,
}

/// Returns whether the body of a provider's response is read before the client gets a response.
fn is_read_first(
    called: &Result<ProviderResponse<'_>, ServiceError>,
    operation: Operation,
) -> bool {
    called.as_ref().is_ok_and(|provided| {
        provided.answers.is_some() || batch_results::are_described(operation, &provided.parts)
    })
}

/// Has a response settle what is reserved for it. One that the provider refused has cost nothing.
fn hold_budget(mut hold: Box<BudgetHold>, response: &mut Response<ResponseBody>) {
    if is_error(response.status()) {
        let _settled = hold.settle(Outcome::Refused);
    } else {
        response.body_mut().hold_budget(hold);
    }
}
