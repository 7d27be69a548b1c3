//! Errors that a provider reports in its answer.

use std::time::Duration;

use aisbreaker_api::{
    ErrorObject, JsonTree,
    read::{self, Piece},
};
use http::StatusCode;
use serde_json::{Map, Value};

use super::json_view::JsonView as _;
use crate::{
    error::{ErrorDetail, ServiceError},
    upstream::status::{error_status, reason},
};

/// How much of a provider's error text is passed on, in bytes.
pub(super) const MAX_ERROR_TEXT_BYTES: usize = 2048;

/// Where the shapes in use have the message of an error.
const MESSAGES: [&str; 6] = [
    "/error/message",
    "/error",
    "/message",
    "/detail",
    "/error/detail",
    "/errors/0",
];
const KINDS: [&str; 3] = ["/error/type", "/error/status", "/name"];

/// Parses an answer that must be a JSON object.
///
/// # Errors
/// [`ServiceError::BadAnswer`] when it is none, and the provider's error when it has a member
/// `error`.
pub(super) fn parse_object(json: &[u8]) -> Result<Map<String, Value>, ServiceError> {
    let Value::Object(object) = parse_piece(json)?.into_value() else {
        return Err(not_an_object());
    };
    Ok(object)
}

/// Parses an answer as [`parse_object`] does, without copying its texts.
///
/// # Errors
/// As [`parse_object`].
pub(super) fn parse_tree(json: &[u8]) -> Result<JsonTree<'_>, ServiceError> {
    if let Some(answer @ JsonTree::Object(_)) = JsonTree::parse(json)
        && matches!(answer.member("error"), None | Some(JsonTree::Null))
    {
        return Ok(answer);
    }
    // What is unusual, and what is at fault.
    Ok(Value::Object(parse_object(json)?).into())
}

/// Parses an answer as [`parse_object`] does, but keeps halves of characters, for answers that come
/// in pieces.
///
/// # Errors
/// As [`parse_object`].
pub(super) fn parse_piece(json: &[u8]) -> Result<Piece, ServiceError> {
    let piece = read::piece(json).map_err(|fault| {
        let text = format!("the provider's answer {fault}");
        ServiceError::BadAnswer(ErrorDetail::new(text).with_source(fault))
    })?;
    let Value::Object(object) = piece.value() else {
        return Err(not_an_object());
    };
    match object.get("error") {
        Some(error) if !is_no_error(error) => {
            let status = status_in(error).unwrap_or(StatusCode::BAD_GATEWAY);
            Err(provider_error(status, &piece.into_value(), None, true))
        }
        Some(_) | None => Ok(piece),
    }
}

fn not_an_object() -> ServiceError {
    ServiceError::BadAnswer("the provider's answer is not a JSON object".into())
}

/// Returns whether a member `error` says that there is none: it is false in JavaScript, or nothing
/// in it is true.
fn is_no_error(error: &Value) -> bool {
    match error {
        Value::Null => true,
        Value::Bool(is_error) => !is_error,
        Value::Number(code) => code.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(errors) => errors.is_empty(),
        Value::Object(members) => is_empty_error(members),
    }
}

/// Returns whether an error object says nothing.
pub(super) fn is_empty_error(members: &Map<String, Value>) -> bool {
    let is_set = |value: &Value| !matches!(value, Value::Null) && value != "";
    !members.values().any(is_set)
}

/// Returns the error of an event that is named `error`, though it holds no error object.
pub(super) fn of_event(event: &Value) -> ServiceError {
    provider_error(StatusCode::BAD_GATEWAY, event, None, true)
}

/// Returns the error of a response with an error status.
pub(super) fn of_response(
    status: StatusCode,
    body: &[u8],
    retry_after: Option<Duration>,
) -> ServiceError {
    let body = read::json(body).unwrap_or_default();
    provider_error(status, &body, retry_after, false)
}

/// Returns the error of an answer that the provider withholds because of `cause` (400).
pub(super) fn of_withheld_answer(cause: &str, message: String) -> ServiceError {
    let status = StatusCode::BAD_REQUEST;
    let mut error = ErrorObject::new(status.as_u16(), reason(status), message);
    error.kind = Some(cause.to_owned());
    ServiceError::Provider {
        error: Box::new(error),
        retry_after: None,
        is_in_answer: true,
    }
}

/// Finds message and kind in one of the shapes in use; a list counts as its first entry.
fn provider_error(
    status: StatusCode,
    body: &Value,
    retry_after: Option<Duration>,
    is_in_answer: bool,
) -> ServiceError {
    let body = body.get(0).unwrap_or(body);
    let message = match first_text(body, &MESSAGES) {
        None | Some("") => reason(status),
        Some(message) => message,
    };
    let mut error = ErrorObject::new(status.as_u16(), reason(status), message);
    error.kind = first_text(body, &KINDS).map(str::to_owned);
    ServiceError::Provider {
        error: Box::new(error),
        retry_after,
        is_in_answer,
    }
}

fn first_text<'a>(body: &'a Value, pointers: &[&str]) -> Option<&'a str> {
    pointers
        .iter()
        .find_map(|pointer| body.pointer(pointer)?.as_str())
}

/// Returns the status that an error object names, by its code or by its type.
fn status_in(error: &Value) -> Option<StatusCode> {
    let code = error.get("code").or_else(|| error.get("status"));
    let by_code = code.and_then(Value::as_u64).and_then(error_status);
    by_code.or_else(|| status_of_type(error))
}

/// Returns the status that belongs to an error's type; an error inside a stream names only its
/// type.
///
/// Source: the API reference of Anthropic, on errors.
fn status_of_type(error: &Value) -> Option<StatusCode> {
    let code = match error.get("type")?.as_str()? {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "api_error" => 500,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => return None,
    };
    error_status(code)
}
