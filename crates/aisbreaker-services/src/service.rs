//! What a service is: one call in, one answer or a stream of events out.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use aisbreaker_api::{Progress, Request, Response, ServiceId, ServiceProps};
use aisbreaker_egress::MemoryBudget;
use futures_core::Stream;

use crate::{
    credentials::Credentials, error::ServiceError, fallback::Attempts, registry::Registry,
};

/// Answers calls; registered under a service id in a [`Registry`].
///
/// One instance serves all calls at once. Dropping the returned future or stream cancels the call.
pub trait Service: Send + Sync + 'static {
    /// Answers one call.
    ///
    /// With `call.request.stream` the reply should be [`Reply::Stream`]; otherwise it must be
    /// [`Reply::Final`]. Errors found before the answer begins are returned here, later ones inside
    /// the stream.
    fn call(&self, call: Call) -> ReplyFuture<'_>;
}

/// The answer to a call, when it comes.
pub type ReplyFuture<'a> = Pin<Box<dyn Future<Output = Result<Reply, ServiceError>> + Send + 'a>>;

/// Events in order: any number of [`Event::Progress`], then exactly one [`Event::Final`] or error,
/// then the end.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event, ServiceError>> + Send>>;

/// One call to one service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// The id that was asked for; its engine belongs to the service.
    pub service_id: ServiceId,
    /// The service properties that came with the call.
    pub service: ServiceProps,
    /// What to do.
    pub request: Request,
    /// The caller's secrets, of which the service may take its own.
    pub credentials: Arc<Credentials>,
    /// How many AIsBreaker servers this call has passed already.
    pub hops: u8,
    /// What is collected for this call is held of this.
    pub budget: MemoryBudget,
    /// Where services that forward find the service behind them.
    pub registry: Registry,
    /// Which services were called, where one stands in for another.
    pub attempts: Attempts,
}

impl Call {
    /// A call that no other AIsBreaker server has passed yet.
    ///
    /// # Errors
    /// [`ServiceError::BadRequest`] when the service id of `service` is not usable.
    pub fn new(
        service: ServiceProps,
        request: Request,
        credentials: Arc<Credentials>,
        registry: Registry,
    ) -> Result<Self, ServiceError> {
        let service_id = ServiceId::parse(&service.service_id)
            .map_err(|fault| ServiceError::BadRequest(format!("service.serviceId {fault}")))?;
        let budget = MemoryBudget::default();
        let attempts = Attempts::default();
        Ok(Self {
            service_id,
            service,
            request,
            credentials,
            hops: 0,
            budget,
            registry,
            attempts,
        })
    }

    /// Says of what the bytes are held that are collected for the call; by default, of a budget of
    /// its own.
    #[must_use]
    pub fn with_budget(mut self, budget: MemoryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Says how many AIsBreaker servers the call has passed.
    #[must_use]
    pub fn with_hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }
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
    reason = "the two events of the API; errors are the stream's own"
)]
pub enum Event {
    /// A piece of the answer.
    Progress(Progress),
    /// The whole answer; nothing follows it.
    Final(Response),
}
