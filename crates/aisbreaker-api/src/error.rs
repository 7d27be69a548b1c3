//! The error object that the API returns, and the reason a request is refused.

use serde::{Deserialize, Serialize};

/// An error as the API reports it to a client.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ErrorObject {
    /// What happened and how to fix it, in words for a person.
    pub message: String,
    /// The HTTP status code (RFC 9110 section 15).
    pub status_code: u16,
    /// The reason phrase of the status code.
    pub status_text: String,
    /// A machine-readable error type, if there is one (`type` in JSON).
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

impl ErrorObject {
    /// Creates an error object without a `type`.
    #[must_use]
    pub fn new(
        status_code: u16,
        status_text: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            message: message.into(),
            status_code,
            status_text: status_text.into(),
            kind: None,
        }
    }
}

/// The body of an error response: `{"error": {…}}`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an envelope with one member, as the API defines it"
)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorObject,
}

/// Why a request body is refused: the path of a member and what is wrong with it.
///
/// The value of the member is never part of it, since it may be a secret or a prompt.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{member} {problem}")]
#[non_exhaustive]
pub struct InvalidRequest {
    /// The path of the member, such as `request.inputs[0].text.content`.
    pub member: String,
    /// What is wrong with it, such as `must be a string`.
    pub problem: String,
}

impl InvalidRequest {
    /// Creates an error from the path of a member and a problem, which must not repeat the value.
    pub fn new(member: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            member: member.into(),
            problem: problem.into(),
        }
    }
}
