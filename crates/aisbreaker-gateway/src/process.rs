//! The resolve and call stages of `POST /api/v1/process`.

use std::{panic::AssertUnwindSafe, sync::Arc};

use aisbreaker_api::ProcessCall;
use aisbreaker_services::{
    Attempts, Call, Event, EventStream, Registry, Reply, ServiceError, Tokens,
};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};

use crate::{
    admit::Admission, answer, authenticate::Caller, body::ResponseBody, events::EventBytes,
    record::Record, shares::Share,
};

/// What was tried before the answer.
const ATTEMPTS: HeaderName = HeaderName::from_static("x-aisbreaker-attempts");
/// Tells nginx not to hold events back.
pub(crate) const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A caller whose request was charged to its quotas.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    pub(crate) admission: Admission,
}

/// A call that is read, and how it came.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) call: ProcessCall,
    /// How many AIsBreaker servers it has passed.
    pub(crate) hops: u8,
    /// What is collected and sent for the call is held of this.
    pub(crate) share: Arc<Share>,
}

/// Calls the service. Errors found before a stream begins are returned here.
pub(crate) async fn process(
    incoming: Incoming,
    admitted: Admitted,
    registry: &Registry,
    record: &mut Record,
) -> (Result<Response<ResponseBody>, ServiceError>, Admission) {
    let Admitted { caller, admission } = admitted;
    (
        call_service(incoming, caller, registry, record).await,
        admission,
    )
}

async fn call_service(
    Incoming { call, hops, share }: Incoming,
    caller: Caller,
    registry: &Registry,
    record: &mut Record,
) -> Result<Response<ResponseBody>, ServiceError> {
    let is_stream = call.request.stream;
    let call = Call::new(
        call.service,
        call.request,
        Arc::new(caller.credentials),
        registry.clone(),
    )?
    .with_hops(hops)
    .with_budget(share.budget().clone());
    registry.find(&call.service_id)?;
    record.service(call.service_id.as_str());
    record.attempts(call.attempts.clone());
    // A service is called inside the future, so that a panic before its own future begins is caught
    // as well.
    let answer = AssertUnwindSafe(async {
        answer(registry.call(call).await?, is_stream, share, record).await
    });
    // What the panic says may repeat a secret; the place of it is told by whoever has set a hook.
    answer
        .catch_unwind()
        .await
        .unwrap_or_else(|_panic| Err(panicked()))
}

/// Says in an answer what was tried, where there was more than one service to be called.
pub(crate) fn tell_attempts(attempts: &Attempts, headers: &mut HeaderMap) {
    if let Some(text) = attempts.to_structured_list()
        && let Ok(value) = HeaderValue::try_from(text)
    {
        headers.insert(ATTEMPTS, value);
    }
}

/// What becomes of a call whose service panicked.
pub(crate) fn panicked() -> ServiceError {
    ServiceError::Internal("the service panicked".into())
}

async fn answer(
    reply: Reply,
    is_stream: bool,
    share: Arc<Share>,
    record: &mut Record,
) -> Result<Response<ResponseBody>, ServiceError> {
    match (reply, is_stream) {
        (Reply::Final(response), false) => {
            record.tokens(Tokens::of(&response.usage));
            Ok(answer::json(StatusCode::OK, &response))
        }
        (Reply::Final(response), true) => Ok(event_stream(
            stream::iter([Ok(Event::Final(response))]).boxed(),
            share,
        )),
        (Reply::Stream(events), true) => Ok(event_stream(events, share)),
        (Reply::Stream(events), false) => {
            let response = last(events).await?;
            record.tokens(Tokens::of(&response.usage));
            Ok(answer::json(StatusCode::OK, &response))
        }
        (other, _) => Err(ServiceError::Internal(
            format!("unknown kind of reply: {other:?}").into(),
        )),
    }
}

fn event_stream(events: EventStream, share: Arc<Share>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::events(EventBytes::new(events, share)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// The final answer of a service that streams although nobody asked it to.
async fn last(mut events: EventStream) -> Result<aisbreaker_api::Response, ServiceError> {
    while let Some(event) = events.next().await {
        if let Event::Final(response) = event? {
            return Ok(response);
        }
    }
    Err(ServiceError::BadAnswer(
        "the service ended without a final answer".into(),
    ))
}
