//! The interface of a service: one [`Call`] in, one [`Reply`] out.
//!
//! - `registry` finds the service for an id;
//! - `restricted` judges a call by the restrictions of the key;
//! - `nearest` finds the id that a caller may have meant;
//! - `fallback` calls other services when one fails;
//! - `attempts` records which services were called;
//! - `provider_calls` records when providers were called, and what became of it.

mod attempts;
mod fallback;
mod nearest;
mod provider_calls;
mod registry;
mod restricted;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use aisbreaker_api::{Progress, Request, Response, ServiceId, ServiceProps};
use aisbreaker_egress::MemoryBudget;
use futures_core::Stream;
use futures_util::stream;

pub use self::{
    attempts::{Attempts, printable_id},
    provider_calls::{CallInProgress, CallOutcome, ProviderCall, ProviderCalls},
    registry::{Registry, RegistryBuilder},
    restricted::{Reached, ReachedService, Target, chooses_other_models},
};
use crate::{
    credentials::Credentials,
    error::{ErrorDetail, ServiceError},
    trace::Trace,
    usage::ReportedTokens,
};

/// Answers calls; registered under a service id in a [`Registry`].
///
/// One instance serves all calls at once. Dropping the returned future or stream cancels the call.
///
/// ```
/// use aisbreaker_services::{Call, Reply, ReplyFuture, Service, api::Response};
///
/// struct Greeting;
///
/// impl Service for Greeting {
///     fn call(&self, call: Call) -> ReplyFuture<'_> {
///         let response = Response::text(call.service_id.as_str(), "Hello!");
///         Box::pin(async { Ok(Reply::Final(response)) })
///     }
/// }
/// ```
pub trait Service: Send + Sync + 'static {
    /// Answers one call.
    ///
    /// With `call.request.stream` the reply should be [`Reply::Stream`]; otherwise it must be
    /// [`Reply::Final`]. Errors found before the answer begins are returned here, later ones are
    /// items of the stream.
    fn call(&self, call: Call) -> ReplyFuture<'_>;

    /// Returns what a call reaches, by which it is judged if the key restricts services.
    ///
    /// A service with several engines must return the one that it would call. By default a call
    /// reaches the service that it names.
    ///
    /// # Errors
    /// Those of the call, as far as they are known before it.
    fn reached(&self, target: &Target<'_>) -> Result<Reached, ServiceError> {
        Ok(Reached::Service(target.service_id.clone()))
    }
}

impl<S: Service + ?Sized> Service for Arc<S> {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        (**self).call(call)
    }

    fn reached(&self, target: &Target<'_>) -> Result<Reached, ServiceError> {
        (**self).reached(target)
    }
}

/// The future of a reply.
pub type ReplyFuture<'a> = Pin<Box<dyn Future<Output = Result<Reply, ServiceError>> + Send + 'a>>;

/// The events of a streamed answer: any number of [`Event::Progress`], then exactly one
/// [`Event::Final`] or error, then the end.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event, ServiceError>> + Send>>;

/// One call to one service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// The requested id; its engine is for the service to interpret.
    pub service_id: ServiceId,
    /// The service properties that came with the call.
    pub service: ServiceProps,
    /// The request.
    pub request: Request,
    /// The caller's secrets. A service takes the one for its own id.
    pub credentials: Arc<Credentials>,
    /// How many AIsBreaker servers have forwarded this call.
    pub hops: u8,
    /// The memory budget for what is collected during this call.
    pub budget: MemoryBudget,
    /// Where filters find the service behind them.
    pub registry: Registry,
    /// Which services were called, if there are fallbacks.
    pub attempts: Attempts,
    /// When providers were called, and what became of it.
    pub provider_calls: ProviderCalls,
    /// The tokens that were reported before the answer is complete.
    pub tokens: ReportedTokens,
    /// The trace that gets a span for every call to a provider.
    pub trace: Trace,
}

impl Call {
    /// Creates a call that no AIsBreaker server has forwarded yet, with a memory budget of its own.
    ///
    /// # Errors
    /// [`ServiceError::BadRequest`] when the service id in `service` is invalid.
    pub fn new(
        service: ServiceProps,
        request: Request,
        credentials: Arc<Credentials>,
        registry: Registry,
    ) -> Result<Self, ServiceError> {
        let service_id = parse_id(&service.service_id)?;
        let attempts = match credentials.has_fallbacks() {
            true => Attempts::recorded(),
            false => Attempts::default(),
        };
        Ok(Self {
            service_id,
            service,
            request,
            credentials,
            hops: 0,
            budget: MemoryBudget::default(),
            registry,
            attempts,
            provider_calls: ProviderCalls::default(),
            tokens: ReportedTokens::default(),
            trace: Trace::default(),
        })
    }

    /// Sets the memory budget.
    #[must_use]
    pub fn with_budget(mut self, budget: MemoryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Sets the trace.
    #[must_use]
    pub fn with_trace(mut self, trace: Trace) -> Self {
        self.trace = trace;
        self
    }

    /// Sets how many AIsBreaker servers have forwarded the call.
    #[must_use]
    pub fn with_hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    /// Returns the kind of reply that the request asks for.
    pub(crate) fn reply_kind(&self) -> ReplyKind {
        if self.request.stream {
            ReplyKind::Stream
        } else {
            ReplyKind::Final
        }
    }
}

/// Parses the service id of a call.
pub(crate) fn parse_id(text: &str) -> Result<ServiceId, ServiceError> {
    ServiceId::parse(text).map_err(|invalid| {
        let text = format!("service.serviceId {invalid}");
        ServiceError::BadRequest(ErrorDetail::new(text).with_source(invalid))
    })
}

/// The answer to a call.
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "a reply is moved once or twice, never kept in numbers"
)]
pub enum Reply {
    /// The whole answer.
    Final(Response),
    /// The answer in pieces.
    Stream(EventStream),
}

/// The kind of a [`Reply`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReplyKind {
    Final,
    Stream,
}

impl Reply {
    /// Returns the events of the answer; a whole answer is a single event.
    pub(crate) fn into_events(self) -> EventStream {
        match self {
            Self::Stream(events) => events,
            Self::Final(response) => Box::pin(stream::iter([Ok(Event::Final(response))])),
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Final(_) => f.write_str("Final(..)"),
            Self::Stream(_) => f.write_str("Stream(..)"),
        }
    }
}

/// One event of a streamed answer.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the two events of the API; errors are items of the stream"
)]
#[expect(
    clippy::large_enum_variant,
    reason = "a stream has one final event, which is moved as it comes"
)]
pub enum Event {
    /// A piece of the answer.
    Progress(Progress),
    /// The whole answer, and the last event.
    Final(Response),
}
