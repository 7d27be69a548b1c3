//! Calls another service when one fails: those that the key names for that, one after the other,
//! until one of them has said something or the time is over.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use aisbreaker_api::ServiceId;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use crate::{
    error::ServiceError,
    registry::Registry,
    service::{Call, Event, EventStream, Reply},
};

/// Which services were called for one request, and with which status they answered. Clones share
/// it.
#[derive(Clone, Debug, Default)]
pub struct Attempts(Arc<Mutex<Vec<(String, u16)>>>);

impl Attempts {
    /// A service was called, and answered with this status.
    pub fn add(&self, service_id: &ServiceId, status: u16) {
        let is_shown = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
        let id = service_id.as_str().replace(|c: char| !is_shown(c), "?");
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((id, status));
    }

    /// The service that was called last.
    #[must_use]
    pub fn last(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last()
            .map(|(id, _)| id.clone())
    }

    /// All of them in order, as a list of strings with a parameter (RFC 9651 section 3.1):
    /// `"chat:openai.com/gpt-4o";status=503, "chat:groq.com/llama-3.1-8b";status=200`.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (id, status) in &*attempts {
            let separator = if text.is_empty() { "" } else { ", " };
            // Writing to a string does not fail.
            let _written = write!(text, "{separator}\"{id}\";status={status}");
        }
        (!text.is_empty()).then_some(text)
    }
}

/// Whether a status of a provider lets hope that another one does better.
#[must_use]
pub fn is_worth_another(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// The status of a failure after which another service may do better.
fn passing_status(error: &ServiceError) -> Option<u16> {
    match error {
        ServiceError::Provider { error, .. } => {
            Some(error.status_code).filter(|code| is_worth_another(*code))
        }
        ServiceError::Unreachable(_) => Some(503),
        ServiceError::Timeout(_) => Some(504),
        ServiceError::BadRequest(_)
        | ServiceError::MissingSecret { .. }
        | ServiceError::Forbidden(_)
        | ServiceError::UnknownService { .. }
        | ServiceError::BadAnswer(_)
        | ServiceError::Overloaded(_)
        | ServiceError::Internal(_) => None,
    }
}

/// The calls that are left to be made.
struct Left {
    registry: Registry,
    call: Call,
    others: Vec<ServiceId>,
    deadline: Instant,
}

/// Calls the service of `call`, and the others if it fails.
pub(crate) async fn call(
    registry: Registry,
    call: Call,
    others: Vec<ServiceId>,
    deadline: Instant,
) -> Result<Reply, ServiceError> {
    let is_stream = call.request.stream;
    let first = registry.find(&call.service_id)?;
    let outcome = first.call(call.clone()).await;
    let mut left = Left {
        registry,
        call,
        others,
        deadline,
    };
    left.others.reverse();
    match outcome {
        Ok(Reply::Stream(events)) if is_stream => Ok(Reply::Stream(left.streamed(events))),
        outcome => left.answered(outcome).await,
    }
}

impl Left {
    /// What the next service answers that can be called at all, if there is one and it is time for
    /// it.
    async fn next(&mut self, failed: &ServiceError) -> Option<Result<Reply, ServiceError>> {
        let status = passing_status(failed)?;
        let failing = self.call.service_id.clone();
        let mut answered = None;
        while answered.is_none() && Instant::now() < self.deadline {
            let Some(id) = self.others.pop() else { break };
            self.call.service_id = id;
            // What the caller says of the address is meant for the service that it named.
            self.call.service.url = None;
            self.call.service.service_id = self.call.service_id.as_str().to_owned();
            let called = async {
                self.registry
                    .find(&self.call.service_id)?
                    .call(self.call.clone())
                    .await
            };
            let outcome = timeout_at(self.deadline, called)
                .await
                .unwrap_or_else(|_elapsed| Err(too_late()));
            answered = Some(outcome)
                .filter(|outcome| !matches!(outcome, Err(error) if error.is_before_the_call()));
        }
        if answered.is_some() {
            self.call.attempts.add(&failing, status);
        } else {
            self.call.service_id = failing;
        }
        answered
    }

    /// The first answer that is none of a passing failure.
    async fn answered(
        mut self,
        mut outcome: Result<Reply, ServiceError>,
    ) -> Result<Reply, ServiceError> {
        loop {
            let error = match outcome {
                Ok(reply) => {
                    self.call.attempts.add(&self.call.service_id, 200);
                    return Ok(reply);
                }
                Err(error) => error,
            };
            match self.next(&error).await {
                Some(next) => outcome = next,
                None => {
                    if let Some(status) = passing_status(&error) {
                        self.call.attempts.add(&self.call.service_id, status);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// The events of the first service that says something.
    fn streamed(self, events: EventStream) -> EventStream {
        let events = stream::once(self.first_events(events)).try_flatten();
        Box::pin(events.fuse())
    }

    async fn first_events(mut self, mut events: EventStream) -> Result<EventStream, ServiceError> {
        loop {
            let error = match events.next().await {
                Some(Err(error)) => error,
                first => {
                    self.call.attempts.add(&self.call.service_id, 200);
                    return Ok(Box::pin(stream::iter(first).chain(events)));
                }
            };
            let Some(next) = self.next(&error).await else {
                return self.answered(Err(error)).await.map(in_one_piece);
            };
            events = match next {
                Ok(reply) => in_one_piece(reply),
                Err(error) => Box::pin(stream::iter([Err(error)])),
            };
        }
    }
}

/// The events of an answer, whatever its form is.
fn in_one_piece(reply: Reply) -> EventStream {
    match reply {
        Reply::Stream(events) => events,
        Reply::Final(response) => Box::pin(stream::iter([Ok(Event::Final(response))])),
    }
}

fn too_late() -> ServiceError {
    ServiceError::Timeout("the services took too long to answer".to_owned())
}
