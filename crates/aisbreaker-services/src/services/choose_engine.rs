//! Which engine of a service is called.

use aisbreaker_api::ServiceId;
use serde_json::Value;

use crate::{
    credentials::Credential,
    error::{ErrorDetail, ServiceError},
    service::{Call, Reached, Target},
};

/// Returns the engine to call: that of the service id, else `internOptions.model`, else the default
/// one.
///
/// An engine that the key blocks is refused, whether the service id names it or the option.
///
/// # Errors
/// [`ServiceError::BadRequest`] when no engine is named or the option is not a string,
/// [`ServiceError::Forbidden`] when the key blocks the engine.
pub(super) fn choose_engine(
    call: &Call,
    default_engine: Option<&str>,
) -> Result<String, ServiceError> {
    let engine = engine_of(&Target::of(call), default_engine)?;
    if call.service_id.engine().is_none() && is_blocked_by_name(call, engine) {
        let id = without_slash(&call.service_id);
        let text = format!("{id}: the key does not allow this model of the service");
        return Err(ServiceError::Forbidden(text.into()));
    }
    Ok(engine.to_owned())
}

/// Returns what a call reaches if its engine is chosen so.
///
/// # Errors
/// [`ServiceError::BadRequest`] as [`choose_engine`].
pub(super) fn reached_engine(
    target: &Target<'_>,
    default_engine: Option<&str>,
) -> Result<Reached, ServiceError> {
    let engine = engine_of(target, default_engine)?;
    id_with_engine(target.service_id, engine).map(Reached::Service)
}

fn engine_of<'a>(
    target: &Target<'a>,
    default_engine: Option<&'a str>,
) -> Result<&'a str, ServiceError> {
    if let Some(engine) = target.service_id.engine() {
        return Ok(engine);
    }
    let id = without_slash(target.service_id);
    let option = target.request.intern_options.get("model");
    let engine = match (option, default_engine) {
        (Some(Value::String(model)), _) => model.as_str(),
        (None | Some(Value::Null), Some(engine)) => engine,
        (None | Some(Value::Null), None) => {
            let text = format!(
                "{id} has no default model: name one in the serviceId, as '{id}/<model>', or in \
                 request.internOptions.model"
            );
            return Err(ServiceError::BadRequest(text.into()));
        }
        (Some(_), _) => {
            let text = "request.internOptions.model must be a string";
            return Err(ServiceError::BadRequest(text.into()));
        }
    };
    Ok(engine)
}

/// Returns whether the key blocks the service with this engine, but not the service as such.
fn is_blocked_by_name(call: &Call, engine: &str) -> bool {
    let is_blocked =
        |id: &ServiceId| matches!(call.credentials.for_service(id), Credential::Blocked);
    let Ok(id) = ServiceId::parse(format!("{}/{engine}", without_slash(&call.service_id))) else {
        return false;
    };
    is_blocked(&id) && !is_blocked(&call.service_id)
}

/// Returns the id with this engine, for a service whose URL contains the engine.
///
/// # Errors
/// [`ServiceError::BadRequest`] when the engine could lead to another path, or the id is invalid.
pub(super) fn with_engine(id: &ServiceId, engine: &str) -> Result<ServiceId, ServiceError> {
    if engine.split('/').any(leads_elsewhere) {
        let text = format!("{id}: the name of the model must not have empty segments, '.' or '..'");
        return Err(ServiceError::BadRequest(text.into()));
    }
    id_with_engine(id, engine)
}

/// Returns the id with this engine, unless it has one.
///
/// # Errors
/// [`ServiceError::BadRequest`] when the id would be invalid.
pub(super) fn id_with_engine(id: &ServiceId, engine: &str) -> Result<ServiceId, ServiceError> {
    if id.engine().is_some() {
        return Ok(id.clone());
    }
    ServiceId::parse(format!("{}/{engine}", without_slash(id))).map_err(|invalid| {
        let text = format!("{id}: the name of the model {invalid}");
        ServiceError::BadRequest(ErrorDetail::new(text).with_source(invalid))
    })
}

fn leads_elsewhere(segment: &str) -> bool {
    matches!(segment, "" | "." | "..")
}

fn without_slash(id: &ServiceId) -> &str {
    id.as_str().trim_end_matches('/')
}
