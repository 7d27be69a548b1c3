//! The providers' own APIs, below `/v1`: a request is forwarded in the provider's protocol.
//!
//! The bytes stay as they came. Only four things change: the credential, model aliases, hop-by-hop
//! headers, and cookies (removed). For a key with budgets a fifth may: the usage of a stream is asked
//! for. Of responses, one thing changes: where the results of a batch are.
//!
//! - `resolve` finds the services to call;
//! - `model` finds and replaces the model in a body;
//! - `headers` filters header fields in both directions;
//! - `proxied_request` is a request to forward, with what each service gets of it;
//! - `spending` reserves what a request may cost;
//! - `socket` opens a WebSocket;
//! - `models` lists the models of all services;
//! - `upload` passes opaque content on as it arrives;
//! - `batch_results` has the results of batches fetched from here;
//! - `usage_request` asks for the usage of a stream that is charged for;
//! - `translate` has requests and answers translated, where a provider speaks the other dialect and
//!   the key or the operator allows it.

mod batch_results;
mod body_kind;
pub(crate) mod error;
mod forward;
mod headers;
pub(crate) mod model;
mod models;
mod provider_body;
mod provider_response;
mod proxied_request;
pub(crate) mod resolve;
pub(crate) mod socket;
mod spending;
mod translate;
mod upload;
mod usage_request;

use std::{sync::Arc, time::Duration};

use aisbreaker_api::InvalidRequest;
use aisbreaker_services::{Dialect, Relay};
use bytes::Bytes;
use http::{Method, Response, header::CONTENT_TYPE, request::Parts};
use http_body::Body;

pub(crate) use self::socket::SocketRequest;
use self::{
    model::{model_and_stream_in, model_in},
    models::ModelListCache,
    spending::obeyed_caps,
    usage_request::{UsageRequest, wants_usage},
};
pub use self::{models::ModelListQuery, proxied_request::ProxiedRequest};
use crate::{
    budgets::{
        Budgets,
        demand::{Demand, ObeyedCaps},
    },
    failure::Failure,
    memory::ClientMemory,
    pipeline::{Admitted, Permitted, Pipeline},
    request::{
        body::ReceivedBody,
        head::{ContentFormat, Endpoints, Surface},
    },
    response::{ResponseBody, hold_memory},
    restrictions::KeyUse,
    route::operation::{Operation, OperationContent},
    telemetry::access_log::AccessLog,
};

/// The surface of the providers' own APIs.
#[derive(Debug)]
pub struct ProviderApi {
    relay: Relay,
    model_lists: ModelListCache,
    /// The idle time of a stream after which a keep-alive is sent.
    keep_alive: Duration,
    budgets: Arc<Budgets>,
    websockets: WebSocketTimes,
}

/// How long WebSockets last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WebSocketTimes {
    /// Without a byte.
    pub(crate) idle: Duration,
    pub(crate) lifetime: Duration,
}

/// A request for an operation, as its route knows it.
pub(crate) struct OperationRequest<'a, B> {
    pub(crate) operation: Operation,
    pub(crate) dialect: Dialect,
    pub(crate) parts: &'a Parts,
    pub(crate) endpoints: Endpoints,
    pub(crate) body: B,
}

/// A request to forward whose body is received, but not parsed.
struct UnparsedRequest<'a> {
    operation: Operation,
    dialect: Dialect,
    parts: &'a Parts,
    format: Option<ContentFormat>,
    body: ReceivedBody,
    /// Whether a stream is asked for its usage.
    wants_usage: bool,
    /// The caps that the operation obeys, if it may cost something of the budgets of its key.
    obeyed_caps: Option<ObeyedCaps>,
    memory: Arc<ClientMemory>,
}

impl ProviderApi {
    pub(crate) fn new(
        relay: Relay,
        keep_alive: Duration,
        budgets: Arc<Budgets>,
        websockets: WebSocketTimes,
    ) -> Self {
        Self {
            relay,
            model_lists: ModelListCache::default(),
            keep_alive,
            budgets,
            websockets,
        }
    }

    /// Takes a request through all stages. Every request is paid for before its body is parsed,
    /// unless its key is restricted to services: then a body that is cheap to parse is judged first.
    pub(crate) async fn serve<B: Body<Data = Bytes> + Send + 'static>(
        &self,
        pipeline: &Pipeline,
        request: OperationRequest<'_, B>,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        let OperationRequest {
            operation,
            dialect,
            parts,
            endpoints,
            body,
        } = request;
        let content = if parts.method == Method::POST {
            Some(operation.content())
        } else {
            None
        };
        let surface = Surface::Provider { dialect, content };
        let (head, memory) = pipeline.read_head(parts, endpoints, surface)?;
        let format = head.content.format;
        if content == Some(OperationContent::Opaque) {
            let request = ProxiedRequest {
                operation,
                dialect,
                parts,
                body: Bytes::new(),
                upload: None,
                was_coded: false,
                model: None,
                demand: None,
                usage_request: UsageRequest::AsSent,
                memory,
                trace: log.trace(),
            };
            // Boxed, since most requests are no uploads.
            return Box::pin(self.serve_upload(pipeline, (request, head), body, log)).await;
        }
        let request = (head, KeyUse::of(operation, &parts.method));
        let received = pipeline.permit_and_receive(request, body, &memory, log);
        let (permitted, body) = received.await?;
        let permitted = permitted?;
        if operation == Operation::Models {
            let admitted = pipeline.admit(permitted, log).await?;
            let now = pipeline.clock.monotonic();
            let query = ModelListQuery {
                dialect,
                memory,
                now,
                headers: &parts.headers,
                calls: log.record_provider_calls(),
                trace: log.trace(),
            };
            return self.list_models(query, admitted, log).await;
        }
        let request = (operation, dialect, parts, format);
        let (request, permitted) = UnparsedRequest::new(request, body, permitted, memory);
        self.admit_and_forward(pipeline, request, permitted, log)
            .await
    }

    /// Charges and forwards a permitted request.
    #[expect(
        clippy::manual_async_fn,
        reason = "the future of an async fn holds what it is given twice"
    )]
    fn admit_and_forward<'a>(
        &'a self,
        pipeline: &'a Pipeline,
        request: UnparsedRequest<'a>,
        permitted: Permitted,
        log: &'a mut AccessLog,
    ) -> impl Future<Output = Result<Response<ResponseBody>, Failure>> + Send + 'a {
        async move {
            let is_restricted = permitted.caller().credentials.restrictions().is_some();
            let (request, admitted) = if is_restricted && !request.body.is_costly() {
                let request = request.parse(log).await?;
                self.judge(&request, permitted.caller())?;
                (request, pipeline.admit(permitted, log).await?)
            } else {
                let admitted = pipeline.admit(permitted, log).await?;
                match request.parse(log).await {
                    Ok(request) => (request, admitted),
                    Err(failure) => return admitted.report_beside_provider(Err(failure)),
                }
            };
            self.forward(&request, admitted, log).await
        }
    }

    /// Lists the models of all services that an admitted caller can use.
    ///
    /// # Errors
    /// Status 404 if no service can be listed, and the error of a service if none answers.
    pub async fn list_models(
        &self,
        query: ModelListQuery<'_>,
        admitted: Admitted,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        log.hold_request_memory(query.memory.empty_hold());
        let outcome = match self.model_list(&query, &admitted).await {
            Ok(response) => hold_memory(response, log),
            Err(error) => Err(error.into()),
        };
        admitted.report_beside_provider(outcome)
    }
}

impl<'a> UnparsedRequest<'a> {
    /// Creates the request of a caller, who is returned: a future that lends the caller would hold the
    /// place for as long as it lives.
    fn new(
        (operation, dialect, parts, format): (Operation, Dialect, &'a Parts, Option<ContentFormat>),
        body: ReceivedBody,
        permitted: Permitted,
        memory: Arc<ClientMemory>,
    ) -> (Self, Permitted) {
        let caller = permitted.caller();
        let request = Self {
            operation,
            dialect,
            parts,
            format,
            body,
            wants_usage: wants_usage(caller, operation),
            obeyed_caps: obeyed_caps(operation).filter(|_caps| caller.has_budgets()),
            memory,
        };
        (request, permitted)
    }

    /// Decodes the body, and finds the model in it, and where to ask for the usage of a stream.
    async fn parse(self, log: &mut AccessLog) -> Result<ProxiedRequest<'a>, Failure> {
        let was_coded = self.body.is_coded();
        let may_be_empty = self.operation.content() == OperationContent::JsonOrEmpty;
        let (wants_usage, obeyed_caps) = (self.wants_usage, self.obeyed_caps);
        let (model, stream, demand, body) = match self.format {
            Some(format) if !(may_be_empty && self.body.is_empty()) => {
                // Only a form needs it, for the boundary between its parts.
                let content_type = match format {
                    ContentFormat::Multipart => self.parts.headers.get(CONTENT_TYPE).cloned(),
                    ContentFormat::Json | ContentFormat::UrlEncoded => None,
                };
                let parse = move |body: &Bytes| {
                    let content_type = content_type.as_ref();
                    let (model, stream) = if wants_usage {
                        model_and_stream_in(body, format, content_type)?
                    } else {
                        (model_in(body, format, content_type)?, None)
                    };
                    let demand = match obeyed_caps {
                        Some(_) if format == ContentFormat::Multipart => Some(Demand::of_form()),
                        Some(obeyed) => Some(Demand::of_json(body)?.obeying(obeyed)),
                        None => None,
                    };
                    Ok::<_, InvalidRequest>((model, stream, demand, body.clone()))
                };
                let (parsed, hold) = self.body.parse(parse).await?;
                log.hold_request_memory(hold);
                parsed
            }
            Some(_) | None => (None, None, None, Bytes::new()),
        };
        Ok(ProxiedRequest {
            operation: self.operation,
            dialect: self.dialect,
            parts: self.parts,
            body,
            upload: None,
            was_coded,
            model,
            demand,
            usage_request: stream.map_or(UsageRequest::AsSent, UsageRequest::Add),
            memory: self.memory,
            trace: log.trace(),
        })
    }
}
