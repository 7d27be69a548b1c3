//! The calls to providers that one request causes: when each began, answered and ended, and how.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aisbreaker_api::ServiceId;
use aisbreaker_egress::SendError;
use http::StatusCode;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::Event;
use crate::error::ServiceError;

/// The calls to providers that one request causes. Clones share them.
///
/// The default is for requests of which nobody asks; it keeps nothing.
#[derive(Clone, Debug, Default)]
pub struct ProviderCalls(Option<Arc<Mutex<EndedCalls>>>);

/// Most requests cause a single call.
type EndedCalls = SmallVec<[ProviderCall; 1]>;

/// A call to a provider that is over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProviderCall {
    /// The service that was called.
    pub service_id: ServiceId,
    /// When the request was about to be sent.
    pub started: Instant,
    /// When the answer began: the first content of a forwarded answer, the first event of a stream,
    /// or the whole of an answer that is read as one. `None` if nothing came.
    pub answered: Option<Instant>,
    /// When the answer was over, or nobody waited for the rest any more.
    pub ended: Instant,
    /// What became of it.
    pub outcome: CallOutcome,
}

/// What became of a call to a provider.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "code that counts outcomes must decide each of them"
)]
pub enum CallOutcome {
    /// The whole answer came.
    Ok,
    /// The provider refused the request with a status 4xx other than 408 and 429.
    ClientError,
    /// The provider answered with status 429.
    RateLimited,
    /// The provider answered with status 408, 5xx, or one that no answer has.
    ServerError,
    /// The provider was too slow.
    Timeout,
    /// There was no connection: refused, TLS, name resolution.
    Unreachable,
    /// The answer broke off, or could not be read.
    Cut,
    /// Nobody waited for the rest: the client left, or this server gave up.
    Left,
}

impl CallOutcome {
    /// All outcomes, each at the index of its discriminant.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::ClientError,
        Self::RateLimited,
        Self::ServerError,
        Self::Timeout,
        Self::Unreachable,
        Self::Cut,
        Self::Left,
    ];

    /// Returns the outcome of an answer with this status that comes to its end.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited,
            StatusCode::REQUEST_TIMEOUT => Self::ServerError,
            status if status.is_success() || status == StatusCode::NOT_MODIFIED => Self::Ok,
            status if status.is_client_error() => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    /// Returns the outcome of a call that failed; `None` if the request never left this server.
    #[must_use]
    pub fn of_error(error: &ServiceError) -> Option<Self> {
        match error {
            ServiceError::BadRequest(_)
            | ServiceError::MissingSecret { .. }
            | ServiceError::Forbidden(_)
            | ServiceError::Restricted { .. }
            | ServiceError::UnknownService { .. } => None,
            ServiceError::Overloaded(_) => {
                let cause = error.call_failure().map(|failure| failure.send_error());
                (cause != Some(&SendError::Busy)).then_some(Self::Left)
            }
            ServiceError::Provider { error, .. } => Some(
                StatusCode::from_u16(error.status_code).map_or(Self::ServerError, Self::of_status),
            ),
            ServiceError::NoAnswer(_) | ServiceError::BadAnswer(_) => Some(Self::Cut),
            ServiceError::Unreachable(_) => Some(Self::Unreachable),
            ServiceError::Timeout(_) => Some(Self::Timeout),
            ServiceError::Internal(_) => Some(Self::Left),
        }
    }

    /// Returns the word for logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Cut => "cut",
            Self::Left => "left",
        }
    }
}

impl ProviderCall {
    /// Returns how long the call took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.ended.duration_since(self.started)
    }

    fn is_unanswered(&self) -> bool {
        let may_have_worked = matches!(self.outcome, CallOutcome::Timeout | CallOutcome::Cut);
        may_have_worked && self.answered.is_none()
    }

    /// Returns how long the provider took to begin its answer, if it did.
    #[must_use]
    pub fn time_to_answer(&self) -> Option<Duration> {
        Some(self.answered?.duration_since(self.started))
    }
}

impl ProviderCalls {
    /// Creates a list that is kept.
    #[must_use]
    pub fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    /// Begins a call now. It is in the list once it is over.
    #[must_use]
    pub fn begin(&self, service_id: &ServiceId) -> CallInProgress {
        let kept = self.0.as_ref().map(|calls| Kept {
            calls: Arc::clone(calls),
            service_id: service_id.clone(),
            started: Instant::now(),
            answered: None,
        });
        CallInProgress { kept, error: None }
    }

    /// Returns how many of the calls that are over had no answer, though the provider may have worked
    /// for them.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        match &self.0 {
            Some(calls) => {
                let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
                calls.iter().filter(|call| call.is_unanswered()).count()
            }
            None => 0,
        }
    }

    /// Returns whether the last of the calls that are over is one of these.
    #[must_use]
    pub fn last_is_unanswered(&self) -> bool {
        let Some(calls) = &self.0 else { return false };
        let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.last().is_some_and(ProviderCall::is_unanswered)
    }

    /// Calls `read` with the calls that are over, in the order of their ends. No call ends meanwhile.
    pub fn read<T>(&self, read: impl FnOnce(&mut [ProviderCall]) -> T) -> T {
        match &self.0 {
            Some(calls) => read(&mut calls.lock().unwrap_or_else(PoisonError::into_inner)),
            None => read(&mut []),
        }
    }
}

/// A call to a provider. Dropping it ends the call, of which nobody waits for the rest.
#[derive(Debug)]
pub struct CallInProgress {
    kept: Option<Kept>,
    /// What the status of the answer was, if it was an error.
    error: Option<CallOutcome>,
}

#[derive(Debug)]
struct Kept {
    calls: Arc<Mutex<EndedCalls>>,
    service_id: ServiceId,
    started: Instant,
    answered: Option<Instant>,
}

impl CallInProgress {
    /// Notes that content of the answer came. Only the first time counts.
    pub fn note_content(&mut self) {
        if let Some(kept) = &mut self.kept
            && kept.answered.is_none()
        {
            kept.answered = Some(Instant::now());
        }
    }

    /// Notes the status of the answer. An error stays one, even if nobody waits for its content.
    pub fn note_status(&mut self, status: StatusCode) {
        let outcome = CallOutcome::of_status(status);
        self.error = (outcome != CallOutcome::Ok).then_some(outcome);
    }

    /// Ends the call: its answer is complete.
    pub fn complete(&mut self) {
        self.note_content();
        self.end(self.error.unwrap_or(CallOutcome::Ok));
    }

    /// Ends the call with this error. A request that never left this server is no call.
    pub fn fail(&mut self, error: &ServiceError) {
        match CallOutcome::of_error(error) {
            Some(outcome) => self.end(outcome),
            None => self.kept = None,
        }
    }

    /// Ends the call, of which nobody waits for the rest.
    pub fn abandon(&mut self) {
        self.end(self.error.unwrap_or(CallOutcome::Left));
    }

    /// Follows a call by the events of its answer.
    pub(crate) fn follow(&mut self, event: &Result<Event, ServiceError>) {
        match event {
            Ok(Event::Progress(_)) => self.note_content(),
            Ok(Event::Final(_)) => self.complete(),
            Err(error) => self.fail(error),
        }
    }

    /// Ends the call, unless it is over already.
    pub fn end(&mut self, outcome: CallOutcome) {
        let Some(kept) = self.kept.take() else { return };
        let call = ProviderCall {
            service_id: kept.service_id,
            started: kept.started,
            answered: kept.answered,
            ended: Instant::now(),
            outcome,
        };
        kept.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(call);
    }
}

impl Drop for CallInProgress {
    fn drop(&mut self) {
        self.abandon();
    }
}

#[cfg(test)]
mod tests {
    use aisbreaker_api::ServiceUrl;
    use aisbreaker_egress::UrlSource;

    use super::*;
    use crate::{destination::Destination, upstream::send_error::no_answer};

    #[test]
    fn a_call_that_never_left_is_none() {
        let destination = Destination {
            url: ServiceUrl::resolve("https://a.example", "", None).unwrap(),
            secret: None,
            is_sealed: false,
            is_named_by_caller: false,
            url_source: UrlSource::Trusted,
        };
        let outcome = |error| CallOutcome::of_error(&no_answer(error, &destination));
        assert_eq!(outcome(SendError::Busy), None);
        assert_eq!(outcome(SendError::Cut), Some(CallOutcome::Cut));
    }
}
