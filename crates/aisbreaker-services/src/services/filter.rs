//! What the services that stand before another one share.

use aisbreaker_api::{ServiceId, ServiceProps};

use crate::{error::ServiceError, service::Call};

/// How many services may stand one behind the other in `forward2ServiceProps`.
const MAX_DEPTH: usize = 16;

/// The call to the service that `forward2ServiceProps` names; all else stays as it is.
pub(super) fn inner_call(call: Call) -> Result<Call, ServiceError> {
    let (service_id, inner) = inner_service(call.service)?;
    Ok(Call {
        service_id,
        service: inner,
        ..call
    })
}

/// The properties in `forward2ServiceProps`, and the id in them.
pub(super) fn inner_service(
    outer: ServiceProps,
) -> Result<(ServiceId, ServiceProps), ServiceError> {
    if depth(&outer) > MAX_DEPTH {
        let text = format!("service.forward2ServiceProps is nested more than {MAX_DEPTH} deep");
        return Err(ServiceError::BadRequest(text));
    }
    let inner = outer.forward_to.ok_or_else(|| {
        ServiceError::BadRequest("service.forward2ServiceProps is missing".to_owned())
    })?;
    let service_id = ServiceId::parse(&inner.service_id).map_err(|invalid| {
        ServiceError::BadRequest(format!("service.forward2ServiceProps.serviceId {invalid}"))
    })?;
    Ok((service_id, *inner))
}

fn depth(outer: &ServiceProps) -> usize {
    std::iter::successors(outer.forward_to.as_deref(), |inner| {
        inner.forward_to.as_deref()
    })
    .count()
}
