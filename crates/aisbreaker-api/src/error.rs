//! The error object of the API.

use serde::{Deserialize, Serialize};

/// What went wrong, as a client sees it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ErrorObject {
    /// What happened and what to do about it, for a person.
    pub message: String,
    /// The HTTP status code (RFC 9110 section 15).
    pub status_code: u16,
    /// The reason phrase of the status code.
    pub status_text: String,
    /// A machine-readable kind, where there is one.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

impl ErrorObject {
    /// Makes an error object without a `type`.
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

/// The body of an error answer: `{"error": {…}}`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an envelope with one member, as the API defines it"
)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorObject,
}
