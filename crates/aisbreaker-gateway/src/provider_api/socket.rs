//! WebSockets to providers: the handshake takes the stages of every request, and is charged once.
//!
//! Messages of `/v1/realtime` are not read. Those of `/v1/responses` are, for their models (`requests`);
//! where that has no WebSocket, the answer is 426, and clients go on over HTTP (`http_only`). A key is
//! refused whose limits would have to be read from messages: one with budgets, one for single models, or
//! one with a limit of the size of bodies.

mod http_only;
mod query;
mod requests;

use std::sync::{Arc, atomic::AtomicBool};

use aisbreaker_egress::{Upgrade, UpgradedStream};
use aisbreaker_services::{CallInProgress, Dialect, ServiceError};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header::HeaderValue, request::Parts, response};

use self::{query::QueryModel, requests::Sender};
use super::{
    ProviderApi,
    error::ProviderApiError,
    headers,
    provider_response::ProviderResponse,
    proxied_request::ProxiedRequest,
    resolve::{ResolvedService, Resolver, Unresolved},
    usage_request::UsageRequest,
};
use crate::{
    authenticate::Caller,
    failure::Failure,
    in_flight::InFlight,
    memory::MemoryHold,
    pipeline::{Admitted, Pipeline},
    request::{
        credentials::is_key,
        error::RequestError,
        head::{Endpoints, Head, Surface},
        websocket::{Handshake, WEBSOCKET},
    },
    response::ResponseBody,
    restrictions::KeyUse,
    route::operation::Operation,
    surfaces::Surfaces,
    telemetry::access_log::AccessLog,
    tunnel::{FILTER_BYTES, KeyInUse, RequestFilter, TUNNEL_BYTES, Tunnel, TunnelLimits},
};

/// What a restriction to single models is said to refuse.
const ANY_MODEL: &str = "a WebSocket, whose messages can name another model";

/// A request for a WebSocket.
pub(crate) struct SocketRequest<'a> {
    pub(crate) surfaces: &'a Arc<Surfaces>,
    pub(crate) operation: Operation,
    pub(crate) parts: &'a Parts,
    pub(crate) endpoints: Endpoints,
    pub(crate) handshake: Result<Handshake, RequestError>,
    pub(crate) in_flight: &'a InFlight,
}

/// Why a key opens no WebSocket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SocketRefusal {
    Budgets,
    /// The key limits the size of bodies.
    BodyLimit,
    /// The entry of the key for the service names a model.
    SingleModels,
    /// Models in messages could be those of several services.
    SeveralServices,
}

/// A handshake whose caller may open the WebSocket.
struct Opening<'a> {
    handshake: Handshake,
    request: ProxiedRequest<'a>,
    model: Option<QueryModel>,
    memory: MemoryHold,
}

/// A connection that the provider has switched.
struct Switched {
    provider: UpgradedStream,
    call: CallInProgress,
}

impl ProviderApi {
    /// Opens a WebSocket, or has the client go on over HTTP.
    pub(crate) async fn open_socket(
        &self,
        pipeline: &Pipeline,
        request: SocketRequest<'_>,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        let operation = request.operation;
        let outcome = Box::pin(self.try_to_open(pipeline, request, log)).await;
        if operation == Operation::Responses {
            http_only::or_http(outcome)
        } else {
            outcome
        }
    }

    /// Takes the handshake of a client through all stages, and shakes hands with the provider.
    async fn try_to_open(
        &self,
        pipeline: &Pipeline,
        request: SocketRequest<'_>,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        let SocketRequest {
            surfaces,
            operation,
            parts,
            endpoints,
            handshake,
            in_flight,
        } = request;
        let mut handshake = handshake?;
        let mut model = None;
        if reads_messages(operation) {
            handshake.leave_out_extensions();
        } else {
            model = QueryModel::of(parts.uri.query().unwrap_or_default())?;
        }
        let surface = Surface::Provider {
            dialect: Dialect::OpenAi,
            content: None,
        };
        let mut head = Head::read(parts, endpoints, surface)?;
        head.authorization = handshake.authorization(head.authorization, &parts.headers);
        let memory = pipeline.memory(&head);
        let authenticated = pipeline.authenticate(head, log)?;
        let permitted = authenticated.permit(KeyUse::of(operation, &parts.method))?;
        judge_key(permitted.caller())?;
        let service = self.socket_service(operation, model.as_ref(), permitted.caller());
        // What else is wrong with a request is found once it is paid for.
        let service = match service {
            Err(NoSocket::Refused(failure)) => return Err(*failure),
            Err(NoSocket::Failed(failure)) => Err(*failure),
            Ok(service) => Ok(service),
        };
        let mut hold = memory.empty_hold();
        let filter_bytes = if reads_messages(operation) {
            FILTER_BYTES
        } else {
            0
        };
        hold.resize(TUNNEL_BYTES + filter_bytes)
            .map_err(ServiceError::from)?;
        let admitted = pipeline.admit(permitted, log).await?;
        let service = match service {
            Ok(service) => service,
            Err(failure) => return admitted.report_beside_provider(Err(failure)),
        };
        let opening = Opening::new(operation, (parts, handshake, model), hold, log);
        let opened = self.shake_hands(&opening, &service, &admitted, log).await;
        let (response, switched) = match opened {
            Ok((response, switched)) => (Ok(response), switched),
            Err(failure) => (Err(failure), None),
        };
        let mut response = admitted.report_beside_provider(response)?;
        if let Some(switched) = switched {
            let shared = (surfaces, in_flight);
            let tunnel = self.tunnel(shared, opening, (service, switched), admitted);
            *response.body_mut() = ResponseBody::tunnel(Box::new(tunnel));
        }
        Ok(response)
    }

    /// Joins an open WebSocket with what it is served by.
    fn tunnel(
        &self,
        (surfaces, in_flight): (&Arc<Surfaces>, &InFlight),
        opening: Opening<'_>,
        (service, switched): (ResolvedService, Switched),
        admitted: Admitted,
    ) -> Tunnel {
        let pipeline = &surfaces.pipeline;
        let client = admitted.client();
        let (caller, _permit) = admitted.into_parts();
        let caller = Arc::new(caller);
        let key = KeyInUse {
            caller: Arc::clone(&caller),
            surfaces: Arc::clone(surfaces),
        };
        let requests = reads_messages(opening.request.operation).then(|| {
            let judge = requests::judge(Sender {
                surfaces: Arc::clone(surfaces),
                caller,
                client,
                service_id: service.service_id,
                has_paid: AtomicBool::new(true),
            });
            let hold = opening.memory.memory().empty_hold();
            let limits = pipeline.body_limits;
            RequestFilter::new(judge, (limits.max_bytes, limits.timeout), hold)
        });
        let times = (self.websockets.idle, self.websockets.lifetime);
        Tunnel {
            provider: switched.provider,
            limits: TunnelLimits::new(times, key, pipeline.clock.wall()),
            in_flight: in_flight.clone(),
            call: switched.call,
            requests,
            _memory: opening.memory,
        }
    }

    /// Finds the service of a WebSocket, of which the key must have every model.
    fn socket_service(
        &self,
        operation: Operation,
        model: Option<&QueryModel>,
        caller: &Caller,
    ) -> Result<ResolvedService, NoSocket> {
        let name = model.map(|model| model.name.as_str());
        if name.is_some_and(is_key) {
            return Err(ProviderApiError::ModelIsKey.into());
        }
        let providers = self.relay.providers();
        let resolver = Resolver::new(providers, caller, Dialect::OpenAi, operation)
            .with_other_models(Some(ANY_MODEL));
        let mut services = match resolver.resolve(name) {
            Ok(services) => services,
            Err(restricted @ (Unresolved::Restricted { .. } | Unresolved::Bypass(_))) => {
                let failure = Failure::from(ProviderApiError::from(restricted));
                return Err(NoSocket::Refused(Box::new(failure)));
            }
            Err(none @ Unresolved::NoService(_)) => {
                return Err(ProviderApiError::from(none).into());
            }
        };
        // A conversation stays with one provider, so there are no fallbacks.
        let service = services.swap_remove(0);
        let refusal = if !resolver.has_whole(&service) {
            SocketRefusal::SingleModels
        } else if reads_messages(operation)
            && (!caller.model_aliases.is_empty() || resolver.all().len() > 1)
        {
            SocketRefusal::SeveralServices
        } else {
            return Ok(service);
        };
        Err(NoSocket::Refused(Box::new(refusal.into())))
    }

    /// Shakes hands with the provider. Returns the response for the client, and the connection if the
    /// provider has switched it.
    async fn shake_hands(
        &self,
        opening: &Opening<'_>,
        service: &ResolvedService,
        admitted: &Admitted,
        log: &mut AccessLog,
    ) -> Result<(Response<ResponseBody>, Option<Switched>), Failure> {
        let Opening {
            handshake,
            request,
            model,
            ..
        } = opening;
        // Refuses a key in the query.
        let _none = request.requested_model()?;
        log.set_service(&service.service_id);
        let path = request.path(service).map_err(ProviderApiError::from)?;
        let mut forwarded =
            request.outgoing(service, (&path, None), admitted, self.relay.deadline());
        let outgoing = &mut forwarded.outgoing;
        if let (Some(model), Some(engine)) = (model, &service.engine) {
            outgoing.query = outgoing
                .query
                .as_deref()
                .map(|query| model.replace(query, engine));
        }
        handshake.write_request(&mut outgoing.headers);
        let mut call = log.record_provider_calls().begin(&service.service_id);
        let answer = match self.relay.upgrade(forwarded, WEBSOCKET).await {
            Ok(answer) => answer,
            Err(error) => {
                call.fail(&error);
                return Err(ProviderApiError::from(error).into());
            }
        };
        match answer {
            Upgrade::Switched(parts, provider) => {
                let response = match switched(handshake, parts) {
                    Ok(response) => response,
                    Err(error) => {
                        call.fail(&error);
                        return Err(error.into());
                    }
                };
                call.note_content();
                Ok((response, Some(Switched { provider, call })))
            }
            Upgrade::Refused(response) => {
                let (parts, body) = response.into_parts();
                call.note_status(parts.status);
                if parts.status.is_success() {
                    let error = not_switched(parts.status);
                    call.fail(&error);
                    return Err(error.into());
                }
                let provided = ProviderResponse {
                    service,
                    parts,
                    body,
                    call,
                    answers: None,
                };
                Ok((self.pass_on(provided, request, log)?, None))
            }
        }
    }
}

impl<'a> Opening<'a> {
    fn new(
        operation: Operation,
        (parts, handshake, model): (&'a Parts, Handshake, Option<QueryModel>),
        memory: MemoryHold,
        log: &AccessLog,
    ) -> Self {
        Self {
            handshake,
            model,
            request: ProxiedRequest {
                operation,
                dialect: Dialect::OpenAi,
                parts,
                body: Bytes::new(),
                upload: None,
                was_coded: false,
                model: None,
                demand: None,
                usage_request: UsageRequest::AsSent,
                memory: Arc::clone(memory.memory()),
                trace: log.trace(),
            },
            memory,
        }
    }
}

/// Why no WebSocket can be opened.
enum NoSocket {
    /// A restriction of the key. It costs nothing.
    Refused(Box<Failure>),
    Failed(Box<Failure>),
}

impl From<ProviderApiError> for NoSocket {
    fn from(error: ProviderApiError) -> Self {
        Self::Failed(Box::new(error.into()))
    }
}

/// Returns whether each message is a request by itself.
fn reads_messages(operation: Operation) -> bool {
    operation == Operation::Responses
}

/// Refuses a key whose limits hold for bodies, and so not for messages that nobody reads.
fn judge_key(caller: &Caller) -> Result<(), SocketRefusal> {
    if caller.has_budgets() {
        return Err(SocketRefusal::Budgets);
    }
    if caller.restrictions.max_body_bytes().is_some() {
        return Err(SocketRefusal::BodyLimit);
    }
    Ok(())
}

/// Creates the response that switches the client's connection as the provider's was.
fn switched(
    handshake: &Handshake,
    parts: response::Parts,
) -> Result<Response<ResponseBody>, ServiceError> {
    let mut completed = HeaderMap::new();
    if handshake
        .complete_answer(&parts.headers, &mut completed)
        .is_err()
    {
        let text = "the service's answer to the handshake of a WebSocket is not valid";
        return Err(ServiceError::BadAnswer(text.into()));
    }
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    *headers = headers::for_client(parts.headers);
    headers.extend(completed);
    headers.insert(
        http::header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("*"),
    );
    Ok(response)
}

fn not_switched(status: StatusCode) -> ServiceError {
    let code = status.as_u16();
    let text = format!(
        "the service answered the handshake of a WebSocket with status {code}: it has none at this path"
    );
    ServiceError::BadAnswer(text.into())
}
