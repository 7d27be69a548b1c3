//! The call and the response of one operation.

use std::{borrow::Cow, fmt, sync::Arc};

use aisbreaker_egress::{Outgoing, Payload};
use aisbreaker_services::{
    Attempts, CallInProgress, Dialect, DialectConfig, ForwardedRequest, ProviderCalls,
    ServiceError, Trace, is_retryable_status,
};
use aisbreaker_token::PREFIX;
use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode, header::ACCESS_CONTROL_EXPOSE_HEADERS, request,
    response,
};
use tokio::time::Instant;

use super::{
    ProviderApi, batch_results,
    body_kind::BodyKind,
    error::ProviderApiError,
    headers::{self, dialects},
    model::{BodyModel, replace_model},
    models,
    resolve::{ResolvedService, Resolver},
    translate::{TranslatedAnswer, Translation},
    usage_request::{UsageRequest, add_after_replaced, add_stream_options},
};
use crate::{
    authenticate::Caller,
    budgets::{
        demand::Demand,
        headers::write_budget_headers,
        hold::{BudgetHold, Outcome, settle_failure},
    },
    failure::{ErrorType, Failure},
    form_urlencoded,
    memory::ClientMemory,
    pipeline::Admitted,
    request::{credentials::is_key, upload::Upload},
    response::{
        ResponseBody,
        passthrough::{PassthroughBody, StreamOptions},
        stream_end::BodyEnd,
        usage_filter::UsageChunk,
        write_attempts, write_stream_headers,
    },
    route::{
        family::Family,
        operation::{self, Operation},
    },
    telemetry::access_log::AccessLog,
    translation::Answers,
};

/// A request to forward.
pub struct ProxiedRequest<'a> {
    pub(crate) operation: Operation,
    pub(crate) dialect: Dialect,
    pub(crate) parts: &'a request::Parts,
    pub(crate) body: Bytes,
    /// The content in place of a body, if it is passed on as it arrives.
    pub(crate) upload: Option<Upload>,
    /// Whether the body came with a content coding, which was decoded.
    pub(crate) was_coded: bool,
    /// The model that the body names.
    pub(crate) model: Option<BodyModel>,
    /// What the body shows of its cost, if its key has budgets.
    pub(crate) demand: Option<Demand>,
    pub(crate) usage_request: UsageRequest,
    /// The memory that the request and its response are held of.
    pub(crate) memory: Arc<ClientMemory>,
    pub(crate) trace: Trace,
}

/// The response of the last service that was called.
pub(super) struct ProviderResponse<'a> {
    pub(super) service: &'a ResolvedService,
    pub(super) parts: response::Parts,
    pub(super) body: aisbreaker_egress::Body,
    pub(super) call: CallInProgress,
    /// What translates the answer to a translated request.
    pub(super) answers: Option<Answers>,
}

impl ProviderApi {
    /// Forwards an admitted request, and the provider's response.
    ///
    /// # Errors
    /// Errors that occur before the provider's response, with the attempts and the state of the
    /// quotas in the headers.
    #[expect(
        clippy::manual_async_fn,
        reason = "the future of an async fn holds what it is given twice"
    )]
    pub fn forward<'a>(
        &'a self,
        request: ProxiedRequest<'a>,
        admitted: Admitted,
        log: &'a mut AccessLog,
    ) -> impl Future<Output = Result<Response<ResponseBody>, Failure>> + Send + 'a {
        async move {
            let outcome = self.call_and_respond(&request, &admitted, log).await;
            admitted.report_beside_provider(outcome)
        }
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
        let attempts = Attempts::default();
        let records = (&attempts, &calls);
        let hold = reserved.as_mut().map(|reserved| &mut *reserved.hold);
        let called = self
            .call((request, translation), &services, admitted, (records, hold))
            .await;
        if let Some(last) = attempts.last() {
            log.set_service(&last);
        }
        // A single attempt adds nothing to the status and the service.
        let reported = if services.len() > 1 {
            attempts
        } else {
            Attempts::default()
        };
        log.set_attempts(reported.clone());
        let provided = match called {
            Ok(provided) => provided,
            Err(error) => {
                if let Some(reserved) = &mut reserved {
                    settle_failure(&mut reserved.hold, &error);
                }
                let fault = request.upload.as_ref().and_then(Upload::take_fault);
                let mut failure = match fault {
                    Some(fault) => Failure::from(fault),
                    None => Failure::from(ProviderApiError::from(error)),
                };
                write_attempts(&reported, &mut failure.headers);
                return Err(failure);
            }
        };
        drop(log.take_reservation());
        let mut response = match provided.answers {
            None if batch_results::are_described(request.operation, &provided.parts) => {
                batch_results::respond(provided, &request.memory, log).await?
            }
            None => self.respond(provided, request, log)?,
            Some(answers) => {
                let answer = TranslatedAnswer {
                    service: provided.service,
                    answers,
                    parts: provided.parts,
                    body: provided.body,
                    call: provided.call,
                };
                let hold = reserved.as_mut().map(|reserved| &mut *reserved.hold);
                let response = self.respond_translated(answer, (request, log), hold);
                match Box::pin(response).await {
                    Ok(response) => response,
                    Err(error) => {
                        let mut failure = Failure::from(error);
                        write_attempts(&reported, &mut failure.headers);
                        return Err(failure);
                    }
                }
            }
        };
        write_attempts(&reported, response.headers_mut());
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
    ) -> Result<Vec<ResolvedService>, ProviderApiError> {
        let model = request.requested_model()?;
        let providers = self.relay.providers();
        let other_models = request.model.as_ref().and_then(|model| model.other_models);
        let resolver = Resolver::new(providers, caller, request.dialect, request.operation)
            .with_other_models(other_models)
            .with_family(request.family(), caller);
        Ok(resolver.resolve(model.as_deref())?)
    }

    /// Calls one service after the other until one responds well enough.
    async fn call<'a>(
        &self,
        (request, mut translation): (&ProxiedRequest<'_>, Option<Translation>),
        services: &'a [ResolvedService],
        admitted: &Admitted,
        ((attempts, calls), mut hold): ((&Attempts, &ProviderCalls), Option<&mut BudgetHold>),
    ) -> Result<ProviderResponse<'a>, ServiceError> {
        let deadline = self.relay.deadline();
        let mut outcome: Option<Result<ProviderResponse<'a>, ServiceError>> = None;
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
            let path = request.path(service)?;
            let outgoing =
                request.outgoing(service, (&path, translation.as_ref()), admitted, deadline);
            if let Some(Ok(failed)) = &mut outcome {
                failed.call.abandon();
            }
            if let Some(hold) = &mut hold {
                hold.note_call_at(self.budgets.price(&request.called_model(service)));
            }
            let mut call = calls.begin(&service.service_id);
            let sent = self.relay.send(outgoing).await;
            match &sent {
                Ok((parts, _)) => call.note_status(parts.status),
                // The provider is not to blame.
                Err(_) if request.upload.as_ref().is_some_and(Upload::has_failed) => call.abandon(),
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
            attempts.record(&service.service_id, status.as_u16());
            outcome = Some(sent.map(|(parts, body)| ProviderResponse {
                service,
                parts,
                body,
                call,
                answers: translation.map(|translation| translation.answers),
            }));
            // What was sent of an upload cannot be sent again.
            if !is_retryable || request.upload.is_some() {
                break;
            }
        }
        match outcome {
            Some(outcome) => outcome,
            // Not expected: there is always a first service.
            None => Err(ServiceError::Internal("no service to call".into())),
        }
    }

    /// Creates the response, with the provider's status, fields and bytes.
    pub(super) fn respond(
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
    ) -> PassthroughBody {
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

/// Has a response settle what is reserved for it. One that the provider refused has cost nothing.
fn hold_budget(mut hold: Box<BudgetHold>, response: &mut Response<ResponseBody>) {
    if is_error(response.status()) {
        let _settled = hold.settle(Outcome::Refused);
    } else {
        response.body_mut().hold_budget(hold);
    }
}

/// Notes what the head of a provider's response tells.
pub(super) fn note_answer(parts: &response::Parts, log: &mut AccessLog) {
    if let Some(id) = provider_request_id(parts) {
        log.set_provider_request_id(id);
    }
    if is_error(parts.status) {
        log.set_error(ErrorType::ProviderError);
    }
}

pub(super) fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// Creates the error for a service whose provider does not speak what it was chosen for, which is
/// not expected.
pub(super) fn forgotten_dialect() -> ServiceError {
    ServiceError::Internal("a provider forgot its dialect".into())
}

/// Creates a response with the provider's status and fields.
pub(super) fn response_of(
    parts: response::Parts,
    body: ResponseBody,
    log: &mut AccessLog,
) -> Response<ResponseBody> {
    note_answer(&parts, log);
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers::for_client(parts.headers);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    response
}

fn provider_request_id(parts: &response::Parts) -> Option<&HeaderValue> {
    match parts.headers.get("x-request-id") {
        Some(id) => Some(id),
        None => parts.headers.get("request-id"),
    }
}

/// Shows no header field and no content: both may hold secrets.
impl fmt::Debug for ProxiedRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxiedRequest")
            .field("operation", &self.operation)
            .field("dialect", &self.dialect)
            .finish_non_exhaustive()
    }
}

impl ProxiedRequest<'_> {
    /// Returns the family of resources that the request reaches.
    fn family(&self) -> Option<&'static Family> {
        self.operation.family(&self.parts.method)
    }

    /// Returns the model that the path or the body names.
    ///
    /// What is known by an id has the model that it was made with, whatever a body says.
    pub(super) fn requested_model(&self) -> Result<Option<String>, ProviderApiError> {
        let model = if self.operation == Operation::Model {
            Some(models::model_in_path(self.parts.uri.path())?)
        } else if self.operation.is_provider_bound() {
            None
        } else {
            self.model.as_ref().map(|model| model.name.clone())
        };
        if model.as_deref().is_some_and(is_key) {
            return Err(ProviderApiError::ModelIsKey);
        }
        if let Some(query) = self.parts.uri.query()
            && form_urlencoded::decode(query).contains(PREFIX)
        {
            return Err(ProviderApiError::KeyInQuery);
        }
        Ok(model)
    }

    /// Returns the request to one service.
    pub(super) fn outgoing<'a>(
        &'a self,
        service: &'a ResolvedService,
        (path, translation): (&'a str, Option<&Translation>),
        admitted: &'a Admitted,
        deadline: Instant,
    ) -> ForwardedRequest<'a> {
        let mut fields = headers::for_provider(&self.parts.headers, self.was_coded);
        let (query, payload) = match translation {
            None => (
                self.parts.uri.query().map(str::to_owned),
                self.payload(service),
            ),
            // A query means nothing to a provider of the other dialect.
            Some(translation) => {
                dialects::translate_request(&mut fields, &service.provider, self.dialect);
                (None, translation.payload())
            }
        };
        let model = match (&service.engine, &self.model) {
            (Some(engine), _) => Some(engine.as_str()),
            (None, model) => model.as_ref().map(|model| model.name.as_str()),
        };
        let outgoing = Outgoing::new(self.method(), fields, payload)
            .with_query(query)
            .with_budget(self.memory.budget().clone())
            .with_deadline(deadline)
            .with_observer(self.trace.call(&service.service_id, model));
        ForwardedRequest {
            service_id: &service.service_id,
            provider: &service.provider,
            dialect: service.dialect,
            path,
            credentials: &admitted.caller().credentials,
            hops: admitted.hops(),
            outgoing,
        }
    }

    /// A `HEAD` request becomes a `GET`, whose content is dropped later.
    fn method(&self) -> Method {
        if self.parts.method == Method::HEAD {
            Method::GET
        } else {
            self.parts.method.clone()
        }
    }

    /// Returns the body, with the provider's name of the model where it differs, and with
    /// `stream_options` where they are added.
    fn payload(&self, service: &ResolvedService) -> Payload {
        if let Some(upload) = &self.upload {
            return upload.payload();
        }
        let addition = self.usage_request.addition(&service.provider);
        let renamed = match (&self.model, &service.engine) {
            (Some(model), Some(engine)) => Some(replace_model(&self.body, model, engine)),
            (Some(_) | None, _) => None,
        };
        match (renamed, addition) {
            (None, None) => self.body.clone().into(),
            (Some(pieces), None) => Payload::from_pieces(pieces),
            // They are added after the model if there is one.
            (Some(pieces), Some(_)) => Payload::from_pieces(add_after_replaced(pieces)),
            (None, Some(place)) => Payload::from_pieces(add_stream_options(&self.body, place)),
        }
    }

    /// Returns the path after the base of the provider's API.
    pub(super) fn path(&self, service: &ResolvedService) -> Result<Cow<'_, str>, ServiceError> {
        if service.dialect != self.dialect {
            let operation = self.operation.counterpart();
            let path = operation.map(Operation::template).unwrap_or_default();
            return Ok(Cow::Borrowed(
                operation::strip_base(path).unwrap_or_default(),
            ));
        }
        let path = self.parts.uri.path();
        if self.operation != Operation::Model {
            let path = operation::strip_base(operation::trim_slashes(path));
            return Ok(Cow::Borrowed(path.unwrap_or_default()));
        }
        let model = match &service.engine {
            Some(engine) => Ok(engine.clone()),
            None => models::model_in_path(path),
        };
        match model {
            Ok(model) => Ok(Cow::Owned(models::path_of(&model))),
            // Not expected: the service was found by this name.
            Err(_) => Err(ServiceError::Internal("the path names no model".into())),
        }
    }
}
