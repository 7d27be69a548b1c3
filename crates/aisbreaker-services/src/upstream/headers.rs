//! Headers of the requests to upstream servers and of their responses.

use aisbreaker_egress::has_media_type;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    destination::Destination, error::ServiceError, providers::AuthScheme, service::ReplyKind,
};

/// Marks a bearer value that came out of a sealed key, so that the caller does not know it.
///
/// Every provider gets this header, since any of them may be an AIsBreaker server. That server must
/// not let the call choose where the value goes.
pub const SEALED_HEADER: &str = "x-aisbreaker-sealed";
/// Counts the AIsBreaker servers that have forwarded a call.
pub const HOPS_HEADER: &str = "x-aisbreaker-hops";
/// How many AIsBreaker servers may forward a call.
pub const MAX_HOPS: u8 = 8;

const EVENT_STREAM: &str = "text/event-stream";
const JSON: &str = "application/json";
const USER_AGENT: &str = concat!("aisbreaker/", env!("CARGO_PKG_VERSION"));

/// Returns the headers of a JSON request, including the secret of `destination`.
///
/// # Errors
/// [`ServiceError::BadRequest`] when a header cannot carry the secret.
pub(crate) fn json_request(
    destination: &Destination,
    auth: AuthScheme,
    reply: ReplyKind,
) -> Result<HeaderMap, ServiceError> {
    let accept = match reply {
        ReplyKind::Final => JSON,
        ReplyKind::Stream => EVENT_STREAM,
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    add_secret(&mut headers, destination, auth)?;
    Ok(headers)
}

/// Adds the secret of `destination`, if it has one.
///
/// # Errors
/// [`ServiceError::BadRequest`] when a header cannot carry the secret.
pub(crate) fn add_secret(
    headers: &mut HeaderMap,
    destination: &Destination,
    auth: AuthScheme,
) -> Result<(), ServiceError> {
    let Some(secret) = &destination.secret else {
        return Ok(());
    };
    let (name, value) = auth.header(secret)?;
    headers.insert(name, value);
    if destination.is_sealed {
        let name = HeaderName::from_static(SEALED_HEADER);
        headers.insert(name, HeaderValue::from_static("1"));
    }
    Ok(())
}

/// Adds the hop count of a call that `hops` servers have forwarded already.
///
/// # Errors
/// [`ServiceError::BadRequest`] when the call has passed [`MAX_HOPS`] servers.
pub(crate) fn add_hop(headers: &mut HeaderMap, hops: u8) -> Result<(), ServiceError> {
    if hops >= MAX_HOPS {
        let text = format!(
            "the call has passed {MAX_HOPS} AIsBreaker servers already; look for a loop in \
             service.url and service.forward2ServiceProps"
        );
        return Err(ServiceError::BadRequest(text.into()));
    }
    let name = HeaderName::from_static(HOPS_HEADER);
    headers.insert(name, HeaderValue::from(u16::from(hops) + 1));
    Ok(())
}

/// Returns whether a response body is a stream of server-sent events.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    has_media_type(headers, EVENT_STREAM)
}
