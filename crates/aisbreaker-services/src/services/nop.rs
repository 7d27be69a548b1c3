//! `aisbreaker:nop`: forwards calls unchanged.

use super::filter::inner_call;
use crate::{
    error::ServiceError,
    service::{Call, Reached, ReplyFuture, Service, Target},
};

/// Forwards the call to the service behind it, and returns its reply.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Nop;

impl Service for Nop {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(async {
            let registry = call.registry.clone();
            registry.call(inner_call(call)?).await
        })
    }

    fn reached(&self, _target: &Target<'_>) -> Result<Reached, ServiceError> {
        Ok(Reached::Behind)
    }
}
