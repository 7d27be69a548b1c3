//! The body of `POST /api/v1/process`.

use serde::Serialize;

use crate::{
    direct,
    error::InvalidRequest,
    read::{self, object, required},
    request::{Request, ServiceProps},
};

/// A call of a service: which one, and the request to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an envelope with two members, as the API defines it"
)]
pub struct ProcessCall {
    /// Which service to call, and how.
    pub service: ServiceProps,
    /// The request to the service.
    pub request: Request,
}

impl ProcessCall {
    /// Reads the JSON body of a call, skipping a UTF-8 byte order mark.
    ///
    /// # Errors
    /// Returns [`InvalidRequest`] for the first member that is missing or has the wrong type.
    pub fn from_json(body: &[u8]) -> Result<Self, InvalidRequest> {
        match direct::call(body) {
            Some((service, request)) => Ok(Self { service, request }),
            None => Self::from_value(body),
        }
    }

    /// Reads a call by way of a tree of values, which accepts more and knows what is at fault.
    pub(crate) fn from_value(body: &[u8]) -> Result<Self, InvalidRequest> {
        let mut members = object(read::body(body)?, "request body")?;
        let service = required(&mut members, "service", "service")?;
        let service_props = ServiceProps::from_value(service, "service")?;
        let request = required(&mut members, "request", "request")?;
        Ok(Self {
            service: service_props,
            request: Request::from_value(request)?,
        })
    }
}
