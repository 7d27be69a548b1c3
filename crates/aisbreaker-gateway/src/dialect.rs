//! Errors as each dialect has them.
//!
//! Source: the API references of OpenAI and Anthropic, and what their servers answer.

use aisbreaker_services::Dialect;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::{
    answer::{self, Failure},
    body::ResponseBody,
    operation,
};

/// Headers that clients of Anthropic's API send, and others do not.
const ANTHROPIC_HEADERS: [&str; 2] = ["anthropic-version", "x-api-key"];

/// In which dialect a request is to be answered; `None` is our own API.
pub(crate) fn of(path: &str, headers: &HeaderMap) -> Option<Dialect> {
    operation::dialect(path, || {
        ANTHROPIC_HEADERS
            .iter()
            .any(|name| headers.contains_key(*name))
    })
}

/// OpenAI's error object.
#[derive(Debug, Serialize)]
struct OpenAiError<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct OpenAiBody<'a> {
    error: OpenAiError<'a>,
}

/// What the stream of a response ends with: the event of that API, and the member that clients look
/// for.
#[derive(Debug, Serialize)]
struct OpenAiEvent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    code: Option<&'a str>,
    message: &'a str,
    param: Option<&'a str>,
    error: OpenAiError<'a>,
}

#[derive(Debug, Serialize)]
struct AnthropicError<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    message: &'a str,
}

#[derive(Debug, Serialize)]
struct AnthropicBody<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: AnthropicError<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// An answer that tells of a failure.
pub(crate) fn failed(
    failure: Failure,
    dialect: Option<Dialect>,
    request_id: &HeaderValue,
) -> Response<ResponseBody> {
    let mut response = match dialect {
        None => return failure.into_response(),
        Some(Dialect::OpenAi) => answer::json(
            failure.status,
            &OpenAiBody {
                error: openai(&failure),
            },
        ),
        Some(Dialect::Anthropic) => {
            let request_id = request_id.to_str().ok();
            let error = anthropic(&failure);
            answer::json(
                failure.status,
                &AnthropicBody {
                    kind: "error",
                    error,
                    request_id,
                },
            )
        }
    };
    response.headers_mut().extend(failure.headers);
    response
}

/// The last event of a stream that failed; `is_named` says that its events have names.
pub(crate) fn error_event(failure: &Failure, dialect: Dialect, is_named: bool) -> Vec<u8> {
    match dialect {
        Dialect::OpenAi if is_named => {
            let OpenAiError {
                message,
                param,
                code,
                ..
            } = openai(failure);
            event(
                "event: error\n",
                &OpenAiEvent {
                    kind: "error",
                    code,
                    message,
                    param,
                    error: openai(failure),
                },
            )
        }
        Dialect::OpenAi => event(
            "",
            &OpenAiBody {
                error: openai(failure),
            },
        ),
        Dialect::Anthropic => {
            let error = anthropic(failure);
            event(
                "event: error\n",
                &AnthropicBody {
                    kind: "error",
                    error,
                    request_id: None,
                },
            )
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> Vec<u8> {
    let mut bytes = format!("{name}data: ").into_bytes();
    // Writing to a vector cannot fail, nor can serialising the types above.
    let _written = serde_json::to_writer(&mut bytes, data);
    bytes.extend_from_slice(b"\n\n");
    bytes
}

fn openai(failure: &Failure) -> OpenAiError<'_> {
    let is_of_model = failure.param == Some("model");
    let (kind, code) = match failure.status {
        StatusCode::UNAUTHORIZED => ("invalid_request_error", Some("invalid_api_key")),
        StatusCode::FORBIDDEN => ("permission_error", Some("permission_denied")),
        StatusCode::NOT_FOUND if is_of_model => ("invalid_request_error", Some("model_not_found")),
        StatusCode::PAYLOAD_TOO_LARGE => ("invalid_request_error", Some("request_too_large")),
        StatusCode::TOO_MANY_REQUESTS if failure.is_final() => {
            ("insufficient_quota", Some("insufficient_quota"))
        }
        StatusCode::TOO_MANY_REQUESTS => ("rate_limit_error", Some("rate_limit_exceeded")),
        StatusCode::SERVICE_UNAVAILABLE => ("server_error", Some("service_unavailable")),
        StatusCode::GATEWAY_TIMEOUT => ("server_error", Some("timeout")),
        status if status.is_server_error() => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    OpenAiError {
        message: &failure.message,
        kind,
        param: failure.param,
        code,
    }
}

fn anthropic(failure: &Failure) -> AnthropicError<'_> {
    let kind = match failure.status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        StatusCode::SERVICE_UNAVAILABLE
            if failure.headers.contains_key(http::header::RETRY_AFTER) =>
        {
            "overloaded_error"
        }
        status if status.is_server_error() => "api_error",
        _ => "invalid_request_error",
    };
    AnthropicError {
        kind,
        message: &failure.message,
    }
}
