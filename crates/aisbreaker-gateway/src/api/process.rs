//! `POST /api/v1/process`: calls a service of the registry.

mod spending;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use aisbreaker_api::{InvalidRequest, ProcessCall};
use aisbreaker_services::{
    Call, Event, EventStream, ProviderCalls, Providers, Registry, Reply, ReportedTokens,
    ServiceError, Tokens,
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE, request::Parts};
use http_body::Body;

use crate::{
    authenticate::Caller,
    budgets::{
        Budgets,
        demand::Demand,
        hold::{BudgetHold, Outcome, settle_failure},
    },
    failure::Failure,
    memory::ClientMemory,
    pipeline::{Admitted, Permitted, Pipeline, parse_judge_and_admit},
    request::head::{Endpoints, Head, Surface},
    response::{
        self, ResponseBody,
        events::{EventBytes, service_panicked},
        hold_memory, with_headers, write_attempts, write_stream_headers,
    },
    restrictions::KeyUse,
    telemetry::{access_line::dollars, access_log::AccessLog},
};

/// The `process` surface.
#[derive(Clone, Debug)]
pub struct ProcessApi {
    pub(crate) registry: Registry,
    /// The idle time of a stream after which a keep-alive is sent.
    pub(crate) keep_alive: Duration,
    pub(crate) budgets: Arc<Budgets>,
    /// Those whose models have prices.
    pub(crate) providers: Providers,
}

/// A request to `process`, parsed.
#[derive(Debug)]
pub struct ProcessRequest {
    pub(crate) call: ProcessCall,
    /// What the call shows of its cost, if its key has budgets.
    pub(crate) demand: Option<Demand>,
    /// The memory that the call and its response are held of.
    pub(crate) memory: Arc<ClientMemory>,
}

impl ProcessApi {
    /// Takes a request through all stages.
    pub(crate) async fn serve<B: Body<Data = Bytes>>(
        &self,
        pipeline: &Pipeline,
        (parts, endpoints): (&Parts, Endpoints),
        body: B,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        let head = Head::read(parts, endpoints, Surface::Process)?;
        let memory = pipeline.memory(&head);
        let request = (head, KeyUse::PROCESS);
        let received = pipeline.permit_and_receive(request, body, &memory, log);
        let (permitted, body) = received.await?;
        let has_budgets = permitted
            .as_ref()
            .is_ok_and(|permitted| permitted.caller().has_budgets());
        let admit = async |parsed: Option<&(ProcessCall, _)>, log: &mut AccessLog| {
            let permitted = permitted?;
            if let Some((call, _)) = parsed {
                self.judge(call, &permitted)?;
            }
            pipeline.admit(permitted, log).await
        };
        let parse = move |body: &Bytes| {
            let call = ProcessCall::from_json(body)?;
            let demand = match has_budgets {
                true => Some(spending::demand(&call)?),
                false => None,
            };
            Ok::<_, InvalidRequest>((call, demand))
        };
        let ((call, demand), admitted) = parse_judge_and_admit(body, parse, admit, log).await?;
        let request = ProcessRequest {
            call,
            demand,
            memory,
        };
        self.call(request, admitted, log).await
    }

    /// Refuses a call that the restrictions of the key do not allow before it is charged. The
    /// registry judges each call again when it is made.
    fn judge(&self, call: &ProcessCall, permitted: &Permitted) -> Result<(), ServiceError> {
        let credentials = &permitted.caller().credentials;
        if credentials.restrictions().is_none() {
            return Ok(());
        }
        let checked = self
            .registry
            .check(&call.service, &call.request, credentials);
        match checked {
            Err(refused @ ServiceError::Restricted { .. }) => Err(refused),
            // What else is wrong with a call is found when it is made.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Calls the service of an admitted request.
    ///
    /// # Errors
    /// Errors that occur before a stream begins, with the state of the quotas.
    #[expect(
        clippy::manual_async_fn,
        reason = "the future of an async fn holds what it is given twice"
    )]
    pub fn call<'a>(
        &'a self,
        request: ProcessRequest,
        admitted: Admitted,
        log: &'a mut AccessLog,
    ) -> impl Future<Output = Result<Response<ResponseBody>, Failure>> + Send + 'a {
        async move {
            let hops = admitted.hops();
            let calls = log.record_provider_calls();
            let key = admitted.caller().key.as_ref();
            let reserved = match self.budgets.accounts(key, admitted.client()) {
                // Boxed, since most calls reserve nothing.
                Some(accounts) => {
                    let reserve = self.reserve(&request, (accounts, &admitted), &calls);
                    Box::pin(reserve).await.map(Some)
                }
                None => Ok(None),
            };
            let (caller, permit) = admitted.into_parts();
            let reserved = match reserved {
                Ok(reserved) => reserved.map(|reserved| reserved.hold),
                Err(failure) => return permit.report(Err(failure)),
            };
            let call = (request, caller, hops);
            let outcome = match self.call_service(call, (calls, reserved), log).await {
                Ok(response) => hold_memory(response, log),
                Err(error) => Err(error.into()),
            };
            with_headers(permit.report(outcome), |headers| {
                // A stream begins before its service has answered, so its attempts are only logged.
                write_attempts(log.attempts(), headers);
            })
        }
    }

    #[expect(
        clippy::manual_async_fn,
        reason = "the future of an async fn holds what it is given twice"
    )]
    fn call_service<'a>(
        &'a self,
        (request, caller, hops): (ProcessRequest, Caller, u8),
        (calls, mut hold): (ProviderCalls, Option<Box<BudgetHold>>),
        log: &'a mut AccessLog,
    ) -> impl Future<Output = Result<Response<ResponseBody>, ServiceError>> + Send + 'a {
        async move {
            let ProcessRequest { call, memory, .. } = request;
            let is_stream = call.request.stream;
            let credentials = Arc::new(caller.credentials);
            let mut call = Call::new(
                call.service,
                call.request,
                credentials,
                self.registry.clone(),
            )?
            .with_hops(hops)
            .with_budget(memory.budget().clone())
            .with_trace(log.trace());
            call.provider_calls = calls;
            if let Err(error) = self.registry.check_call(&call) {
                spending::settle(hold.as_deref_mut(), Outcome::Refused);
                return Err(error);
            }
            log.set_service(&call.service_id);
            log.set_attempts(call.attempts.clone());
            call.tokens = ReportedTokens::kept();
            if is_stream {
                log.mark_stream();
            }
            if let Some(hold) = &mut hold {
                hold.note_call();
            }
            let reported = call.tokens.clone();
            let request_id = log.request_id().clone();
            // Calling inside the future catches a panic before the service's own future begins.
            let responded = AssertUnwindSafe(async {
                let tokens = reported.clone();
                let reply = self.registry.call(call).await?;
                let encode = |events| {
                    let keep_alive = self.keep_alive;
                    event_stream(EventBytes::new(
                        events, reported, keep_alive, memory, request_id,
                    ))
                };
                match (reply, is_stream) {
                    (Reply::Stream(events), true) => Ok(encode(events)),
                    (Reply::Final(response), true) => {
                        Ok(encode(stream::iter([Ok(Event::Final(response))]).boxed()))
                    }
                    (reply, _) => respond_whole(reply, (&tokens, hold.as_deref_mut()), log).await,
                }
            });
            let responded = match responded.catch_unwind().await {
                Ok(outcome) => outcome,
                Err(_panic) => Err(service_panicked()),
            };
            match (responded, hold) {
                (Ok(mut response), Some(hold)) if is_stream => {
                    response.body_mut().hold_budget(hold);
                    Ok(response)
                }
                (Err(error), Some(mut hold)) => {
                    settle_failure(&mut hold, &error);
                    Err(error)
                }
                (responded, _) => responded,
            }
        }
    }
}

async fn respond_whole(
    reply: Reply,
    (reported, hold): (&ReportedTokens, Option<&mut BudgetHold>),
    log: &mut AccessLog,
) -> Result<Response<ResponseBody>, ServiceError> {
    let mut response = match reply {
        Reply::Final(response) => response,
        Reply::Stream(events) => {
            let response = final_response(events).await;
            // The provider charges for a stream that fails, too.
            log.set_tokens(reported.get());
            response?
        }
        other => {
            let cause = format!("unknown kind of reply: {other:?}");
            return Err(ServiceError::Internal(cause.into()));
        }
    };
    let tokens = Tokens::of(&response.usage).merge(reported.get());
    log.set_tokens(tokens);
    let cost = spending::settle(hold, Outcome::Answered(tokens));
    log.set_cost(cost);
    response.usage.cost = cost.and_then(dollars);
    Ok(response::json_bytes(
        StatusCode::OK,
        response.to_json().into(),
    ))
}

fn event_stream(events: EventBytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::events(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    write_stream_headers(headers);
    response
}

/// Returns the final response of a service that streams although the request did not.
async fn final_response(mut events: EventStream) -> Result<aisbreaker_api::Response, ServiceError> {
    while let Some(event) = events.next().await {
        if let Event::Final(response) = event? {
            return Ok(response);
        }
    }
    Err(ServiceError::BadAnswer(
        "the service ended without a final answer".into(),
    ))
}
