//! Translates errors, which every provider words differently.

use serde::Serialize;
use serde_json::Value;

use super::message::{to_json, write_event};

#[derive(Serialize)]
struct ErrorBody<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
}

impl<'a> ErrorBody<'a> {
    fn new(kind: &'static str, message: &'a str) -> Self {
        Self {
            kind: "error",
            error: ErrorObject { kind, message },
        }
    }
}

/// Translates the body of an error response.
pub(super) fn translate(status: u16, body: &[u8]) -> Vec<u8> {
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    let message =
        message(&body).unwrap_or_else(|| format!("the provider answered with status {status}"));
    to_json(&ErrorBody::new(type_of_status(status), &message))
}

/// Appends the error event for an error in a stream.
pub(super) fn write_error_event(data: &str, out: &mut Vec<u8>) {
    let data = serde_json::from_str(data).unwrap_or(Value::Null);
    let message =
        message(&data).unwrap_or_else(|| "the provider ended the stream with an error".to_owned());
    write_event(
        "error",
        &ErrorBody::new(type_in_stream(&data), &message),
        out,
    );
}

/// Returns Anthropic's type for a status.
fn type_of_status(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        503 | 529 => "overloaded_error",
        500..=599 => "api_error",
        _ => "invalid_request_error",
    }
}

/// Returns Anthropic's type for an error without a status: by its code, if that is a status, or its names.
fn type_in_stream(data: &Value) -> &'static str {
    let error = error_of(data);
    let codes = ["code", "status", "status_code"].map(|name| &error[name]);
    let status = codes.iter().find_map(|code| match code {
        Value::Number(code) => code.as_u64(),
        Value::String(code) => code.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    });
    if let Some(status @ 400..=599) = status.and_then(|status| u16::try_from(status).ok()) {
        return type_of_status(status);
    }
    let names = ["code", "type", "status"].map(|name| error[name].as_str());
    names
        .into_iter()
        .flatten()
        .find_map(type_of_name)
        .unwrap_or("api_error")
}

fn type_of_name(name: &str) -> Option<&'static str> {
    match name {
        "rate_limit_exceeded"
        | "rate_limit_error"
        | "insufficient_quota"
        | "RESOURCE_EXHAUSTED" => Some("rate_limit_error"),
        "overloaded_error"
        | "overloaded"
        | "engine_overloaded"
        | "service_unavailable"
        | "UNAVAILABLE" => Some("overloaded_error"),
        "invalid_request_error"
        | "context_length_exceeded"
        | "content_filter"
        | "INVALID_ARGUMENT" => Some("invalid_request_error"),
        "authentication_error" | "invalid_api_key" => Some("authentication_error"),
        "permission_error" | "permission_denied" => Some("permission_error"),
        "not_found_error" | "model_not_found" => Some("not_found_error"),
        "timeout" | "timeout_error" => Some("timeout_error"),
        _ => None,
    }
}

/// Returns the error object, which some providers put into a list, and some leave out.
fn error_of(body: &Value) -> &Value {
    let body = match body {
        Value::Array(items) => items.first().unwrap_or(&Value::Null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            body
        }
    };
    let error = &body["error"];
    if error.is_null() { body } else { error }
}

fn message(body: &Value) -> Option<String> {
    let error = error_of(body);
    let places = [
        "/message",
        "/detail",
        "/msg",
        "/message/detail/0/msg",
        "/detail/0/msg",
        "/error_description",
        "",
    ];
    let texts = places
        .iter()
        .filter_map(|place| error.pointer(place)?.as_str());
    let message = texts.into_iter().find(|text| !text.trim().is_empty())?;
    // Clients of Anthropic shorten the conversation when they see these words.
    if error["code"] == "context_length_exceeded" {
        return Some(format!("prompt is too long: {message}"));
    }
    Some(message.to_owned())
}
