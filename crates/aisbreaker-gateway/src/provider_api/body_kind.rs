//! What the body of a provider's response holds, as far as its header fields show.

use http::{
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    response,
};

use crate::request::media_type;

/// The media types with which providers label their event streams by mistake.
const LABELS_OF_STREAMS: [&str; 4] = [
    "application/json",
    "text/plain",
    "application/octet-stream",
    "application/stream+json",
];

/// What the body of a provider's response holds, as far as it can be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BodyKind {
    EventStream,
    Json,
    /// JSON or events, as its first bytes show.
    Unlabelled,
    /// Another type, or with a content coding, or a resource.
    Opaque,
}

impl BodyKind {
    pub(super) fn of(parts: &response::Parts) -> Self {
        let label = media_type::of(&parts.headers);
        let is = |expected: &str| {
            label.is_some_and(|label| label.eq_ignore_ascii_case(expected.as_bytes()))
        };
        if parts.headers.contains_key(CONTENT_ENCODING) {
            Self::Opaque
        } else if is("text/event-stream") {
            Self::EventStream
        } else if parts.headers.contains_key(CONTENT_LENGTH) {
            if is("application/json") {
                Self::Json
            } else {
                Self::Opaque
            }
        } else if LABELS_OF_STREAMS.into_iter().any(is) || !parts.headers.contains_key(CONTENT_TYPE)
        {
            Self::Unlabelled
        } else {
            Self::Opaque
        }
    }
}
