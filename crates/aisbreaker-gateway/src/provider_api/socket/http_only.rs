//! Where the Responses API has no WebSocket: 426, after which its clients go on over HTTP at once. Any
//! other error of a handshake they report or repeat.

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONNECTION, UPGRADE},
};

use crate::{
    failure::{ErrorType, Failure},
    response::ResponseBody,
};

/// How providers answer the handshake that know nothing of it.
const UNKNOWN: [StatusCode; 5] = [
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::UPGRADE_REQUIRED,
    StatusCode::NOT_IMPLEMENTED,
];

/// Replaces what stands in the way of a WebSocket only, and not of a request over HTTP.
pub(super) fn or_http(
    outcome: Result<Response<ResponseBody>, Failure>,
) -> Result<Response<ResponseBody>, Failure> {
    match outcome {
        Ok(response) if UNKNOWN.contains(&response.status()) => {
            let status = response.status().as_u16();
            let why = format!("the provider answered the handshake with status {status}");
            let failure = over_http(&why, response.headers());
            Err(failure.with_type(ErrorType::ProviderError).with_cause(why))
        }
        Err(failure) if is_of_websockets(failure.error_type) => {
            let mut replaced = over_http(&failure.message, &failure.headers);
            replaced.error_type = failure.error_type;
            replaced.cause = failure.cause;
            Err(replaced)
        }
        outcome => outcome,
    }
}

/// Returns whether a request over HTTP may go better, or is refused for the same reason.
fn is_of_websockets(error_type: ErrorType) -> bool {
    [
        ErrorType::InvalidRequest,
        ErrorType::Restricted,
        ErrorType::UnknownService,
        ErrorType::ProviderCut,
    ]
    .contains(&error_type)
}

/// Creates the failure, with the state of the quotas that these fields report.
fn over_http(why: &str, headers: &HeaderMap) -> Failure {
    let message = format!("no WebSocket is opened here: {why}; send the request over HTTP");
    let mut failure = Failure::new(StatusCode::UPGRADE_REQUIRED, message)
        .with_header(UPGRADE, HeaderValue::from_static("HTTP/1.1"))
        .with_header(CONNECTION, HeaderValue::from_static("upgrade"));
    for (name, value) in headers {
        if name.as_str().contains("ratelimit") {
            failure.headers.append(name, value.clone());
        }
    }
    failure
}
