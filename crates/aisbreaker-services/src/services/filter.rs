//! What the services in front of another service share.

use aisbreaker_api::{ServiceId, ServiceProps};

use crate::{
    error::{ErrorDetail, ServiceError},
    service::Call,
};

/// How deep `forward2ServiceProps` may be nested.
const MAX_DEPTH: usize = 16;

/// Returns the call to the service that `forward2ServiceProps` names; all else stays as it is.
pub(super) fn inner_call(call: Call) -> Result<Call, ServiceError> {
    let (service_id, service) = inner_service(call.service)?;
    Ok(Call {
        service_id,
        service,
        ..call
    })
}

/// Returns the properties in `forward2ServiceProps`, and the service id in them.
pub(super) fn inner_service(
    outer: ServiceProps,
) -> Result<(ServiceId, ServiceProps), ServiceError> {
    if depth(&outer) > MAX_DEPTH {
        let text = format!("service.forward2ServiceProps is nested more than {MAX_DEPTH} deep");
        return Err(ServiceError::BadRequest(text.into()));
    }
    let Some(inner) = outer.forward_to else {
        let text = "service.forward2ServiceProps is missing";
        return Err(ServiceError::BadRequest(text.into()));
    };
    match ServiceId::parse(&inner.service_id) {
        Ok(service_id) => Ok((service_id, *inner)),
        Err(invalid) => {
            let text = format!("service.forward2ServiceProps.serviceId {invalid}");
            let detail = ErrorDetail::new(text).with_source(invalid);
            Err(ServiceError::BadRequest(detail))
        }
    }
}

fn depth(outer: &ServiceProps) -> usize {
    let mut depth = 0;
    let mut next = &outer.forward_to;
    while let Some(inner) = next {
        depth += 1;
        next = &inner.forward_to;
    }
    depth
}
