//! Calls other services when one fails: those that the caller's key names as fallbacks, one after
//! the other, until an answer begins or the deadline has passed.

use std::vec;

use aisbreaker_api::ServiceId;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use super::{Call, EventStream, Registry, Reply};
use crate::error::ServiceError;

/// The status of an answer that has begun.
const OK: u16 = 200;

/// Calls the service of `call`, and the fallbacks if it fails.
pub(super) async fn call(
    registry: Registry,
    call: Call,
    fallbacks: Vec<ServiceId>,
    deadline: Instant,
) -> Result<Reply, ServiceError> {
    let is_stream = call.request.stream;
    let outcome = registry.call_one(call.clone()).await;
    let fallbacks = Fallbacks {
        registry,
        call,
        remaining: fallbacks.into_iter(),
        deadline,
    };
    match outcome {
        Ok(Reply::Stream(events)) if is_stream => Ok(Reply::Stream(fallbacks.stream(events))),
        outcome => fallbacks.reply(outcome).await,
    }
}

/// A call, and the services that may still be tried for it.
struct Fallbacks {
    registry: Registry,
    /// The call as it was made last.
    call: Call,
    remaining: vec::IntoIter<ServiceId>,
    deadline: Instant,
}

impl Fallbacks {
    /// Returns the first outcome that no fallback can improve on.
    async fn reply(
        mut self,
        mut outcome: Result<Reply, ServiceError>,
    ) -> Result<Reply, ServiceError> {
        loop {
            let failure = match outcome {
                Ok(reply) => {
                    self.record_attempt(OK);
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            let Some(next) = self.call_next(&failure).await else {
                return Err(self.give_up(failure));
            };
            outcome = next;
        }
    }

    /// Returns the events of the first service whose stream does not begin with a failure.
    fn stream(self, events: EventStream) -> EventStream {
        let events = stream::once(self.begin_stream(events)).try_flatten();
        Box::pin(events.fuse())
    }

    async fn begin_stream(mut self, mut events: EventStream) -> Result<EventStream, ServiceError> {
        loop {
            let failure = match events.next().await {
                Some(Err(failure)) => failure,
                first => {
                    self.record_attempt(OK);
                    return Ok(Box::pin(stream::iter(first).chain(events)));
                }
            };
            let Some(next) = self.call_next(&failure).await else {
                return Err(self.give_up(failure));
            };
            events = match next {
                Ok(reply) => reply.into_events(),
                Err(failure) => Box::pin(stream::iter([Err(failure)])),
            };
        }
    }

    /// Calls the next fallback that can be called at all.
    ///
    /// Returns `None` when the failure is not worth a retry, no fallback is left, or the deadline
    /// has passed.
    async fn call_next(&mut self, failure: &ServiceError) -> Option<Result<Reply, ServiceError>> {
        let status = failure.retryable_status()?;
        let failed_id = self.call.service_id.clone();
        while Instant::now() < self.deadline
            && let Some(id) = self.remaining.next()
        {
            let outcome = self.call_service(id).await;
            if matches!(&outcome, Err(error) if error.is_before_call()) {
                continue;
            }
            self.call.attempts.record(&failed_id, status);
            return Some(outcome);
        }
        self.call.service_id = failed_id;
        None
    }

    async fn call_service(&mut self, id: ServiceId) -> Result<Reply, ServiceError> {
        // The caller's URL is meant for the service that the caller named.
        self.call.service.url = None;
        self.call.service.service_id = id.as_str().to_owned();
        self.call.service_id = id;
        let reply = self.registry.call_one(self.call.clone());
        match timeout_at(self.deadline, reply).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(ServiceError::Timeout(
                "the services took too long to answer".into(),
            )),
        }
    }

    /// Records the last attempt, unless its failure was not worth a retry.
    fn give_up(self, failure: ServiceError) -> ServiceError {
        if let Some(status) = failure.retryable_status() {
            self.record_attempt(status);
        }
        failure
    }

    fn record_attempt(&self, status: u16) {
        self.call.attempts.record(&self.call.service_id, status);
    }
}
