//! Errors as bytes, in the dialect of the client.
//!
//! Source: the API references of OpenAI and Anthropic, and the responses of their servers.

use aisbreaker_egress::X_API_KEY;
use aisbreaker_services::Dialect;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::{
    failure::{ErrorType, Failure},
    route::operation::{self, PathDialect},
};

/// Fields that only clients of Anthropic's API send.
static ANTHROPIC_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("anthropic-version"), X_API_KEY];

/// Returns the dialect of a request; `None` is the server's own API.
///
/// Where a path belongs to both dialects, the fields that only Anthropic's clients send decide.
pub(crate) fn of(path: &str, headers: &HeaderMap) -> Option<Dialect> {
    match operation::dialect(path)? {
        PathDialect::Only(dialect) => Some(dialect),
        PathDialect::Either => {
            let is_anthropic = ANTHROPIC_HEADERS
                .iter()
                .any(|name| headers.contains_key(name));
            Some(if is_anthropic {
                Dialect::Anthropic
            } else {
                Dialect::OpenAi
            })
        }
    }
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

/// The error event of the Responses API, with the `error` member that generic clients look for.
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

/// The error response of RFC 6749 section 5.2, with the `message` that all our errors have.
#[derive(Debug, Serialize)]
struct OAuthError<'a> {
    error: &'a str,
    error_description: String,
    message: &'a str,
}

impl<'a> OAuthError<'a> {
    fn new(error: &'a str, message: &'a str) -> Self {
        // The characters that RFC 6749 allows in a description.
        let allowed = |c| match c {
            '"' => '\'',
            '\\' => '/',
            ' '..='~' => c,
            _ => '?',
        };
        Self {
            error,
            error_description: message.chars().map(allowed).collect(),
            message,
        }
    }
}

/// Returns the body of the response that reports a failure.
pub(crate) fn error_body(
    failure: &Failure,
    dialect: Option<Dialect>,
    request_id: &HeaderValue,
) -> Vec<u8> {
    match dialect {
        None => match failure.oauth_error {
            Some(error) => to_json(&OAuthError::new(error, &failure.message)),
            None => to_json(&failure.error_body()),
        },
        Some(Dialect::OpenAi) => to_json(&OpenAiBody {
            error: openai(failure),
        }),
        Some(Dialect::Anthropic) => to_json(&AnthropicBody {
            kind: "error",
            error: anthropic(failure),
            request_id: request_id.to_str().ok(),
        }),
    }
}

/// Returns the event that reports a failure over a WebSocket of OpenAI's API.
pub(crate) fn websocket_error(failure: &Failure, request_id: &HeaderValue) -> Vec<u8> {
    #[derive(Debug, Serialize)]
    struct ErrorEvent<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        status: u16,
        error: OpenAiError<'a>,
        request_id: Option<&'a str>,
    }
    to_json(&ErrorEvent {
        kind: "error",
        status: failure.status.as_u16(),
        error: openai(failure),
        request_id: request_id.to_str().ok(),
    })
}

/// Whether the events of a stream carry an `event:` line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum EventNames {
    Present,
    Absent,
}

/// Returns the last event of a stream that failed.
pub(crate) fn error_event(failure: &Failure, dialect: Dialect, names: EventNames) -> Vec<u8> {
    match (dialect, names) {
        (Dialect::OpenAi, EventNames::Present) => {
            let error = openai(failure);
            event(
                "event: error\n",
                &OpenAiEvent {
                    kind: "error",
                    code: error.code,
                    message: error.message,
                    param: error.param,
                    error,
                },
            )
        }
        (Dialect::OpenAi, EventNames::Absent) => event(
            "",
            &OpenAiBody {
                error: openai(failure),
            },
        ),
        (Dialect::Anthropic, _) => event(
            "event: error\n",
            &AnthropicBody {
                kind: "error",
                error: anthropic(failure),
                request_id: None,
            },
        ),
    }
}

fn to_json(body: &impl Serialize) -> Vec<u8> {
    // Serializing the types above does not fail.
    serde_json::to_vec(body).unwrap_or_default()
}

fn event(name: &str, data: &impl Serialize) -> Vec<u8> {
    let mut bytes = format!("{name}data: ").into_bytes();
    // Neither writing to a vector nor serializing the types above fails.
    let _written = serde_json::to_writer(&mut bytes, data);
    bytes.extend_from_slice(b"\n\n");
    bytes
}

fn openai(failure: &Failure) -> OpenAiError<'_> {
    let is_model_error = failure.param.as_deref() == Some("model");
    let (kind, code) = match failure.status {
        _ if failure.error_type == ErrorType::TokensExceeded => {
            ("tokens", Some("rate_limit_exceeded"))
        }
        _ if is_about_money(failure.error_type) => {
            ("insufficient_quota", Some("insufficient_quota"))
        }
        _ if failure.error_type == ErrorType::PriceUnknown => {
            ("permission_error", Some(ErrorType::PriceUnknown.as_str()))
        }
        StatusCode::UNAUTHORIZED => ("invalid_request_error", Some("invalid_api_key")),
        StatusCode::FORBIDDEN => ("permission_error", Some("permission_denied")),
        StatusCode::NOT_FOUND if is_model_error => {
            ("invalid_request_error", Some("model_not_found"))
        }
        StatusCode::PAYLOAD_TOO_LARGE => ("invalid_request_error", Some("request_too_large")),
        StatusCode::TOO_MANY_REQUESTS => ("rate_limit_error", Some("rate_limit_exceeded")),
        StatusCode::SERVICE_UNAVAILABLE => ("server_error", Some("service_unavailable")),
        StatusCode::GATEWAY_TIMEOUT => ("server_error", Some("timeout")),
        status if status.is_server_error() => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    OpenAiError {
        message: &failure.message,
        kind,
        param: failure.param.as_deref(),
        code,
    }
}

/// Returns whether a budget in dollars refused a request.
fn is_about_money(error_type: ErrorType) -> bool {
    matches!(
        error_type,
        ErrorType::BudgetExceeded | ErrorType::BudgetSpent
    )
}

fn anthropic(failure: &Failure) -> AnthropicError<'_> {
    let kind = match failure.status {
        StatusCode::PAYMENT_REQUIRED => "billing_error",
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
