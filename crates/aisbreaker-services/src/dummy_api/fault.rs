//! Errors in the shapes of both dialects.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::model::DUMMY_MODELS;
use crate::providers::Dialect;

/// What the dummy answers requests for other operations with.
const OPERATIONS: &str = "chat/completions, completions, responses, responses/input_tokens, \
                          embeddings, images/generations, messages and messages/count_tokens";

/// An answer with an error status.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    /// The member of the request that is wrong.
    param: Option<&'static str>,
    message: String,
}

impl Fault {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            param: None,
            message: message.into(),
        }
    }

    /// A member of the request cannot be used.
    pub(super) fn invalid(param: &'static str, problem: &str) -> Self {
        Self {
            param: Some(param),
            ..Self::new(StatusCode::BAD_REQUEST, format!("{param}: {problem}"))
        }
    }

    pub(super) fn missing(param: &'static str) -> Self {
        Self::invalid(param, "Field required")
    }

    /// The body is not JSON, or has a member of another type. What it holds is not repeated.
    pub(super) fn unreadable(error: &serde_json::Error) -> Self {
        let problem = if error.is_data() {
            "has a member of a type that it cannot have"
        } else {
            "is not JSON"
        };
        let (line, column) = (error.line(), error.column());
        let message = format!("the request body {problem}, before line {line} column {column}");
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn too_large(max_bytes: usize) -> Self {
        let message = format!("the dummy reads no request body of more than {max_bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    pub(super) fn unknown_operation(method: &Method, path: &str) -> Self {
        let message =
            format!("the dummy does not serve {method} /v1{path}; it serves {OPERATIONS}");
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn unknown_model() -> Self {
        let known = DUMMY_MODELS.join(", ");
        let message = format!(
            "the dummy has no model of this name; it has {known}, and dummy/error-<status> for \
             every status from 400 to 599"
        );
        Self {
            param: Some("model"),
            ..Self::new(StatusCode::NOT_FOUND, message)
        }
    }

    /// The model fails with this status.
    pub(super) fn asked_for(status: StatusCode, model: &str) -> Self {
        let reason = status.canonical_reason().unwrap_or("an error");
        let message = format!("{model} always answers {status}", status = status.as_str());
        Self::new(status, format!("{message}: {reason}"))
    }

    /// The dummy has a fault of its own.
    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }

    /// Returns the body.
    pub(super) fn body(&self, dialect: Dialect) -> Value {
        match dialect {
            Dialect::OpenAi => {
                let (kind, code) = self.openai();
                json!({"error": {
                    "message": self.message, "type": kind, "param": self.param, "code": code,
                }})
            }
            Dialect::Anthropic => json!({"type": "error", "error": {
                "type": self.anthropic(), "message": self.message,
            }}),
        }
    }

    /// Returns the type and the code of OpenAI's dialect.
    fn openai(&self) -> (&'static str, Option<&'static str>) {
        const REQUEST: &str = "invalid_request_error";
        match self.status {
            StatusCode::UNAUTHORIZED => (REQUEST, Some("invalid_api_key")),
            StatusCode::FORBIDDEN => ("permission_error", Some("permission_denied")),
            StatusCode::NOT_FOUND if self.param == Some("model") => {
                (REQUEST, Some("model_not_found"))
            }
            StatusCode::PAYMENT_REQUIRED => ("insufficient_quota", Some("insufficient_quota")),
            StatusCode::PAYLOAD_TOO_LARGE => (REQUEST, Some("request_too_large")),
            StatusCode::TOO_MANY_REQUESTS => ("rate_limit_error", Some("rate_limit_exceeded")),
            StatusCode::SERVICE_UNAVAILABLE => ("server_error", Some("service_unavailable")),
            StatusCode::GATEWAY_TIMEOUT => ("server_error", Some("timeout")),
            status if status.is_server_error() => ("server_error", None),
            _ => (REQUEST, None),
        }
    }

    /// Returns the type of Anthropic's dialect.
    fn anthropic(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            504 => "timeout_error",
            503 | 529 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        }
    }
}
