//! Restrictions: what a key may not be used for, although its secrets would allow it.

use serde::{Deserialize, Serialize};

/// One entry of the `restrict` list of a grant. Each member that is present must hold.
///
/// An absent member restricts nothing, and an empty list shuts everything out. The crate does not
/// interpret the texts: the server that opens the key does.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Restriction {
    /// The services that may be called, by whole segments, such as `chat:openai.com/gpt-4o`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<String>>,
    /// The operations that may be called: paths below `/v1`, such as `chat/completions`, and
    /// `process`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operations: Option<Vec<String>>,
    /// The networks that clients must be in, such as `203.0.113.0/24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<Vec<String>>,
    /// The web origins (RFC 6454) that requests must come from, such as `https://app.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origins: Option<Vec<String>>,
    /// The largest request body in bytes, after decoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
}
