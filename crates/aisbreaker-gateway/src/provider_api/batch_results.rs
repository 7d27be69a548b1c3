//! The address of the results of a batch of messages.
//!
//! The description of a batch has the URL of its results at the provider, and Anthropic's SDKs fetch
//! them from there, with the key of this server. So a client gets the path alone, which they
//! resolve against their base URL. Nothing else in the description changes.

use std::{ops::Range, sync::Arc};

use aisbreaker_services::{CallInProgress, ServiceError};
use bytes::{Bytes, BytesMut};
use http::{Response, header::CONTENT_ENCODING, response};
use memchr::memmem;

use super::provider_response::response_of;
use crate::{
    memory::ClientMemory, request::media_type, response::ResponseBody, route::operation::Operation,
    telemetry::access_log::AccessLog,
};

/// The member, as it is written.
const MEMBER: &[u8] = b"\"results_url\"";
/// Where the path in a URL begins: whatever is before is the provider's.
const PATH: &[u8] = b"/v1/messages/batches/";

/// Returns whether a response describes batches.
pub(super) fn are_described(operation: Operation, parts: &response::Parts) -> bool {
    let Some(resource) = operation.resource() else {
        return false;
    };
    resource.describes_message_batches()
        && parts.status.is_success()
        && media_type::of(&parts.headers).is_some_and(is_json)
        && !parts.headers.contains_key(CONTENT_ENCODING)
}

fn is_json(media_type: &[u8]) -> bool {
    media_type.eq_ignore_ascii_case(b"application/json")
}

/// Creates the response that describes batches, whose provider has sent its head.
///
/// # Errors
/// Those of reading the body, which is held whole.
pub(super) async fn respond(
    (parts, body): (response::Parts, aisbreaker_egress::Body),
    mut call: CallInProgress,
    memory: &Arc<ClientMemory>,
    log: &mut AccessLog,
) -> Result<Response<ResponseBody>, ServiceError> {
    let (description, reservation) = match body.collect_bounded().await {
        Ok(collected) => collected,
        Err(error) => {
            let error = ServiceError::from(error);
            call.fail(&error);
            return Err(error);
        }
    };
    call.complete();
    let mut body = ResponseBody::full(with_paths(description));
    // From here on, it is held for the client.
    drop(reservation);
    body.hold(memory.empty_hold())?;
    Ok(response_of(parts, body, log))
}

/// Returns a description with the paths of results in place of their URLs.
fn with_paths(description: Bytes) -> Bytes {
    let places: Vec<_> = memmem::find_iter(&description, MEMBER)
        .filter_map(|member| origin_of_url(&description, member))
        .collect();
    if places.is_empty() {
        return description;
    }
    let mut shortened = BytesMut::with_capacity(description.len());
    let mut begin = 0;
    for Range { start, end } in places {
        shortened.extend_from_slice(description.get(begin..start).unwrap_or_default());
        begin = end;
    }
    shortened.extend_from_slice(description.get(begin..).unwrap_or_default());
    shortened.freeze()
}

/// Returns the place of what is before the path in the URL that is the value of a member.
fn origin_of_url(description: &[u8], member: usize) -> Option<Range<usize>> {
    // A quote after a backslash is in another text.
    if description.get(..member)?.ends_with(b"\\") {
        return None;
    }
    let mut start = member.checked_add(MEMBER.len())?;
    for expected in [b':', b'"'] {
        let rest = description.get(start..)?;
        let blanks = rest.len().checked_sub(rest.trim_ascii_start().len())?;
        start = start.checked_add(blanks)?;
        if description.get(start) != Some(&expected) {
            return None;
        }
        start = start.checked_add(1)?;
    }
    let text = description.get(start..)?;
    let url = text.get(..memchr::memchr(b'"', text)?)?;
    let origin = memmem::rfind(url, PATH)?;
    Some(start..start.checked_add(origin)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_results_becomes_a_path_and_nothing_else_changes() {
        let rows = [
            (
                r#"{"id":"b", "results_url" : "https://api.anthropic.com/v1/messages/batches/b/results","x":1.50}"#,
                r#"{"id":"b", "results_url" : "/v1/messages/batches/b/results","x":1.50}"#,
            ),
            (
                r#"{"data":[{"results_url":"https://a/anthropic/v1/messages/batches/a/results"},{"results_url":null},{"results_url":"https://a/v1/messages/batches/c/results"}]}"#,
                r#"{"data":[{"results_url":"/v1/messages/batches/a/results"},{"results_url":null},{"results_url":"/v1/messages/batches/c/results"}]}"#,
            ),
            (
                r#"{"results_url":"/v1/messages/batches/a/results"}"#,
                r#"{"results_url":"/v1/messages/batches/a/results"}"#,
            ),
            (
                r#"{"results_url":"https://elsewhere.example/results"}"#,
                r#"{"results_url":"https://elsewhere.example/results"}"#,
            ),
            (
                r#"{"x":"\"results_url\":\"https://a/v1/messages/batches/a/results\""}"#,
                r#"{"x":"\"results_url\":\"https://a/v1/messages/batches/a/results\""}"#,
            ),
            (
                r#"{"x":["results_url","https://a/v1/messages/batches/a"]}"#,
                r#"{"x":["results_url","https://a/v1/messages/batches/a"]}"#,
            ),
            (
                r#"{"results_url":"https://a/v1/messages/batches/a"#,
                r#"{"results_url":"https://a/v1/messages/batches/a"#,
            ),
            (r#"{"results_url""#, r#"{"results_url""#),
            ("", ""),
        ];
        for (description, expected) in rows {
            let shortened = with_paths(Bytes::from_static(description.as_bytes()));
            assert_eq!(shortened, expected, "{description}");
        }
    }
}
