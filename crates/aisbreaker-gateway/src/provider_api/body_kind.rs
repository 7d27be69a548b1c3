//! What the body of a provider's response holds, as far as its header fields show.

use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    response,
};

use crate::request::media_type;

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
        if parts.headers.contains_key(CONTENT_ENCODING) {
            Self::Opaque
        } else if media_type::is(&parts.headers, "text/event-stream") {
            Self::EventStream
        } else if parts.headers.contains_key(CONTENT_LENGTH) {
            if media_type::is(&parts.headers, "application/json") {
                Self::Json
            } else {
                Self::Opaque
            }
        } else if is_label_of_streams(&parts.headers) {
            Self::Unlabelled
        } else {
            Self::Opaque
        }
    }
}

/// Returns whether some provider labels its event streams so.
fn is_label_of_streams(headers: &HeaderMap) -> bool {
    const LABELS: [&str; 4] = [
        "application/json",
        "text/plain",
        "application/octet-stream",
        "application/stream+json",
    ];
    let is_labelled = |label: &&str| media_type::is(headers, label);
    !headers.contains_key(CONTENT_TYPE) || LABELS.iter().any(is_labelled)
}
