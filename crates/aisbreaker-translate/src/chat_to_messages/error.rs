//! Errors: Anthropic's into OpenAI's.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::members::Text;

/// The body of an error in Anthropic's API.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    error: ProviderError<'a>,
}

/// An error in Anthropic's API.
#[derive(Deserialize)]
pub(super) struct ProviderError<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    details: Option<Details<'a>>,
}

#[derive(Deserialize)]
struct Details<'a> {
    /// The cause, more precisely than the type.
    #[serde(borrow, default)]
    error_code: Option<Text<'a>>,
}

/// OpenAI's error object.
#[derive(Serialize)]
struct ClientBody<'a> {
    error: ClientError<'a>,
}

#[derive(Serialize)]
struct ClientError<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'a str>,
}

/// Translates the body of an error.
pub(super) fn translate(status: u16, body: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<Body<'_>>(body) {
        Ok(Body { error }) => to_json(&error.translate(Some(status))),
        Err(_) => {
            let message =
                format!("the provider answered with status {status} and no error in JSON");
            to_json(&client_error(&message, kind_of_status(status)))
        }
    }
}

/// Appends the error of a stream, as its last event.
pub(super) fn append_event(error: &ProviderError<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(&to_json(&error.translate(None)));
    out.extend_from_slice(b"\n\n");
}

impl ProviderError<'_> {
    fn translate(&self, status: Option<u16>) -> ClientBody<'_> {
        let by_status = || status.map_or("api_error", kind_of_status);
        let kind = match &self.kind {
            Some(Text(kind)) if is_known(kind) => kind,
            Some(_) | None => by_status(),
        };
        let mut body = client_error(&self.message, kind);
        if let Some(Details {
            error_code: Some(Text(code)),
        }) = &self.details
        {
            body.error.code = Some(code);
        }
        body
    }
}

fn client_error<'a>(message: &'a str, kind: &str) -> ClientBody<'a> {
    let (kind, param, code) = client_kind(kind);
    ClientBody {
        error: ClientError {
            message,
            kind,
            param,
            code,
        },
    }
}

/// Returns the type, the parameter and the code that OpenAI's API has for a type of Anthropic's.
fn client_kind(kind: &str) -> (&'static str, Option<&'static str>, Option<&'static str>) {
    match kind {
        "invalid_request_error" => ("invalid_request_error", None, None),
        "authentication_error" => ("invalid_request_error", None, Some("invalid_api_key")),
        "billing_error" => ("insufficient_quota", None, Some("insufficient_quota")),
        "permission_error" => ("permission_error", None, Some("permission_denied")),
        // All that a request for a message names is the model.
        "not_found_error" => (
            "invalid_request_error",
            Some("model"),
            Some("model_not_found"),
        ),
        "request_too_large" => ("invalid_request_error", None, Some("request_too_large")),
        "rate_limit_error" => ("rate_limit_error", None, Some("rate_limit_exceeded")),
        "timeout_error" => ("server_error", None, Some("timeout")),
        "overloaded_error" => ("server_error", None, Some("service_unavailable")),
        _ => ("server_error", None, None),
    }
}

fn is_known(kind: &str) -> bool {
    kind == "api_error" || client_kind(kind) != client_kind("api_error")
}

/// Returns the type of error that Anthropic's API has for a status.
fn kind_of_status(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn to_json(body: &ClientBody<'_>) -> Vec<u8> {
    // Serializing the types above does not fail.
    serde_json::to_vec(body).unwrap_or_default()
}
