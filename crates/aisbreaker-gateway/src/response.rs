//! The stream stage: responses, and their bodies on the way to the client.
//!
//! - `body` is the body of every response;
//! - `conditional` answers with documents that clients keep;
//! - `events` encodes the events of this server's own API;
//! - `keep_alive` times what is sent while a stream pauses;
//! - `passthrough` forwards the body of a provider, `coalesce` joins its frames, `sse_boundary`
//!   holds incomplete events back, `event_lines` splits them, `stream_end` finds the last one, and
//!   `usage_filter` drops the one that its client did not ask for;
//! - `translated` forwards an event stream to a client of the other dialect;
//! - `stream_failure` is why a stream ended in an error.

pub(crate) mod body;
mod coalesce;
pub(crate) mod conditional;
mod event_lines;
pub(crate) mod events;
mod keep_alive;
pub(crate) mod passthrough;
pub(crate) mod sse_boundary;
pub(crate) mod stream_end;
mod stream_failure;
pub(crate) mod translated;
pub(crate) mod usage_filter;

use aisbreaker_services::{Attempts, Dialect};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use serde::Serialize;

pub use self::body::ResponseBody;
use crate::{
    console,
    cors::{self, AllowedOrigin},
    dialect,
    failure::Failure,
    telemetry::{
        access_log::AccessLog, key_expiry::X_AISBREAKER_KEY_EXPIRES, request_id::X_REQUEST_ID,
    },
};

/// Which services were tried, with the status of each.
const X_AISBREAKER_ATTEMPTS: HeaderName = HeaderName::from_static("x-aisbreaker-attempts");
/// Keeps nginx from buffering events.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Creates a response with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<ResponseBody> {
    match serde_json::to_vec(body) {
        Ok(bytes) => json_bytes(status, bytes.into()),
        // Not expected: no type here has map keys other than strings.
        Err(_error) => json_bytes(StatusCode::INTERNAL_SERVER_ERROR, Bytes::from_static(b"{}")),
    }
}

/// Creates a response with a JSON body that nobody may store.
pub(crate) fn not_stored(body: &impl Serialize) -> Response<ResponseBody> {
    let mut response = json(StatusCode::OK, body);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// Creates a response with JSON that is serialized already.
pub(crate) fn json_bytes(status: StatusCode, bytes: Bytes) -> Response<ResponseBody> {
    let mut response = full(status, JSON, bytes);
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Creates a response with a complete body.
pub(crate) fn full(
    status: StatusCode,
    content_type: HeaderValue,
    body: Bytes,
) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Creates a response without content.
pub(crate) fn empty(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = status;
    response
}

/// Creates a 204 response.
pub(crate) fn no_content() -> Response<ResponseBody> {
    empty(StatusCode::NO_CONTENT)
}

/// Creates the response that reports a failure, in the dialect of the client; `None` is the
/// server's own API.
pub(crate) fn error(
    mut failure: Failure,
    dialect: Option<Dialect>,
    request_id: &HeaderValue,
) -> Response<ResponseBody> {
    failure.name_request(request_id);
    let body = dialect::error_body(&failure, dialect, request_id);
    let mut response = json_bytes(failure.status, body.into());
    response.headers_mut().extend(failure.headers);
    response
}

/// Adds the fields that an event stream needs, unless they are set.
pub(crate) fn write_stream_headers(to: &mut HeaderMap) {
    to.entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache"));
    to.entry(X_ACCEL_BUFFERING)
        .or_insert(HeaderValue::from_static("no"));
}

/// Reports which services were tried, if there was a choice of several.
pub(crate) fn write_attempts(attempts: &Attempts, to: &mut HeaderMap) {
    if let Some(text) = attempts.to_structured_list()
        && let Ok(value) = HeaderValue::try_from(text)
    {
        to.insert(X_AISBREAKER_ATTEMPTS, value);
    }
}

/// Lets `write` add headers to a response or a failure.
pub(crate) fn with_headers(
    outcome: Result<Response<ResponseBody>, Failure>,
    write: impl FnOnce(&mut HeaderMap),
) -> Result<Response<ResponseBody>, Failure> {
    match outcome {
        Ok(mut response) => {
            write(response.headers_mut());
            Ok(response)
        }
        Err(mut failure) => {
            write(&mut failure.headers);
            Err(failure)
        }
    }
}

/// Moves the memory reservation from the request to its complete response, which holds it until the
/// client has read everything. Streams account for each piece by themselves.
pub(crate) fn hold_memory(
    mut response: Response<ResponseBody>,
    log: &mut AccessLog,
) -> Result<Response<ResponseBody>, Failure> {
    let body = response.body_mut();
    if !body.is_stream()
        && let Some(hold) = log.take_reservation()
    {
        body.hold(hold)?;
    }
    Ok(response)
}

/// Adds what every response carries, and drops the body of a response to `HEAD`.
pub(crate) fn finish(response: &mut Response<ResponseBody>, log: &AccessLog, is_head: bool) {
    let is_refused_key = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    // A key that is refused looks like any other.
    if !is_refused_key && let Some(expires) = log.announced_key_expiry() {
        headers.insert(X_AISBREAKER_KEY_EXPIRES, expires);
    }
    cors::write_response(log.allowed_origin(), headers);
    if matches!(log.allowed_origin(), AllowedOrigin::SameOrigin) {
        console::write_headers(headers);
    }
    headers
        .entry(X_REQUEST_ID)
        .or_insert_with(|| log.request_id().clone());
    if is_head && let Some(length) = response.body_mut().drop_content() {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}
